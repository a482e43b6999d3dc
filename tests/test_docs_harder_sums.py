"""docs/harder-sums.md is what its rows say; what counts as shown comes from intervals alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.program import load_program

ROOT = Path(__file__).parents[1]
CORRECT = {"measure": "correct", "baseline": 0.5, "edited": 0.25, "delta": -0.25, "low": -0.5, "high": 0.0}
DIGIT = {"place": 0, "items": 64, "baseline": 0.1, "edited": 0.9}


@pytest.fixture(scope="module")
def program() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "docs"))
        yield load_program(ROOT / "docs" / "harder_sums.py")


def rows(program: Any, heads: float, random: float) -> list[dict[str, Any]]:
    """Every task under every ablation; the interval reaches half a nat to both sides."""
    return [
        {
            "model": model, "task": task, "set": one, "ablation": kind, "sites": "L0H0+L1H1", "day": "2026-11-30",
            "changes": [CORRECT, {**CORRECT, "measure": "answer_logprob", "delta": d, "low": d - 0.5, "high": d + 0.5}],
            "digits": [DIGIT, {**DIGIT, "place": 2, "items": 3}],
        }
        for model, tasks in program.TASKS.items()
        for task in tasks
        for one in program.SETS
        for kind in program.ABLATIONS
        for d in (heads if one == program.SETS[0] else random,)
    ]  # fmt: skip


def test_the_page_is_what_its_rows_say(program: Any) -> None:
    assert program.PAGE.read_text(encoding="utf-8") == program.page(program.read())


@pytest.mark.parametrize(
    ("heads", "random", "lost", "more"), [(-2.0, 0.0, 3, 3), (-2.0, -1.5, 3, 0), (-0.2, 0.0, 0, 0), (2.0, 0.0, 0, 0)]
)
def test_a_loss_and_a_clear_difference_are_told_from_intervals(
    program: Any, heads: float, random: float, lost: int, more: int
) -> None:
    found = rows(program, heads, random)
    told = list(program.answers(found))
    assert len(told) == sum(map(len, program.TASKS.values()))
    for sentence in told:
        assert f"loses with {lost} of 3 ablations; with {more} of 3" in sentence


def test_a_place_that_few_answers_have_is_not_told(program: Any) -> None:
    assert program.digits(rows(program, -1.0, 0.0)[0]) == "units 10 → 90"


def test_every_task_set_and_ablation_was_measured(program: Any) -> None:
    asked = [(model, task, one, kind) for model, tasks in program.TASKS.items() for task in tasks
             for one in program.SETS for kind in program.ABLATIONS]  # fmt: skip
    assert [(row["model"], row["task"], row["set"], row["ablation"]) for row in program.read()] == asked
