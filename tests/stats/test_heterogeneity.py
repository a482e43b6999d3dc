"""Pooling over models agrees with statsmodels, and with what can be worked out by hand."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects

from lesion.errors import InputError
from lesion.stats.heterogeneity import Estimate, pooled, variance

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
