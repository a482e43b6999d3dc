"""What of a change lies below the floor: nothing where all is above, all where all is below; the page is current."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.program import load_program

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def program() -> Any:
    return load_program(ROOT / "publications" / "below_floor.py")


def rows(before: list[float], after: list[float]) -> pl.DataFrame:
    made = [("baseline", index, value) for index, value in enumerate(before)]
    made += [("target", index, value) for index, value in enumerate(after)]
    same = {"stage": "confirm", "tier": "sums", "split": "confirm", "seed": 0}
    return pl.DataFrame([{**same, "index": at, "arm": arm, "answer_logprob": value} for arm, at, value in made])


@pytest.mark.parametrize(
    ("before", "after", "above"),
    [
        ([-1.0, -2.0], [-3.0, -4.0], -2.0),  # all of it above a floor of five
        ([-6.0, -7.0], [-9.0, -9.0], 0.0),  # all of it below
        ([-4.0, -4.0], [-9.0, -3.0], 0.0),  # one loses the last nat above the floor, the other gains one
        ([-9.0, -9.0], [-1.0, -1.0], 4.0),  # a gain counts from the floor on
    ],
)
def test_what_is_below_the_floor_does_not_count(
    program: Any, before: list[float], after: list[float], above: float
) -> None:
    told = program.cut(rows(before, after), "sums", "target", -5.0)
    whole = sum(late - early for early, late in zip(before, after, strict=True)) / len(before)
    assert told == (2, pytest.approx(whole), pytest.approx(above))


def test_the_page_is_what_the_rows_say(program: Any) -> None:
    assert (program.OUT / program.FILE).read_text(encoding="utf-8") == program.page(program.published())
