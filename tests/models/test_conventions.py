"""One rule about the beginning and the end of texts, for every command that asks a model."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from lesion.engine.decode.generate import generate
from lesion.engine.decode.padded_prompts import as_prompt
from lesion.measures.interop.inspect import answered
from lesion.models.model import Model, open_model
from lesion.models.text_conventions import conventions, ends_of, greedily, read_conventions
from lesion.models.vocabulary import open_vocabulary

TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}S be kind E{% else %}S {{ messages[0]['content'] }} E{% endif %}"
    + ("{% for m in messages %}{% if m['role'] != 'system' %}Q{{ m['content'] }}{% endif %}{% endfor %}")
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny model, as a folder."""
    model = open_model("tiny:llama")
    model.module.save_pretrained(tmp_path)
    model.tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def _write(folder: Path, **files: dict[str, Any]) -> Model:
    for name, said in files.items():
        path = folder / f"{name}.json"
        before = json.loads(path.read_text()) if path.is_file() else {}
        path.write_text(json.dumps({**before, **said}))
    return open_model(str(folder))


def test_a_text_ends_with_every_token_that_any_of_the_files_names(folder: Path) -> None:
    said = {"tokenizer_config": {"bos_token": "<bos>", "eos_token": {"content": "9"}}}
    model = _write(folder, config={"eos_token_id": [3, 4]}, generation_config={"eos_token_id": [4, 5, 10**9]}, **said)
    nine = model.tokenizer.token_to_id("9")
    assert ends_of(model) == {3, 4, 5, nine}
    assert conventions(model).ends == tuple(sorted({3, 4, 5, nine}))
    assert read_conventions(model.name, folder, open_vocabulary(model.name)) == conventions(model)


def test_every_path_ends_a_text_with_the_same_token_of_a_list(folder: Path) -> None:
    free = open_model(str(folder))
    prompt = as_prompt(free, "12+30=")
    whole = generate(free, [prompt], 8).texts[0].tokens
    place = max(whole.index(token) for token in whole)
    model = _write(folder, config={"eos_token_id": [0, whole[place]]}, generation_config={"eos_token_id": [0]})
    spelled = model.tokenizer.decode(list(whole[:place]))
    (text,) = generate(model, [prompt], 8, ends_of(model)).texts
    assert (text.tokens, text.stopped) == (whole[: place + 1], True)
    said = answered(model, "12+30=", None, 8, [])
    assert (said["words"], said["why"]) == (spelled, "stop")


def test_a_penalty_in_the_generation_config_is_set_aside_in_every_path(folder: Path) -> None:
    model = _write(folder, generation_config={"repetition_penalty": 1.3, "do_sample": True, "temperature": 0.6})
    assert conventions(model).set_aside == {"repetition_penalty": 1.3, "do_sample": True, "temperature": 0.6}
    assert any("repetition_penalty 1.3" in line for line in conventions(model).words)
    prompt = as_prompt(model, "1+1=1+1=1+1=")
    mine = list(generate(model, [prompt], 8, ends_of(model)).texts[0].tokens)
    kept = model.module.generation_config
    with greedily(model):
        whole = model.module.generate(torch.tensor([prompt.ids]), max_new_tokens=8)
    plain = whole[0, prompt.prompt_length :].tolist()
    assert plain == mine
    assert model.module.generation_config is kept


def test_a_bos_that_the_tokenizer_names_and_does_not_add_is_said(folder: Path) -> None:
    said = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps({**said, "post_processor": None}))
    model = _write(folder, tokenizer_config={"bos_token": "<bos>", "tokenizer_class": "PreTrainedTokenizerFast"})
    found = conventions(model)
    assert (found.bos, found.bos_unused) == (None, "<bos>")
    assert "names <bos> and does not add it" in found.words[0]
    theirs = AutoTokenizer.from_pretrained(folder)
    assert theirs("12").input_ids == list(as_prompt(model, "12").ids)


def test_what_a_tokenizer_was_saved_with_and_a_template_adds_is_said(folder: Path) -> None:
    said = json.loads((folder / "tokenizer.json").read_text())
    cut = {"max_length": 7, "direction": "Right", "strategy": "LongestFirst", "stride": 0}
    (folder / "tokenizer.json").write_text(json.dumps({**said, "truncation": cut}))
    model = _write(folder, tokenizer_config={"bos_token": "<bos>", "chat_template": TEMPLATE})
    assert conventions(model).taken_off == ("truncation",)
    assert conventions(model).system == "be kind"
    assert len(conventions(model).words) == 4


def test_the_zoo_keeps_its_conventions() -> None:
    found = conventions(open_model("zoo:abacus-llama"))
    assert (found.bos, found.ends, found.set_aside, found.taken_off) == (1, (9,), {}, ())
