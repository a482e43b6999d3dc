"""The diagnostic commands: one document for programs, words for people, refusals in a sentence."""

import json
from pathlib import Path

import pytest

from lesion.training.hand_model import write_hand_model


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
    words = call("attribute", *arguments)[1]
    assert "adds up" in words
    assert f"Rounding: {document['floor']:.0e} nats against float64" in words
    code, _, err = call("screen", *arguments, "--top", "3", "--method", "integrated")
    assert code == 2
    assert "so more steps do not help; use the method 'gradient'" in err
    other = ["tiny:llama", *arguments[1:], "--method", "integrated", "--steps", "32"]
    code, out, _ = call("screen", *other, "--top", "3", "--json")
    assert code == 0
    assert json.loads(out)["neurons"]["top"] == 3
    words = call("screen", *arguments, "--top", "3")[1]
    assert "The screen chose " in words, "all heads of a tiny model are measured"
    assert "Estimated recall of the 3 neurons" in words
    assert "nats against float64; a smaller effect may be none" in words
    code, out, _ = call("attribute", *arguments, "--totals", "1", "--json")
    measured = [part["site"] for part in json.loads(out)["heads"] if part["total"] is not None]
    assert 1 <= len(measured) <= 11


def test_a_race_and_a_map_of_heads_say_what_they_cost_and_what_is_undecided(call):
    arguments = ["screen", "tiny:llama", "--task", "arithmetic high=99 shots=0", "--items", "50"]
    code, out, _ = call(*arguments, "--race", "--top", "3", "--json")
    race = json.loads(out)
    assert code == 0
    assert (race["top"], race["error"], race["budget"], race["status"]) == (3, 0.05, 0.2, "exploratory")
    assert race["passes"] <= 0.2 * 50 * 12
    assert len(race["accepted"]) + len(race["undecided"]) >= 3
    words = call(*arguments, "--race", "--top", "3")[1]
    assert f"Exact passes: {race['passes']} of the 600 of a full map" in words
    assert "could not be told apart with 20% of the passes" in words
    assert "Gradients and exact effects: r from " in words
    words = call(*arguments, "--few", "8")[1]
    assert "Exact passes: 96 of the 600 of a full map (16.0%)" in words


def test_doctor_says_its_verdict_first_in_ten_lines_and_everything_with_v(call):
    code, words, _ = call("doctor", "tiny:llama")
    lines = words.splitlines()
    assert code == 0
    assert lines[0].startswith("tiny:llama: sound. All ")
    assert len(lines) <= 10
    assert any(line.startswith("Engine: ") for line in lines)
    assert "identity" not in words.split("-v")[1]
    assert len(call("doctor", "tiny:llama", "-v")[1].splitlines()) > 25


def test_quiet_keeps_the_answer_and_takes_the_remarks(call):
    code, out, err = call("heads", "tiny:gpt2", "--detector", "induction", "--sequences", "2", "-q")
    assert (code, err) == (0, "")
    assert out.startswith("No induction head")


def test_the_probe_can_be_chosen_and_stands_in_the_result(call):
    options = ("--block", "9", "--copies", "3", "--sequences", "2", "--detector", "induction")
    _, out, _ = call("heads", "tiny:gpt2", *options, "--json")
    assert json.loads(out)["detectors"][0]["probe"] == {"block": 9, "copies": 3, "sequences": 2, "seed": 0}
    code, _, err = call("heads", "tiny:gpt2", "--block", "40")
    assert code == 2
    assert "2 copies of a block can have at most 22 tokens each" in err


def test_an_ablation_by_the_mean_is_measured(call):
    words = (
        "measure",
        "tiny:gpt2",
        "--task",
        "arithmetic high=99 shots=0",
        "--items",
        "8",
        "--do",
        "mean L1H0",
        "--json",
    )
    code, out, _ = call(*words)
    assert code == 0
    assert json.loads(out)["intervention"].startswith("mean")


def test_arguments_are_checked_before_a_model_is_opened(call, monkeypatch: pytest.MonkeyPatch):
    def opened(*_: object, **__: object) -> None:
        raise AssertionError("the model was opened")

    monkeypatch.setattr("lesion.models.model.open_model", opened)
    for words in (
        ("heads", "m", "--detector", "inducton"),
        ("attribute", "m", "--task", "arithmetics"),
        ("attribute", "m", "--target", "logit"),
        ("screen", "m", "--method", "gradients"),
        ("screen", "m", "--alpha", "1"),
        ("patch", "m", "--task", "arithmetics"),
        ("patch", "m", "--at", "lst"),
        ("ablate", "m", "--order", "scores"),
        ("ablate", "m", "--by", "inducton"),
        ("measure", "m", "--do", "scael L1H0 0"),
        ("measure", "m", "--do", "zero L1H0", "--task", "arithmetics"),
        ("steer", "m", "--shown", "arithmetics", "--other", "arithmetic"),
        ("eval", "m", "--lm-eval", "x", "--do", "scael L1H0 0"),
    ):
        code, out, err = call(*words)
        assert (code, out) == (2, ""), words
        assert err.startswith("lesion: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("tokens", "nowhere"),
        ("tokens", "tiny:gpt2", "--to", "10000001"),
        ("tokens", "tiny:gpt2", "--task", "arithmetics"),
        ("heads", "tiny:gpt2", "--detector", "inducton"),
        ("attribute", "tiny:gpt2", "--target", "logit"),
        ("screen", "tiny:gpt2", "--alpha", "1"),
        ("screen", "tiny:gpt2", "--error", "0.1"),
        ("screen", "tiny:gpt2", "--race", "--few", "8"),
        ("screen", "tiny:gpt2", "--race", "--every"),
        ("screen", "tiny:gpt2", "--race", "--top", "12"),
        ("screen", "tiny:gpt2", "--few", "3"),
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
    assert err.splitlines()[-1].startswith("lesion: "), "after progress, on a slow machine"
    assert "Traceback" not in err
