"""Intervals against known answers, exact enumeration, direct maximisation and independent implementations."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from statsmodels.stats.proportion import proportion_confint

from lesion.errors import InputError
from lesion.stats.distributions import range_quantile
from lesion.stats.intervals import (
    bca,
    cluster_mean,
    tango,
    tango_equivalence,
    tango_interval,
    tango_score,
    wilson,
)


@st.composite
def counts(draw, most=2_000):
    n = draw(st.integers(1, most))
    gained = draw(st.integers(0, n))
    return gained, draw(st.integers(0, n - gained)), n


def score_by_maximisation(b, c, n, delta):
    """Tango's statistic with the nuisance share found by maximising the trinomial likelihood numerically."""
    smallest, largest = max(0.0, -delta), (1 - delta) / 2

    def loss(q):
        shares = np.array([q + delta, q, 1 - 2 * q - delta])
        seen = np.array([b, c, n - b - c])
        return -(seen[seen > 0] * np.log(np.maximum(shares[seen > 0], 1e-300))).sum()

    q = optimize.minimize_scalar(loss, bounds=(smallest, largest), method="bounded", options={"xatol": 1e-13}).x
    return (b - c - n * delta) / np.sqrt(n * (2 * q + delta - delta**2))


@pytest.mark.parametrize(("b", "c", "n"), [(12, 2, 50), (3, 9, 40), (0, 5, 30), (7, 0, 100), (1, 1, 12), (40, 30, 200)])
@pytest.mark.parametrize("delta", [-0.2, -0.03, 0.01, 0.03, 0.3])
def test_the_score_equals_a_direct_maximisation_of_the_likelihood(b, c, n, delta):
    assert float(tango_score(b, c, n, delta)) == pytest.approx(
        score_by_maximisation(b, c, n, delta), rel=1e-5, abs=1e-6
    )


def test_tango_gives_the_known_intervals():
    assert tango(12, 2, 50) == pytest.approx((0.061112, 0.344709), abs=1e-6)
    assert tango(0, 0, 100, 0.90) == pytest.approx((-0.02634, 0.02634), abs=5e-6)


@given(counts())
@settings(deadline=None)
def test_tango_contains_the_estimate_stays_in_bounds_and_mirrors_when_the_arms_are_swapped(table):
    b, c, n = table
    low, high = tango(b, c, n)
    assert -1 <= low <= (b - c) / n + 1e-12
    assert (b - c) / n - 1e-12 <= high <= 1
    assert high - low > 0
    assert tango(c, b, n) == pytest.approx((-high, -low), abs=1e-9)


@given(counts(), st.floats(0.005, 0.4), st.sampled_from([0.01, 0.025, 0.05]))
@settings(deadline=None)
def test_the_equivalence_p_is_below_alpha_exactly_when_the_interval_lies_inside_the_margin(table, margin, alpha):
    low, high = tango(*table, 1 - 2 * alpha)
    if min(abs(low + margin), abs(high - margin)) > 1e-9:
        assert (float(tango_equivalence(*table, margin)) < alpha) == (-margin < low and high < margin)


@given(counts(), st.floats(0.5, 0.98))
@settings(deadline=None)
def test_more_confidence_never_narrows_an_interval(table, confidence):
    low, high = tango(*table, confidence)
    wider_low, wider_high = tango(*table, 0.99)
    assert wider_low <= low + 1e-12
    assert high <= wider_high + 1e-12


def coverage(n, psi, delta, confidence):
    """Exact, by summing the trinomial probabilities of all outcomes whose interval holds delta."""
    gained, lost = (psi + delta) / 2, (psi - delta) / 2
    most = int(n * psi + 8 * np.sqrt(n * psi)) + 5
    b, c = np.meshgrid(np.arange(most + 1), np.arange(most + 1), indexing="ij")
    fits = b + c <= n
    b, c = b[fits], c[fits]
    chance = stats.multinomial.pmf(np.stack([b, c, n - b - c], axis=-1), n, [gained, lost, 1 - psi])
    assert chance.sum() == pytest.approx(1, abs=1e-6)
    inside = np.abs(tango_score(b, c, n, delta)) <= stats.norm.ppf((1 + confidence) / 2)
    low, high = tango_interval(b, c, n, confidence)
    assert ((low <= delta) & (delta <= high) == inside).mean() > 0.999
    return float((chance * inside).sum())


@pytest.mark.parametrize(
    ("n", "psi", "delta", "low", "high"),
    [
        (100, 0.10, 0.00, 0.949, 0.957),
        (100, 0.20, 0.05, 0.949, 0.957),
        (250, 0.10, 0.03, 0.949, 0.957),
        (250, 0.30, 0.00, 0.949, 0.957),
        (500, 0.10, 0.03, 0.949, 0.957),
        (100, 0.05, 0.03, 0.938, 0.940),
        (100, 0.02, 0.00, 0.985, 0.999),
    ],
)
def test_tango_covers_as_often_as_enumeration_of_all_outcomes_says(n, psi, delta, low, high):
    assert low <= coverage(n, psi, delta, 0.95) <= high


