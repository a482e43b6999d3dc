"""Numbers and conditions in words."""

import doctest
from types import SimpleNamespace
from typing import cast

import pytest

from lesion.report import markdown
from lesion.report.record import Record
from lesion.report.wording import words
from lesion.report.wording.evidence.ranks import random_words
from lesion.study.sweep import Sweep
from lesion.tasks.config import (
    ArithmeticConfig,
    Gsm8kConfig,
    IoiConfig,
    LetterPatternsConfig,
    PromptFileConfig,
    SymbolicConfig,
    TaskConfig,
)


@pytest.mark.parametrize("module", [words, markdown])
def test_the_examples_in_the_docstrings_are_true(module):
    assert doctest.testmod(module).failed == 0


def test_a_change_that_rounds_to_nothing_has_no_sign():
    assert words.signed(-0.01) == "0.0"
    assert words.signed(-0.06) == "−0.1"


def test_a_factor_is_called_by_what_it_does():
    assert [words.action(a) for a in (0, 0.5, 2, -1)] == [
        "zeroing",
        "suppressing (×0.5)",
        "amplifying (×2)",
        "reversing (×−1)",
    ]


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (ArithmeticConfig(high=20), "sums and differences up to 20"),
        (ArithmeticConfig(operators=("*",), beyond=150), "products beyond 99 × 99"),
        (ArithmeticConfig(operators=("*",), factor_high=9), "products up to 9 × 9"),
        (
            ArithmeticConfig(operators=("+", "-", "*"), high=20, factor_high=9),
            "sums and differences up to 20 and products up to 9 × 9",
        ),
        (SymbolicConfig(), "repeated symbol patterns"),
        (SymbolicConfig(patterns=("abab", "aab")), "symbol patterns (abab and aab)"),
        (Gsm8kConfig(path="problems.jsonl"), "gsm8k"),
        (IoiConfig(), "indirect object identification"),
        (LetterPatternsConfig(pattern="centre_embedding"), "the letter pattern centre-embedding"),
        (PromptFileConfig(path="data/capitals.csv"), "the prompts of capitals.csv"),
    ],
)
def test_every_kind_of_task_has_words(task: TaskConfig, said: str):
    assert words.task_words(task) == said


def test_a_local_folder_is_not_told_in_full():
    assert words.model_name("/home/somebody/models/mine/") == "mine"


def test_markdown_escaping_leaves_no_active_character():
    assert markdown.escape("[x](javascript:1) | <b>*`") == r"\[x\](javascript:1) \| &lt;b&gt;\*\`"


def test_a_numbered_tier_is_called_by_its_task_and_a_named_one_by_its_name(manifest):
    study = manifest.study
    assert words.tier_name(study, "tier1") == "sums and differences up to 99"
    tasks = {"tier1": ArithmeticConfig(high=99), "tier2": ArithmeticConfig(high=99), "easy_sums": ArithmeticConfig()}
    other = study.model_copy(update={"tasks": tasks})
    assert words.tier_name(other, "tier2") == "sums and differences up to 99 (tier2)"
    assert words.tier_name(other, "easy_sums") == "easy sums"
    assert words.kind_of_task(ArithmeticConfig(high=20)) == "sums and differences"


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({"kind": "steer", "vector": {"of": "pairs", "tier": "t"}, "strength": 1}, "random vectors"),
        (
            {"kind": "steer", "vector": {"of": "pairs", "tier": "t"}, "strength": 1, "control": "shuffled"},
            "vectors of shuffled pairs",
        ),
        ({"kind": "knock_out", "control": "edges"}, "random edges"),
        ({"kind": "knock_out"}, "random heads"),
    ],
)
def test_matched_sets_are_called_what_they_are(edit: dict[str, object], said: str) -> None:
    target = {"kind": "sites", "sites": ["L1.resid_pre" if edit["kind"] == "steer" else "L1H0"]}
    sweep = Sweep.model_validate({"edit": edit, "target": target, "positions": "last"})
    record = SimpleNamespace(manifest=SimpleNamespace(study=SimpleNamespace(sweep=sweep)))
    assert random_words(cast("Record", record)) == said
