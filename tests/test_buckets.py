"""Effects by carry, digits and block length: parts of a run's own rows with their size; the page is current."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.program import load_program

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def program() -> Any:
    return load_program(ROOT / "publications" / "buckets.py")


def made(carried: float, plain: float) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Forty sums with a carry and sixty without, behind four example sets; each kind loses its own number of nats."""
    rows, questions = [], []
    for index in range(100):
        key = {"tier": "sums", "split": "confirm", "seed": 0, "index": index}
        carry = "one" if index < 40 else "none"
        buckets = {"carry": carry, "digits": "2+2", "prefix": f"s0p0{index % 4}"}
        questions.append({**key, "buckets": json.dumps(buckets)})
        lost = carried if carry == "one" else plain
        for arm, right, nats in (("baseline", True, -1.0), ("target@zero", lost == 0, -1.0 - lost)):
            rows.append({**key, "stage": "confirm", "arm": arm, "correct": right, "answer_logprob": nats + index % 3})
    return pl.DataFrame(rows), pl.DataFrame(questions)


def test_each_bucket_has_its_own_change_and_one_that_holds_all_items_has_none(program: Any) -> None:
    found = {part.value: part for part in program.parts(*made(2.0, 0.0), "sums", "target@zero")}
    assert set(found) == {"one", "none"}
    assert (found["one"].items, found["none"].items) == (40, 60)
    assert found["one"].change == pytest.approx((-2.0, -2.0, -2.0))
    assert found["none"].change == pytest.approx((0.0, 0.0, 0.0))
    assert (found["one"].right, found["none"].right) == ((100, 0), (100, 100))


def test_a_bucket_of_few_items_is_left_out(program: Any) -> None:
    rows, questions = made(2.0, 0.0)
    few = pl.col("index") >= 40 - program.FEWEST + 1
    found = [part.value for part in program.parts(rows.filter(few), questions.filter(few), "sums", "target@zero")]
    assert found == ["none"]


def test_parts_add_up_to_the_published_verdict(program: Any) -> None:
    run = next(path for path in program.published() if "sum-heads" in path.name)
    rows, questions = (pl.read_parquet(run / f"{name}.parquet") for name in ("rows", "questions"))
    cells = json.loads((run / "verdicts.json").read_text(encoding="utf-8"))["cells"]
    verdict = next(cell for name, cell in cells.items() if name.endswith("|sums|target:screened@resample"))
    found = [
        part for part in program.parts(rows, questions, "sums", "target:screened@resample") if part.name == "carry"
    ]
    assert sum(part.items for part in found) == verdict["n"]
    assert sum(part.items * part.change[0] for part in found) / verdict["n"] == pytest.approx(
        verdict["delta"], abs=0.02
    )


def test_the_page_is_what_the_rows_say(program: Any) -> None:
    assert (program.OUT / program.FILE).read_text(encoding="utf-8") == program.page(program.published())
