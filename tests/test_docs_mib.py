"""docs/mib.md is what docs/mib.json says, and its areas are those of the curves that it shows."""

import json
from pathlib import Path

import pytest

from lesion.measures.circuits.size_curve import FRACTIONS, areas
from tests.program import load_program

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = load_program(ROOT / "docs" / "mib.py")


def test_the_page_is_what_was_measured():
    found = json.loads((ROOT / "docs" / "mib.json").read_text(encoding="utf-8"))
    assert (ROOT / "docs" / "mib.md").read_text(encoding="utf-8") == PROGRAM.page(found)
    for curve in found["curves"]:
        shares = [point["faithfulness"] for point in curve["points"]]
        assert areas(FRACTIONS, shares) == (pytest.approx(curve["cpr"]), pytest.approx(curve["cmd"]))
