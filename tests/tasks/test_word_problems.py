"""Word problems, solved here from their text by their template's sentence."""

import re
from collections import Counter
from hashlib import sha256

import pytest

from lesion.tasks.answers import extract
from lesion.tasks.config import WordProblemsConfig
from lesion.tasks.problems.word_problems import WordProblemsTask
from lesion.tasks.problems.word_templates import STORIES
from lesion.tasks.task import Draw, Item

LANE = Draw("confirm", "k", 0, 3)

SOLVERS = {
    "apples": lambda a, b, c: a + b - c,
    "bus": lambda a, b, c: a - b - c,
    "boxes": lambda boxes, each, more: boxes * each + more,
    "savings": lambda weeks, each, spent: weeks * each - spent,
    "garden": lambda tulips, roses, rows: rows * (tulips + roses),
    "pages": lambda pages, days, each: pages - days * each,
    "tickets": lambda parking, tickets, each: parking + tickets * each,
    "marbles": lambda a, b, c: a + b + c,
    "bakery": lambda trays, rolls, burnt: trays * (rolls - burnt),
    "train": lambda a, b, c, d: a + b + c - d,
    "library": lambda shelves, books, lent: shelves * books - lent,
    "walk": lambda days, each, more: days * each + more,
}
"""Numbers in the order of the text."""


def query(item: Item, twin: bool = False) -> str:
    return "".join(text for text, role in (item.twin if twin else item.segments) if role != "shot")


def numbers(text: str) -> list[int]:
    return [int(x) for x in re.findall(r"\d+", text)]


def test_answers_follow_from_the_text():
    for item in WordProblemsTask(WordProblemsConfig(shots=0)).items(LANE, 0, 600):
        expected = SOLVERS[item.buckets["template"]](*numbers(item.prompt))
        assert item.answer == f" {expected}\n", item.prompt
        assert expected >= 1


def test_every_template_has_an_equal_share_and_its_own_solver():
    shares = Counter(item.buckets["template"] for item in WordProblemsTask(WordProblemsConfig()).items(LANE, 0, 120))
    assert set(shares) == set(SOLVERS) == set(STORIES)
    assert set(shares.values()) == {10}


def test_direct_and_worked_and_distracted_items_are_matched():
    configs = [
        WordProblemsConfig(shots=0),
        WordProblemsConfig(shots=0, solution="worked"),
        WordProblemsConfig(shots=0, distractor=True),
    ]
    for plain, worked, distracted in zip(*(WordProblemsTask(c).items(LANE, 0, 240) for c in configs), strict=True):
        assert plain.prompt == worked.prompt
        assert extract(worked.answer) == extract(plain.answer) == extract(distracted.answer)
        assert worked.answer.endswith(f"####{plain.answer}")
        for step in worked.answer.partition(" ####")[0].split(","):
            left, right = step.split("=")
            assert eval(left) == int(right)
        extra = [text for text, role in distracted.segments if role == "distractor"]
        assert len(extra) == 1
        kept = [pair for pair in distracted.segments if pair.role.startswith("operand_")]
        assert kept == [pair for pair in plain.segments if pair.role.startswith("operand_")]


@pytest.mark.parametrize("distractor", [False, True])
def test_a_twin_changes_one_operand_and_no_word(distractor: bool):
    for item in WordProblemsTask(WordProblemsConfig(distractor=distractor, shots=1)).items(LANE, 0, 240):
        assert re.sub(r"\d+", "#", query(item)) == re.sub(r"\d+", "#", query(item, twin=True))
        changed = [x.role for x, y in zip(item.segments, item.twin, strict=True) if x != y]
        assert len(changed) == 1
        assert changed[0].startswith("operand_")
        assert item.wrong != item.answer
        assert len(item.wrong) == len(item.answer)
        if not distractor:
            assert item.wrong == f" {SOLVERS[item.buckets['template']](*numbers(query(item, twin=True)))}\n"


def test_examples_come_from_the_shots_part_and_end_their_line():
    task = WordProblemsTask(WordProblemsConfig(shots=3))
    shots = task.examples(LANE)
    assert all(re.fullmatch(r"Question: [^\n]+\nAnswer: \d+\n", text) for text, _ in shots)
    assert task.examples(LANE) != task.examples(LANE._replace(seed=1))


def test_the_items_are_these_on_every_machine():
    ids = "".join(item.id for item in WordProblemsTask(WordProblemsConfig(distractor=True)).items(LANE, 0, 240))
    assert sha256(ids.encode()).hexdigest()[:16] == "bb8f6ced6fb3b68f"
