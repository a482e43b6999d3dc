"""Collateral damage on natural text: measured where a vocabulary can write it, and said where it cannot."""

import json
from pathlib import Path

import pytest
import torch

from lesion.cli import main
from lesion.engine.select_engine import choose
from lesion.errors import InputError
from lesion.interventions.intervention import Scale
from lesion.interventions.site import head
from lesion.measures.effects.collateral import neutral_text
from lesion.measures.effects.effect import effect
from lesion.measures.effects.neutral_text import PASSAGE, WINDOW, windows
from lesion.measures.prompt_set import ask
from lesion.models.model import open_model

ZERO = Scale(sites=(head(0, 0),), alpha=0.0)


@pytest.fixture(scope="module")
def model():
    return open_model("tiny:gpt2")


def test_loss_and_distance_of_a_window_are_those_of_a_plain_pass(model) -> None:
    text = "abcd1234abc56d+3" * 8
    rows = windows(model.tokenizer, text, model.sizes.max_positions - 1)
    before, after, distance = neutral_text(model, ZERO, text)
    ids = torch.tensor([[model.bos, *rows[1]]])
    with torch.inference_mode():
        logprobs = model.module(ids).logits.double().log_softmax(-1)[0, :-1]
    assert before[1] == pytest.approx(-logprobs[range(len(rows[1])), rows[1]].mean().item(), abs=1e-6)
    assert len(before) == len(after) == len(distance) == len(rows)
    assert (distance > 0).all()


def test_the_placebo_does_no_damage(model) -> None:
    before, after, distance = neutral_text(model, ZERO.model_copy(update={"alpha": 1.0}), "abcd1234abc56d" * 8)
    assert (before == after).all()
    assert (distance == 0).all()


def test_windows_do_not_overlap_and_fit_the_model(model) -> None:
    text = "abc123" * 40
    rows = windows(model.tokenizer, text, 8)
    assert {len(row) for row in rows} == {8}
    written = "".join(model.tokenizer.id_to_token(token) for row in rows for token in row)
    assert text.startswith(written)
    assert len(written) == 8 * len(rows)


def test_a_vocabulary_without_the_letters_is_said_and_nothing_is_measured() -> None:
    engine = choose(open_model("zoo:abacus-llama"))
    found = effect(engine, ask(engine.model, "arithmetic", 8, 0), ZERO).effect
    assert found.neutral_text.startswith("not measured on natural text: this vocabulary cannot write the text")
    with pytest.raises(InputError, match="no measure 'text_loss'"):
        found.change("text_loss")


def code(arguments: list[str]) -> object:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


def test_a_text_of_the_users_own_must_be_readable(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    call = [
        "measure",
        "tiny:gpt2",
        "--do",
        "zero L0H0",
        "--task",
        "arithmetic high=9 shots=0",
        "--items",
        "4",
        "--json",
    ]
    assert code([*call, "--neutral", "none.txt"]) == 2
    assert "none.txt: there is no such file" in json.loads(capsys.readouterr().out)["error"]
    (tmp_path / "own.txt").write_text("abcd1234abc56d+3" * 8)
    assert code([*call, "--neutral", "own.txt"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["neutral_text"].startswith("the given text, ")
    assert {"text_loss", "text_kl"} <= {change["measure"] for change in document["changes"]}
    (tmp_path / "short.txt").write_text("ab")
    assert code([*call, "--neutral", "short.txt"]) == 2


def test_the_passage_holds_nothing_to_calculate() -> None:
    assert not any(sign.isdigit() for sign in PASSAGE)
    assert len(PASSAGE.split()) > 4 * WINDOW
