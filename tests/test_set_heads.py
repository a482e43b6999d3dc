"""Heads that make a matched set strong: found where they were planted, in either direction; the page is current."""

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from tests.program import load_program

ROOT = Path(__file__).resolve().parents[1]
SETS = list(combinations(["L0H0", "L0H1", "L0H2", "L1H0", "L1H1", "L1H2"], 3))


@pytest.fixture(scope="module")
def program() -> Any:
    return load_program(ROOT / "publications" / "set_heads.py")


@pytest.mark.parametrize("target", [-4.0, 4.0])
def test_a_planted_head_comes_first_with_the_means_of_its_sets_and_of_the_others(program: Any, target: float) -> None:
    effects = [target if "L1H1" in each else 0.0 for each in SETS]
    first, *_ = program.telling(SETS, effects, target)
    assert first == program.Told("L1H1", 10, target, 0.0, 2)


def test_a_head_that_few_sets_hold_has_no_line(program: Any) -> None:
    rare = [("L9H9", "L0H0"), *SETS]
    found = program.telling(rare, [-9.0] + [0.0] * len(SETS), -1.0)
    assert "L9H9" not in {told.head for told in found}


def test_single_heads_and_edges_of_the_same_heads_have_no_line(program: Any) -> None:
    singles = [(f"L0H{number}",) for number in range(40)]
    assert not program.telling(singles, [-1.0] * 40, -1.0)
    assert not program.telling([("L0H0", "L0H1")] * 40, [-1.0] * 40, -1.0)


def test_sets_of_neurons_are_not_told(program: Any) -> None:
    assert [program.is_head(site) for site in ("L5H1", "L5N1")] == [True, False]
    told = {program.study_of(run) for run in program.published() for _ in program.tests(run)}
    assert "sum-heads" in told
    assert "sum-neurons" not in told


def test_the_page_is_what_the_published_runs_say(program: Any) -> None:
    assert (program.OUT / program.FILE).read_text(encoding="utf-8") == program.page(program.published())


def test_two_planted_heads_divide_the_sets(program: Any) -> None:
    sets = list(combinations([*SETS[0], *SETS[-1], "L2H0"], 3))
    effects = [-4.0 if {"L1H1", "L0H2"} & {*each} else -0.5 for each in sets]
    found = program.pair(sets, effects, -4.0)
    assert {*found.heads} == {"L1H1", "L0H2"}
    assert (found.held, found.weakest, found.strongest) == (25, -4.0, -0.5)
