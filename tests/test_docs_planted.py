"""docs/planted.md is what docs/planted.jsonl says, and its numbers are counted right."""

from pathlib import Path

import pytest

from tests.program import load_program

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = load_program(ROOT / "docs" / "planted.py")


def test_the_page_is_what_was_measured():
    rows = PROGRAM.rows()
    assert (ROOT / "docs" / "planted.md").read_text(encoding="utf-8") == PROGRAM.page(rows)
    assert [row["seed"] for row in rows] == list(range(PROGRAM.DRAWS))


def test_recall_precision_and_auroc_of_a_made_row():
    row = {
        "circuit": ["L0H0", "L0H1", "L1H0"],
        "backups": ["L0H0", "L0H1"],
        "named": {"way": ["L0H1", "L1H0", "L1H3"]},
        "scores": {"way": {"L1H0": -0.9, "L1H3": 0.4, "L0H2": 0.0, "L1H1": 0.0}},
    }
    line = PROGRAM.line("way", [row])
    assert "| 1.00 (0.21–1.00; 1 of 1) | 1.00 (0.21–1.00; 1 of 1) | 0.67 (0.21–0.94; 2 of 3) | 1.000" in line
    assert PROGRAM.auroc({"a": 0.0, "b": 0.0, "c": 1.0}, {"a"}) == 0.25
    assert PROGRAM.auroc({"a": 0.0}, {"a"}) is None


@pytest.mark.slow
def test_a_row_is_measured_again():
    (row,) = [row for row in PROGRAM.rows() if row["seed"] == 2]
    again = PROGRAM.measured(2)
    assert {name: again[name] for name in ("circuit", "named", "stripes")} == {
        name: row[name] for name in ("circuit", "named", "stripes")
    }