@pytest.mark.parametrize(("n", "psi", "delta"), [(100, 0.1, 0.0), (250, 0.1, 0.03), (250, 0.3, 0.0)])
def test_tango_covers_ninety_percent_when_asked_for_ninety(n, psi, delta):
    assert 0.895 <= coverage(n, psi, delta, 0.90) <= 0.905


def test_wilson_equals_statsmodels():
    successes, n = np.array([0, 1, 7, 50, 99, 100]), 100
    low, high = wilson(successes, n)
    other = proportion_confint(successes, n, method="wilson")
    np.testing.assert_allclose(low, other[0], atol=1e-12)
    np.testing.assert_allclose(high, other[1], atol=1e-12)


def test_the_cluster_interval_of_equal_clusters_is_students_t_over_their_means():
    sums = np.random.default_rng(1).integers(-5, 9, 12)
    mean = cluster_mean(sums, np.full(12, 25))
    other = stats.ttest_1samp(sums / 25, 0).confidence_interval(0.95)
    assert mean.interval(0.95) == pytest.approx((other.low, other.high))


def test_the_cluster_interval_covers_with_as_few_as_six_clusters_of_unequal_size():
    draw = np.random.default_rng(20261122)
    hit = 0
    for _ in range(2_000):
        sizes = draw.integers(20, 31, 6)
        drift = draw.normal(0, 0.05, 6)
        gained = draw.binomial(sizes, np.clip(0.1 + drift / 2, 0, 1))
        lost = draw.binomial(sizes, np.clip(0.1 - drift / 2, 0, 1))
        low, high = cluster_mean(gained - lost, sizes).interval(0.95)
        hit += low <= 0 <= high
    assert hit / 2_000 >= 0.93


def test_bca_agrees_with_scipys_bootstrap():
    values = np.random.default_rng(3).exponential(1.0, 40) - 0.8
    low, high = bca(values, np.ones(40), np.random.default_rng(4), resamples=20_000)
    other = stats.bootstrap(
        (values,), np.mean, method="BCa", n_resamples=20_000, rng=np.random.default_rng(5)
    ).confidence_interval
    assert (float(low[0]), float(high[0])) == pytest.approx((other.low, other.high), abs=0.015)


def test_bca_of_five_hundred_comparisons_with_ten_thousand_resamples_takes_seconds_at_most():
    sums = np.random.default_rng(6).normal(0.02, 0.1, (500, 60))
    start = time.process_time()
    low, high = bca(sums, np.ones(60), np.random.default_rng(7), resamples=10_000)
    assert time.process_time() - start < 4  # 0.5 s alone on one core
    assert (low < sums.mean(1)).all()
    assert (high > sums.mean(1)).all()


def test_bca_knows_nothing_when_all_clusters_agree_and_refuses_few_clusters():
    low, high = bca(np.ones((1, 30)), np.ones(30), np.random.default_rng(0))
    assert np.isnan(low).all()
    assert np.isnan(high).all()
    with pytest.raises(InputError, match="at least 30 clusters"):
        bca(np.ones((1, 29)), np.ones(29), np.random.default_rng(0))


@pytest.mark.parametrize("draws", [2, 3, 4, 8, 16])
@pytest.mark.parametrize("level", [0.05, 0.5, 0.95, 0.9999])
def test_the_quantile_of_a_range_of_normals_is_scipys_studentized_range(level, draws):
    assert range_quantile(level, draws) == pytest.approx(stats.studentized_range.ppf(level, draws, np.inf), rel=1e-8)


def test_the_range_of_three_normals_has_its_known_quantiles():
    assert range_quantile(0.95) == pytest.approx(3.3145, abs=1e-4)
    assert (range_quantile(1 - 0.05 / 15) / 0.03) ** 2 == pytest.approx(23_440, rel=1e-3)
    ranges = np.ptp(np.random.default_rng(8).standard_normal((400_000, 3)), axis=1)
    assert (ranges < range_quantile(0.95)).mean() == pytest.approx(0.95, abs=0.002)


@pytest.mark.parametrize("call", [lambda: tango(-1, 0, 5), lambda: tango(3, 3, 5), lambda: tango(0, 0, 0)])
def test_impossible_counts_are_refused(call):
    with pytest.raises(InputError, match="b \\+ c <= n"):
        call()


def test_impossible_shares_confidence_and_clusters_are_refused():
    with pytest.raises(InputError, match="Wilson"):
        wilson(6, 5)
    with pytest.raises(InputError, match="strictly between"):
        tango(1, 1, 5, 1.0)
    with pytest.raises(InputError, match="two clusters"):
        cluster_mean([1], [5])
