"""How far sets move beside what they do: counts, direction, names, the rows' own numbers; the page is current."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.program import load_program

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def program() -> Any:
    return load_program(ROOT / "publications" / "set_sizes.py")


def test_larger_sets_are_counted_and_the_strongest_in_the_targets_direction_is_told(program: Any) -> None:
    moved = {"target@resample": 5.0, "set0@resample": 1.0, "set1@resample": 6.0, "set2@resample": 8.0}
    sets = ["set0@resample", "set1@resample", "set2@resample"]
    found = program.sizes(moved, "target@resample", sets, [-9.0, 0.5, -0.25], -1)
    assert found == (5.0, 6.0, 8.0, 2, -0.25)
    assert program.sizes({**moved, "target@resample": 9.0}, "target@resample", sets, [0.0] * 3, -1).strongest is None


def test_only_single_heads_are_named(program: Any) -> None:
    assert program.singles([["L1H0"], ["L2H0"]], [-0.5, -2.0], -1) == "L2H0 −2.00, L1H0 −0.50"
    assert program.singles([["L1H0"], ["L2H0", "L2H1"]], [-0.5, -2.0], -1) == "–"


def test_a_sets_number_is_its_place_among_the_effects(program: Any) -> None:
    """The page joins receipts by number with effects by place; both must be of the same set."""
    (run,) = program.OUT.glob("*_operand-heads_*/")
    cell = "pretrained:smollm2-135m-instruct|first_changes|target:l20h8@noising"
    effects = json.loads((run / "manifest.json").read_text(encoding="utf-8"))["results"]["specific"][cell]["effects"]
    rows = pl.read_parquet(run / "rows.parquet").filter(
        (pl.col("stage") == "specificity") & (pl.col("tier") == "first_changes")
    )
    key = ["seed", "index"]
    plain = rows.filter(pl.col("arm") == "baseline").select(*key, "answer_logprob").unique()
    for number in (0, 7, 150, 268):
        one = rows.filter(pl.col("arm") == f"set:l20h8:{number}@noising").join(plain, on=key, suffix="_before")
        change = (one["answer_logprob"] - one["answer_logprob_before"]).to_numpy().mean()
        assert change == pytest.approx(effects[number], abs=1e-5)


def test_the_page_is_what_the_receipts_say(program: Any) -> None:
    assert (program.OUT / program.FILE).read_text(encoding="utf-8") == program.page(program.published())
