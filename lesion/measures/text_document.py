"""One text as a document for a page: its tokens, what the model expects at each, and every head's attention.

A pattern travels as its lower triangle, row after row, as `packed_numbers` has it.
"""

# pyright: reportUnknownMemberType=false

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lesion.engine.decode.padded_prompts import as_prompt
from lesion.errors import InputError
from lesion.measures.text_view import text_view
from lesion.models.model import Model
from lesion.packed_numbers import packed
from lesion.tasks.tokenizers.prompt_contract import Compiled, spelled

LIKELIEST = 5
"""Next tokens that are named at each token."""


def text_document(model: Model, text: str, right: str = "", wrong: str = "", most: int = 128) -> dict[str, Any]:
    """Read one text.

    Args:
        model: the model, unedited.
        text: BOS is put in front where the model has one.
        right: what may follow the text. Its tokens up to the first one in which the two differ are read, too.
        wrong: what else may follow. With both, each token gets the difference of the logits of these two tokens.
        most: tokens of the text, at most.

    Returns:
        `model`, `layers`, `heads`, `tokens`, `ids`; `surprise` (log-probability of each token after those before it,
        nats) and `rank` (its place among all tokens there, from 1), both null at the first token; `likeliest` (at each
        token the next ones: text and probability); `logit_diff` (logits; null where no answers are given); `answers`
        (the two tokens); `patterns` (layers × heads, see above).

    Raises:
        InputError: for a text that the tokenizer cannot write or that is too long, or answers that do not differ.
        InterventionError: when the model reports no patterns, or a pattern's rows do not sum to 1.
    """
    prompt, pair = as_prompt(model, text), None
    if right or wrong:
        prompt, pair = _until_they_differ(model, text, right, wrong)
    if not prompt.ids:
        raise InputError("there is no text to read; write one")
    if len(prompt.ids) > most:
        raise InputError(f"the text has {len(prompt.ids)} tokens for {model.name}; at most {most} can be shown")
    ids = torch.tensor(prompt.ids)
    seen = text_view(model, prompt)
    expected = seen.logits.log_softmax(-1)
    follows = expected[:-1].gather(1, ids[1:, None])[:, 0]
    ranks = (expected[:-1] > follows[:, None]).sum(-1) + 1
    best = expected.topk(min(LIKELIEST, expected.shape[1]), dim=-1)
    return {
        "model": model.name,
        "layers": model.sizes.n_layers,
        "heads": model.sizes.n_heads,
        "tokens": [spelled(model.tokenizer, (i,)) for i in prompt.ids],
        "ids": list(prompt.ids),
        "surprise": [None, *_rounded(follows)],
        "rank": [None, *map(int, ranks)],
        "likeliest": [
            [[spelled(model.tokenizer, (int(i),)), round(float(p.exp()), 4)] for p, i in zip(*row, strict=True)]
            for row in zip(best.values, best.indices, strict=True)
        ],
        "logit_diff": None if pair is None else _rounded(seen.logits[:, pair[0]] - seen.logits[:, pair[1]]),
        "answers": None if pair is None else [spelled(model.tokenizer, (i,)) for i in pair],
        "patterns": [[_triangle(head) for head in layer] for layer in seen.patterns],
    }


def _until_they_differ(model: Model, text: str, right: str, wrong: str) -> tuple[Compiled, tuple[int, int]]:
    """The tokens that both continuations share, and the two tokens in which they differ."""
    if not right or not wrong:
        raise InputError("a logit difference needs two answers, a right one and a wrong one; give both or none")
    one, other = (as_prompt(model, text + answer).ids for answer in (right, wrong))
    shared = next((place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), None)
    if shared is None:
        raise InputError(f"the answers {right!r} and {wrong!r} do not differ in any token after this text")
    if not shared:
        raise InputError("the answers change the first token of the text; begin them with a space")
    ids = one[:shared]
    return Compiled(ids, {}, (), (), len(ids), None), (one[shared], other[shared])


def _rounded(values: Float[Tensor, " pos"]) -> list[float]:
    return [round(float(value), 4) for value in values]


def _triangle(pattern: Float[Tensor, "query key"]) -> str:
    """The lower triangle of a pattern, row after row."""
    return packed(pattern.numpy()[np.tril_indices(pattern.shape[0])])
