"""Recall of a screen: exact where all sites are measured, and otherwise an interval that covers it."""

import numpy as np
import pytest

from lesion.identity import generator
from lesion.measures.attribution.recall import Stratum, recall


def truth(chosen: np.ndarray, others: np.ndarray) -> float:
    """Share of the k largest of all that are chosen."""
    order = np.argsort(-np.concatenate([chosen, others]), kind="stable")[: len(chosen)]
    return float((order < len(chosen)).mean())


def test_three_of_ten_are_three_of_ten():
    chosen = np.array([10.0, 9, 8, *[0.1] * 7])
    others = np.array([*range(20, 27), *[0.05] * 83], dtype=float)
    found = recall(chosen, [Stratum(90, others)])
    assert (found.value, found.low, found.high, found.exact) == (0.3, 0.3, 0.3, True)
    assert truth(chosen, others) == 0.3


def test_with_every_site_measured_it_is_the_overlap_in_any_strata():
    rng = generator("recall", "whole")
    for _ in range(50):
        chosen, others = rng.exponential(2, 8), rng.exponential(1, 60)
        found = recall(chosen, [Stratum(20, others[:20]), Stratum(40, others[20:])])
        assert found.value == found.low == found.high == pytest.approx(truth(chosen, others))
        assert found.exact


def test_the_interval_covers_the_truth_and_a_larger_sample_narrows_it():
    rng = generator("recall", "coverage")
    covered, widths = 0, {10: 0.0, 60: 0.0}
    for _ in range(200):
        chosen, others = rng.exponential(2, 10), rng.exponential(1, 260)
        for n in widths:
            near, far = rng.permutation(others[:40]), rng.permutation(others[40:])
            found = recall(chosen, [Stratum(40, near[: n // 2]), Stratum(220, far[: n // 2])])
            assert found.low <= found.value <= found.high
            covered += found.low - 1e-9 <= truth(chosen, others) <= found.high + 1e-9
            widths[n] += found.high - found.low
    assert covered >= 0.95 * 400
    assert widths[60] < widths[10]


def test_a_small_sample_says_that_little_is_known():
    found = recall(np.ones(10), [Stratum(40, np.zeros(5)), Stratum(220, np.zeros(5))])
    assert found.value == 1.0  # nothing larger was seen
    assert found.low == 0.0  # but ten sites of 260 say nothing about the rest
    assert (found.measured, found.sites, found.exact) == (20, 270, False)
