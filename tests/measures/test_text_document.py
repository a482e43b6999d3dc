"""One text as a document: the numbers are those of the model's own forward pass, packed without loss that shows."""

import base64

import numpy as np
import pytest
import torch

from lesion.engine.decode.padded_prompts import as_prompt
from lesion.errors import InputError
from lesion.measures.text_document import text_document
from lesion.measures.text_view import text_view
from lesion.models.model import open_model
from lesion.packed_numbers import STEPS

TEXT = "ab=cdab"


@pytest.fixture(scope="module")
def model():
    return open_model("tiny:llama")


def unpacked(text: str, tokens: int) -> np.ndarray:
    """As the page's script reads it: row after row of the lower triangle."""
    flat, pattern = np.frombuffer(base64.b64decode(text), "<u2") / STEPS, np.zeros((tokens, tokens))
    start = 0
    for query in range(tokens):
        pattern[query, : query + 1] = flat[start : start + query + 1]
        start += query + 1
    assert start == len(flat)
    return pattern


def test_patterns_and_expectations_are_those_of_the_model(model):
    found = text_document(model, TEXT)
    prompt = as_prompt(model, TEXT)
    seen = text_view(model, prompt)
    assert found["ids"] == list(prompt.ids)
    for layer in range(found["layers"]):
        for head in range(found["heads"]):
            read = unpacked(found["patterns"][layer][head], len(prompt.ids))
            assert np.abs(read - seen.patterns[layer, head].numpy()).max() <= 0.51 / STEPS
            assert read.sum(-1) == pytest.approx(1, abs=1e-3)
    plain = model.module(torch.tensor([prompt.ids]), use_cache=False).logits[0].log_softmax(-1)
    wanted = [float(plain[place, token]) for place, token in enumerate(prompt.ids[1:])]
    assert found["surprise"][0] is None
    assert found["surprise"][1:] == pytest.approx(wanted, abs=1e-3)
    order = plain.argsort(-1, descending=True)
    assert found["rank"][0] is None
    assert [order[place, rank - 1].item() for place, rank in enumerate(found["rank"][1:])] == list(prompt.ids[1:])
    best = plain.exp().topk(5, dim=-1)
    assert [[p for _, p in row] for row in found["likeliest"]] == [
        pytest.approx(row, abs=1e-3) for row in best.values.tolist()
    ]
    assert found["logit_diff"] is None


def test_the_logit_difference_is_of_the_first_tokens_in_which_answers_differ(model):
    found = text_document(model, "ab=", "cd", "ce")
    assert found["answers"] == ["d", "e"]
    prompt = as_prompt(model, "ab=c")
    assert found["ids"] == list(prompt.ids), "what both answers share is read, too"
    right, wrong = (as_prompt(model, text).ids[-1] for text in ("d", "e"))
    logits = model.module(torch.tensor([prompt.ids]), use_cache=False).logits[0]
    assert found["logit_diff"] == pytest.approx((logits[:, right] - logits[:, wrong]).tolist(), abs=1e-3)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (("ab", "c", ""), "needs two answers"),
        (("ab", "c", "c"), "do not differ"),
        (("ab" * 70,), "at most 128 can be shown"),
        (("a\u4e16",), "cannot be asked"),
    ],
)
def test_what_cannot_be_read_is_told_in_a_sentence(model, given, wanted):
    with pytest.raises(InputError, match=wanted):
        text_document(model, *given)
