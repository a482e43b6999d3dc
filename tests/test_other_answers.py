"""Which of two answers is preferred: counted before and under an edit on the same items; the page is current."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.program import load_program

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def program() -> Any:
    return load_program(ROOT / "publications" / "other_answers.py")


def test_shares_are_of_the_edited_items_alone(program: Any) -> None:
    made = [("baseline", index, 1.0 if index < 9 else -1.0) for index in range(20)]
    made += [("target", index, -1.0 if index < 6 else 0.5) for index in range(10)]
    rows = pl.DataFrame([
        {"stage": "confirm", "tier": "sums", "split": "confirm", "seed": 0, "index": index, "arm": arm, "logit_diff": x}
        for arm, index, x in made
    ])  # fmt: skip
    assert program.preferred(rows, "sums", "target") == (10, pytest.approx(90.0), pytest.approx(40.0))


def test_the_page_is_what_the_rows_say(program: Any) -> None:
    assert (program.OUT / program.FILE).read_text(encoding="utf-8") == program.page(program.published())
