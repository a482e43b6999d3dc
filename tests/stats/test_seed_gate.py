"""The seed gate of the rule: passed, failed, not evaluable and degenerate, and what each allows."""

from dataclasses import replace

import numpy as np

from lesion.stats.verdict.judge import PairedRows, Rule
from tests.stats.cells import N, by_stratum, holds, one, rows


def test_the_seed_gate_passes_strictly_below_three_points_only():
    assert one(rows((60 + 38, 60, 60), 60)).seed_gate == "Pass"  # 38 / 1300 = 2.92 points
    assert one(rows((60 + 39, 60, 60), 60)).seed_gate == "Fail"  # 39 / 1300 = 3.00 points
    assert one(rows((60 + 39, 60, 60), 60), rule=Rule(spread=0.0301)).seed_gate == "Pass"


def test_unstable_seeds_forbid_a_null_and_make_it_ambiguous():
    unstable = one(rows((60 + 25, 60, 60), (60, 60 + 25, 60)))
    assert (unstable.seed_gate, unstable.verdict) == ("Fail", "Ambiguous")
    assert holds(unstable, "equivalent")
    assert one(rows((85, 60, 60), (60, 85, 60)), look=2).needed_n is None


def test_unstable_seeds_that_all_point_one_way_allow_the_direction_but_not_the_size():
    verdict = one(rows((200, 260, 300), 20))
    assert (verdict.verdict, verdict.tags) == ("Improvement", ("magnitude_unstable",))
    assert (verdict.seed_gate, holds(verdict, "every seed on one side")) == ("Fail", True)
    other = one(rows((20, 20, 20), (200, 260, 300)))
    assert (other.verdict, other.tags) == ("Harm", ("magnitude_unstable",))


def test_unstable_seeds_of_which_one_does_not_exclude_zero_allow_nothing():
    verdict = one(rows((25, 260, 300), 20))
    assert holds(verdict, "detected")
    assert (verdict.seed_gate, verdict.verdict) == ("Fail", "Ambiguous")


def test_a_gate_with_too_few_items_is_not_evaluable_and_never_failed():
    unstable = rows((85, 60, 60), (60, 85, 60))
    verdict = one(unstable, psi=0.2)
    assert (verdict.seed_gate, verdict.verdict) == ("NotEvaluable", "Ambiguous")
    assert one(rows(60, 60), psi=0.2).seed_gate == "NotEvaluable"
    assert one(rows(140, 40), psi=0.2).tags == ("magnitude_unstable",)


def test_evaluability_comes_from_discovery_and_not_from_what_was_observed():
    noisy = rows(200, 200)
    assert (noisy.difference != 0).mean() > 0.3
    assert one(noisy, psi=0.1).seed_gate == "Pass"
    assert one(rows(1, 1), psi=0.3).seed_gate == "NotEvaluable"


def test_two_seeds_are_not_evaluable():
    cell = rows(60, 60)
    assert one(cell.where(cell.seed < 2)).seed_gate == "NotEvaluable"


def test_seeds_that_bring_the_same_items_are_degenerate_and_support_no_claim():
    item = np.tile(np.arange(N), 3)
    for cell in (rows(140, 40, item=item), rows(60, 60, item=item), replace(by_stratum(60, 60), item=np.tile(item, 2))):
        verdict = one(cell)
        assert (verdict.seed_gate, verdict.verdict) == ("Degenerate", "Ambiguous")
    assert one(rows(140, 40, item=np.arange(3 * N))).seed_gate == "Pass"


def test_seeds_with_identical_outcomes_are_degenerate_where_items_are_not_given():
    cell = rows(60, 60)
    third = np.tile(np.flatnonzero(cell.seed == 0), 3)
    copied = PairedRows(cell.baseline[third], cell.edited[third], cell.seed)
    assert one(copied).seed_gate == "Degenerate"
