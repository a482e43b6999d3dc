import numpy as np
import pytest

from lesion.stats.decide import judge
from lesion.stats.rounding import CLAUSE, beside_floor, rounding_floor
from lesion.stats.rows import PairedRows
from lesion.stats.rule import Discovered, Rule

RULE = Rule()


def _verdict(gained, lost, n=30_000):
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


@pytest.mark.parametrize(("gained", "lost", "claim"), [(3000, 0, "Improvement"), (0, 3000, "Harm"), (100, 100, "Null")])
def test_a_claim_stands_beyond_the_floor_and_is_marked_and_falls_within_it(gained, lost, claim):
    found = _verdict(gained, lost)
    assert found.verdict == claim
    beyond, within = (beside_floor(found, floor, RULE) for floor in (0.005, 0.3))
    assert beyond.verdict == claim
    assert beyond.tags[-1] == "bfloat16"
    assert within.verdict == "Invalid"
    assert "bfloat16 floor" in within.reason
    assert (beyond.clauses[-1].name, beyond.clauses[-1].holds, within.clauses[-1].holds) == (CLAUSE, True, False)
    assert beyond.delta == within.delta == found.delta


def test_what_claims_nothing_is_marked_and_stays():
    found = _verdict(90, 0, n=3000)
    assert found.verdict in ("Ambiguous", "Inconclusive")
    assert beside_floor(found, 1.0, RULE).verdict == found.verdict
