"""docs/racing.md is what docs/racing.json says, and no more races lose a true top head than the rule allows."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.program import load_program

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = load_program(ROOT / "docs" / "racing.py")
FOUND = json.loads((ROOT / "docs" / "racing.json").read_text(encoding="utf-8"))


def test_the_page_is_what_was_measured():
    assert (ROOT / "docs" / "racing.md").read_text(encoding="utf-8") == PROGRAM.page(FOUND)
    assert FOUND["rule"] == PROGRAM.RULE._asdict()


@pytest.mark.parametrize("way", ["races", "blind", "endless", "endless_blind"])
def test_races_lose_no_more_than_the_rule_allows(way: str):
    for one in FOUND["tasks"].values():
        assert one[way]["lost"] <= FOUND["rule"]["error"] * one[way]["races"]
        assert one[way]["share"] <= (1 if "endless" in way else FOUND["rule"]["budget"])


def test_maps_are_read_from_the_layers_that_are_there(tmp_path: Path):
    rng = np.random.default_rng(0)
    estimates, exact = rng.normal(size=(6, 4, 2)), rng.normal(size=(6, 2))
    np.savez(tmp_path / "ioi-estimates.npz", found=estimates, seconds=1.0)
    for layer in (3, 1):
        np.savez(tmp_path / f"ioi-{layer}.npz", found=exact + layer, seconds=2.0)
    made = PROGRAM.read(tmp_path, "ioi")
    assert made.names == ["L1H0", "L1H1", "L3H0", "L3H1"]
    assert (made.exact == np.concatenate([exact + 1, exact + 3], 1)).all()
    assert (made.estimates == estimates[:, [1, 3]].reshape(6, 4)).all()
    assert (made.heads, made.seconds, made.layers.tolist()) == (8, 4.0, [0, 0, 1, 1])
