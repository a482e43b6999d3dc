"""The tasks of published studies keep the definitions of their papers; sums and patterns are checked from the text."""

import re
from collections import Counter
from itertools import islice
from typing import Any

import pytest

from lesion.tasks.catalogue import make_task
from lesion.tasks.config import GreaterThanConfig, IoiConfig, LetterPatternsConfig, TaskConfig
from lesion.tasks.item_check import nonsense
from lesion.tasks.literature.words import EVENTS, NAMES, OBJECTS, PLACES
from lesion.tasks.task import Draw, Item
from lesion.tasks.tokenizers.prompt_contract import Compiled, compile_item, contradiction

CORRUPTIONS = ("abc", "s2_io", "s1_io")
PATTERNS = {
    "repetition": r"(\w) (?!\1)(\w) \1 \2",
    "recursion": r"(\w) (?!\1)(\w) \2 \2",
    "centre_embedding": r"(\w) (?!\1)(\w) \w \2 \1",
}


LANE = Draw("confirm", "k", 0, 3)


def items(config: TaskConfig, count: int = 300, draw: Draw = LANE) -> list[Item]:
    return list(islice(make_task(config).items(draw, 0, count), count))


def parts(text: Any) -> dict[str, str]:
    return {segment.role: segment.text.strip() for segment in text if segment.role}


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_ioi_asks_for_the_name_that_does_not_act(corruption: Any):
    for item in items(IoiConfig(corruption=corruption)):
        names = parts(item.segments)
        first, second, third = re.findall(rf"\b(?:{'|'.join(NAMES)})\b", item.prompt)
        assert (names["io"], names["s1"]) == ((first, second) if item.buckets["order"] == "ABBA" else (second, first))
        assert third == names["s2"] == names["s1"] != names["io"]
        assert item.prompt.endswith(" to")
        assert (item.answer, item.wrong) == (f" {names['io']}", f" {third}")
        assert nonsense(item, sums=False) == ""


def test_the_three_corruptions_change_the_names_that_they_name():
    kinds = {each: items(IoiConfig(corruption=each)) for each in CORRUPTIONS}
    for abc, flipped, moved in zip(*(kinds[each] for each in CORRUPTIONS), strict=True):
        assert abc.prompt == flipped.prompt == moved.prompt
        clean = parts(abc.segments)
        others = [parts(item.twin) for item in (abc, flipped, moved)]
        assert len({*clean.values(), *others[0].values()}) == len({*clean.values()}) + 3
        assert others[1] == {**clean, "s2": clean["io"]}
        assert others[2] == {**clean, "io": clean["s1"], "s1": clean["io"]}


def test_every_word_of_ioi_and_greater_than_is_one_token_of_gpt2(gpt2):
    for word in (*NAMES, *PLACES, *OBJECTS, *EVENTS):
        assert len(gpt2.encode(f" {word}").ids) == 1, word
    assert len({*NAMES}) == len(NAMES)
    for item in items(IoiConfig(), 60):
        compiled = compile_item(item, gpt2, None)
        assert isinstance(compiled, Compiled)
        assert compiled.twin_ids is not None
        assert len(compiled.answer_ids) == 1
        assert contradiction(item, compiled, gpt2, None) == ""


def test_greater_than_asks_for_a_later_year_of_the_same_century(gpt2):
    kept = 0
    for item in items(GreaterThanConfig(), 700):
        found = re.fullmatch(r"The (\w+) lasted from the year (\d\d)(\d\d) to the year (\d\d)", item.prompt)
        assert found
        assert found[2] == found[4] == item.buckets["century"]
        assert int(item.wrong) <= int(found[3]) < int(item.answer) <= 99
        assert "".join(part.text for part in item.twin) == item.prompt.replace(
            f"{found[2]}{found[3]} to", f"{found[2]}01 to"
        )
        compiled = compile_item(item, gpt2, None)
        if isinstance(compiled, Compiled):
            kept += 1
            assert len(compiled.answer_ids) == 1
    assert kept > 400  # GPT-2 writes the other years with a token that is not the century


@pytest.mark.parametrize("pattern", PATTERNS)
def test_letter_patterns_are_labelled_by_their_pattern_and_balanced(pattern: Any):
    drawn = items(LetterPatternsConfig(pattern=pattern), 200)
    assert Counter(item.answer for item in drawn) == {" Foo": 100, " Bar": 100}
    for item in drawn:
        shots = [segment.text for segment in item.segments if segment.role == "shot"]
        asked, twin = (parts(text)["sequence"] for text in (item.segments, item.twin))
        told = [re.fullmatch(r"((?:\w )+\w): (Foo|Bar)\n", shot) for shot in shots]
        assert Counter(each[2] for each in told if each) == {"Foo": 5, "Bar": 5}
        pairs = [(each[1], each[2]) for each in told if each]
        for letters, label in [*pairs, (asked, item.answer.strip()), (twin, item.wrong.strip())]:
            assert bool(re.fullmatch(PATTERNS[pattern], letters)) == (label == "Foo"), letters
        assert item.prompt.endswith(f"\n{asked}:")
        assert asked not in {letters for letters, _ in pairs}
        assert len(asked) == len(twin)
        assert nonsense(item, sums=False) == ""


def test_letter_patterns_have_every_sequence_once():
    config = LetterPatternsConfig(pattern="recursion")
    task = make_task(config)
    assert task.pool == 26 * 25 + 26**4 - 26 * 26
    lanes = [Draw("discovery", "k", 0, 1), Draw("confirm", "k", 0, 1)]
    asked = [
        parts(item.segments)["sequence"]
        for lane in lanes
        for item in task.items(lane, 0, min(task.capacity(lane), 1000))
    ]
    assert len({*asked}) == len(asked)


def test_the_order_of_the_examples_classes_depends_on_the_set():
    config = LetterPatternsConfig(shots=6)
    orders = {
        "".join(segment.text[-4] for segment in item.segments if segment.role == "shot")
        for item in items(config, 200, Draw("confirm", "k", 0, 3, prefixes=12))
    }
    assert len(orders) > 4
