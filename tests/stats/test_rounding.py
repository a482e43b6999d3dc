from dataclasses import replace

import numpy as np
import pytest

from lesion.stats.paired.rows import PairedRows
from lesion.stats.verdict.bfloat16_floor import CLAUSE, beside_floor, rounding_floor
from lesion.stats.verdict.judge import judge
from lesion.stats.verdict.rule import Discovered, Rule

RULE = Rule()
SIDES = [("operator=+", 0.1, 0.2), ("operator=-", -0.2, -0.04)]


def _verdict(gained, lost, n=3000):
    """The float32 verdict of three seeds with so many changed answers."""
    before = np.ones(n, dtype=bool)
    before[: n // 2] = False
    after = before.copy()
    after[:gained] = True
    after[n // 2 : n // 2 + lost] = False
    rows = PairedRows(before, after, np.arange(n) % 3)
    found = {"a": Discovered(psi=(gained + lost) / n, delta=(gained - lost) / n)}
    return judge({"a": rows}, RULE, look=1, family_size=1, discovered=found, chance={"a": 0.0})["a"]


def test_the_floor_is_twice_the_largest_share_of_flips_that_the_sample_allows():
    assert rounding_floor(0, 256) == pytest.approx(2 * 0.01046, abs=1e-4)
    assert rounding_floor(5, 256) > 2 * 5 / 256
    assert rounding_floor(0, 0) == 1
    assert rounding_floor(256, 256) == 1


@pytest.mark.parametrize(
    ("claim", "low", "high"), [("Improvement", 0.05, 0.15), ("Harm", -0.15, -0.05), ("Null", -0.005, 0.005)]
)
def test_a_claim_stands_beyond_the_floor_and_is_marked_and_falls_within_it(claim, low, high):
    found = replace(_verdict(90, 0), verdict=claim, ci_low=low, ci_high=high)
    beyond, within = (beside_floor(found, floor, RULE) for floor in (0.02, 0.06))
    assert beyond.verdict == claim
    assert beyond.tags[-1] == "bfloat16"
    assert within.verdict == "Invalid"
    assert "bfloat16 floor" in within.reason
    assert (beyond.clauses[-1].name, beyond.clauses[-1].holds, within.clauses[-1].holds) == (CLAUSE, True, False)
    assert beyond.delta == within.delta == found.delta


def test_opposite_kinds_stand_only_where_both_clear_the_floor():
    found = _verdict(90, 0)
    parts = tuple(replace(found.seeds[0], name=name, low=low, high=high) for name, low, high in SIDES)
    mixed = replace(found, verdict="Mixed", strata=parts)
    assert beside_floor(mixed, 0.03, RULE).verdict == "Mixed"
    assert beside_floor(mixed, 0.05, RULE).verdict == "Invalid"


def test_what_claims_nothing_is_marked_and_stays():
    found = _verdict(90, 0)
    assert found.verdict in ("Ambiguous", "Inconclusive")
    assert beside_floor(found, 1.0, RULE).verdict == found.verdict
