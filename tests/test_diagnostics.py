"""The diagnostic commands: one document for programs, words for people, refusals in a sentence."""

import json
from pathlib import Path

import pytest

from lesion.training.hand import write_hand_model


@pytest.fixture(scope="module")
def hand(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("hand")
    write_hand_model(folder)
    return str(folder)


def test_tokens_takes_a_model_and_a_tokenizer_file(call, hand: str):
    code, out, _ = call("tokens", "zoo:abacus-llama", "--to", "120", "--json")
    document = json.loads(out)
    assert code == 0
    assert document["contexts"]["bare"]["single"] == 10
    assert document["alignments"] == {"1": "whole", "2": "digits", "3": "digits"}
    assert document["contexts"]["thousands"] is None, "this vocabulary has no comma"
    assert document["tasks"]["symbolic"]["refused"] == {}
    assert "cannot be written" in call("tokens", "zoo:abacus-llama", "--to", "120")[1]
    code, _, err = call("tokens", str(Path(hand) / "tokenizer.json"), "--to", "9")
    assert code == 2
    assert "no digits" in err


def test_tokens_stress_says_when_tokens_and_digits_cannot_be_told_apart(call):
    code, out, _ = call("tokens", "tiny:gpt2", "--to", "99", "--stress", "--json")
    assert code == 0
    assert json.loads(out)["stress"]["verdict"].startswith("cannot be separated")


def test_heads_names_them_or_says_that_there_are_none(call, hand: str):
    code, out, _ = call("heads", hand, "--detector", "induction", "--circuits", "--json")
    document = json.loads(out)
    assert code == 0
    assert document["detectors"][0]["verdict"] == "1 induction head: L1H1"
    assert document["in_context"]["score"] == pytest.approx(-3.4965, abs=1e-4)
    assert [pair["right"] for pair in document["circuits"]["composition"]["k"]] == ["L1H1"]
    assert document["status"] == "exploratory", "no study registered these numbers"
    _, words, _ = call("heads", "tiny:gpt2", "--detector", "induction")
    assert words.strip().endswith("Exploratory: nothing was registered before these numbers.")
    assert words.startswith("No induction head: the best score is 0.")


def test_attribute_and_screen_give_one_document_and_readable_tables(call):
    arguments = ["tiny:gemma2", "--task", "arithmetic high=9 shots=0", "--items", "12"]
    code, out, _ = call("attribute", *arguments, "--json")
    document = json.loads(out)
    assert code == 0
    assert document["complete"]
    assert document["capped"]
    assert document["status"] == "exploratory"
    assert "adds up" in call("attribute", *arguments)[1]
    code, out, _ = call("screen", *arguments, "--top", "3", "--method", "integrated", "--json")
    assert code == 0
    assert json.loads(out)["neurons"]["top"] == 3
    assert "heads screened" in call("screen", *arguments, "--top", "3")[1]


@pytest.mark.parametrize(
    "arguments",
    [
        ("tokens", "nowhere"),
        ("tokens", "tiny:gpt2", "--to", "10000001"),
        ("tokens", "tiny:gpt2", "--task", "arithmetics"),
        ("heads", "tiny:gpt2", "--detector", "inducton"),
        ("attribute", "tiny:gpt2", "--target", "logit"),
        ("screen", "tiny:gpt2", "--alpha", "1"),
        ("measure", "tiny:gpt2", "--do", "scale L9H0 0.5"),
        ("measure", "tiny:gpt2", "--do", "scale L1H0 nan"),
        ("measure", "tiny:gpt2"),
        ("doctor", "tiny:gpt3"),
    ],
)
def test_bad_arguments_end_with_2_and_a_sentence(call, arguments: tuple[str, ...], tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = call(*arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("lesion: ")
    assert "Traceback" not in err
