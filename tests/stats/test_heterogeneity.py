"""Pooling over models agrees with statsmodels, and with what can be worked out by hand."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects

from lesion.errors import InputError
from lesion.stats.meta_analysis import Estimate, pooled, predicted, variance

ESTIMATES = st.lists(
    st.builds(Estimate, st.floats(-0.9, 0.9), st.floats(1e-6, 1e-2)), min_size=2, max_size=8
)  # fmt: skip


@given(ESTIMATES)
def test_pooling_is_dersimonian_and_lairds_as_statsmodels_computes_it(estimates):
    deltas, variances = np.array(estimates).T
    assume(np.ptp(deltas) > 1e-3)  # equal effects divide by zero in the peer; the next test has them
    with np.errstate(divide="ignore", invalid="ignore"):
        peer = combine_effects(deltas, variances, method_re="chi2")
    ours = pooled(estimates)
    assert ours.q == pytest.approx(peer.q, rel=1e-6, abs=1e-6)
    assert ours.tau**2 == pytest.approx(max(0.0, peer.tau2), rel=1e-6, abs=1e-6)
    assert ours.delta == pytest.approx(peer.mean_effect_re if peer.tau2 > 0 else peer.mean_effect_fe, abs=1e-6)
    assert ours.p == pytest.approx(stats.chi2.sf(peer.q, len(estimates) - 1), rel=1e-4, abs=1e-6)
    assert ours.i_squared == pytest.approx(max(0.0, peer.i2), abs=1e-5)


def test_models_that_agree_have_no_heterogeneity_and_the_mean_of_them_all():
    found = pooled([Estimate(-0.1, 1e-4)] * 3)
    assert (found.q, found.p, found.i_squared, found.tau) == (0.0, 1.0, 0.0, 0.0)
    assert found.delta == pytest.approx(-0.1)
    assert found.high - found.low == pytest.approx(2 * 1.959963984540054 * np.sqrt(1e-4 / 3))


def test_two_models_far_apart_differ_by_more_than_their_items_explain():
    found = pooled([Estimate(-0.5, 1e-4), Estimate(0.1, 1e-4)])
    assert found.q == pytest.approx(0.36 / 2e-4)  # (difference)² / (sum of variances)
    assert found.tau**2 == pytest.approx(0.18 - 1e-4)  # half the squared difference, less the items' share
    assert found.i_squared > 0.999
    assert found.low < 0 < found.high, "two models as far apart carry no common effect"


def test_a_single_model_is_not_pooled():
    with pytest.raises(InputError, match="two estimates"):
        pooled([Estimate(0.1, 1e-4)])


@pytest.mark.parametrize(("gained", "lost", "n"), [(0, 0, 100), (100, 0, 100), (0, 100, 100), (3, 9, 50)])
def test_the_variance_is_positive_also_where_no_item_or_every_item_changed(gained, lost, n):
    assert 0 < variance(gained, lost, n) < 0.02


def test_the_variance_is_that_of_paired_differences():
    draws = np.repeat([1, -1, 0], [300, 900, 8800])
    assert variance(300, 900, 10_000) == pytest.approx(draws.var() / 10_000, rel=2e-3)


BCG = (
    (4, 119, 11, 128), (6, 300, 29, 274), (3, 228, 11, 209), (62, 13536, 248, 12619), (33, 5036, 47, 5761),
    (180, 1361, 372, 1079), (8, 2537, 10, 619), (505, 87886, 499, 87892), (29, 7470, 45, 7232), (17, 1699, 65, 1600),
    (186, 50448, 141, 27197), (5, 2493, 3, 2338), (27, 16886, 29, 17825),
)  # fmt: skip
"""Thirteen trials of the BCG vaccine (Colditz et al. 1994): cases and others, treated and not."""


def trials() -> list[Estimate]:
    """Log relative risks and their variances."""
    return [
        Estimate(float(np.log(a / (a + b) / (c / (c + d)))), 1 / a - 1 / (a + b) + 1 / c - 1 / (c + d))
        for a, b, c, d in BCG
    ]


def test_hartung_and_knapps_interval_of_the_bcg_trials_is_the_published_one():
    """Metafor's page (Viechtbauer 2010, `rma(yi, vi, test = "knha")`): tau² .3132 by REML, -.7145 [-1.1084, -.3206]."""
    found = predicted(trials(), tau_squared=0.3132)
    assert found is not None
    assert (found.delta, found.low, found.high) == pytest.approx((-0.7145, -1.1084, -0.3206), abs=1e-4)
    assert round(found.q, 3) == 152.233
    by_moments = predicted(trials())
    assert by_moments is not None
    assert round(by_moments.tau**2, 4) == 0.3088  # the same trials by DerSimonian and Laird, same source
    low, high = np.exp([found.predicted_low, found.predicted_high])
    assert (round(float(low), 2), round(float(high), 2)) == (0.13, 1.79)  # with 11 degrees; 0.14 … 1.76 with 12


@given(st.lists(st.builds(Estimate, st.floats(-0.9, 0.9), st.floats(1e-6, 1e-2)), min_size=5, max_size=9))
def test_the_interval_of_the_mean_is_hartung_and_knapps_as_statsmodels_computes_it_and_never_narrower(estimates):
    deltas, variances = np.array(estimates).T
    assume(np.ptp(deltas) > 1e-3)
    with np.errstate(divide="ignore", invalid="ignore"):
        peer = combine_effects(deltas, variances, method_re="chi2", use_t=True)
    assume(peer.tau2 > 0)
    ours = predicted(estimates)
    assert ours is not None
    plain = 1 / np.sqrt(np.sum(1 / (variances + peer.tau2)))
    half = stats.t.ppf(0.975, len(estimates) - 1) * max(peer.sd_eff_w_re_hksj, plain)
    assert ours.high - ours.delta == pytest.approx(half, rel=1e-6)
    assert ours.predicted_low < ours.low < ours.delta < ours.high < ours.predicted_high


def test_four_models_have_no_mean():
    assert predicted(trials()[:4]) is None
    assert predicted(trials()[:5]) is not None
