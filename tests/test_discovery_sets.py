"""A target beside its own random sets, under the same edit on discovery items; the page is current."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.program import load_program

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def program() -> Any:
    return load_program(ROOT / "publications" / "discovery_sets.py")


def rows(change: dict[str, float]) -> pl.DataFrame:
    return pl.DataFrame([
        {
            "stage": "discovery", "tier": "sums", "split": "discovery", "seed": 0, "index": index, "arm": arm,
            "answer_logprob": -3.0 + index + value,
        }
        for arm, value in {"baseline": 0.0, **change}.items() for index in range(4)
    ])  # fmt: skip


def test_only_its_own_sets_under_the_same_edit_stand_beside_a_target(program: Any) -> None:
    change = {
        "target:ours@resample": -2.0,
        "control:ours:0@resample": -0.5,
        "control:ours:1@resample": -2.5,
        "control:ours:2@resample": 3.0,  # the other way
        "control:ours:0@0": -9.0,  # another edit
        "control:theirs:0@resample": -9.0,  # another target's
    }
    found = program.beside(rows(change), "sums", "target:ours@resample")
    assert (found.items, found.target, len(found.sets)) == (4, pytest.approx(-2.0), 3)
    assert (found.strongest, found.as_much) == (pytest.approx(-2.5), 1)


def test_a_study_of_one_target_and_a_gain(program: Any) -> None:
    change = {"target@denoising": 1.0, "control0@denoising": -5.0, "control1@denoising": 0.5}
    found = program.beside(rows(change), "sums", "target@denoising")
    assert (found.strongest, found.as_much) == (pytest.approx(0.5), 0)


def test_a_target_without_sets_has_no_line(program: Any) -> None:
    assert program.beside(rows({"target@denoising": 1.0}), "sums", "target@denoising") is None


def test_the_page_is_what_the_rows_say(program: Any) -> None:
    assert (program.OUT / program.FILE).read_text(encoding="utf-8") == program.page(program.published())
