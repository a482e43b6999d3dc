"""Paired tests against known answers and independent implementations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from lesion.errors import InputError
from lesion.stats.paired.tests import deltas, mcnemar_exact, sign_flip, sign_flip_exact, wilcoxon

GOLDEN = {
    (0, 0): 1.0,
    (5, 0): 0.0625,
    (6, 0): 0.03125,
    (9, 2): 0.0654297,
    (15, 5): 0.0413895,
    (30, 15): 0.0356978,
    (60, 40): 0.0568879,
    (10, 10): 1.0,
}


@pytest.mark.parametrize(("table", "p"), GOLDEN.items())
def test_mcnemar_gives_the_known_answers_of_statsmodels(table, p):
    b, c = table
    assert float(mcnemar_exact(b, c)) == pytest.approx(p, abs=5e-8)
    assert float(mcnemar_exact(b, c)) == pytest.approx(mcnemar([[50, b], [c, 50]], exact=True).pvalue, rel=1e-12)


def test_fewer_than_six_discordant_pairs_can_never_reach_five_percent():
    assert all(float(mcnemar_exact(b, n - b)) > 0.05 for n in range(6) for b in range(n + 1))


def test_mcnemar_of_thousands_of_pairs_equals_the_binomial_test():
    b, c = np.array([5_210, 301, 2_000]), np.array([4_990, 242, 2_000])
    expected = [stats.binomtest(int(x), int(x + y)).pvalue for x, y in zip(b, c, strict=True)]
    np.testing.assert_allclose(mcnemar_exact(b, c), expected, rtol=1e-9)


def test_the_paired_difference_counts_gains_and_losses():
    found = deltas([0, 0, 1, 1, 1, 0], [1, 1, 0, 1, 1, 0])
    assert found == (6, 2, 1)
    assert (found.delta, found.psi) == pytest.approx((1 / 6, 0.5))
    assert found.odds_ratio == 2
    assert found.cohens_g == pytest.approx(2 / 3 - 1 / 2)


def test_effect_sizes_without_discordant_pairs_are_not_numbers():
    found = deltas([1, 0], [1, 0])
    assert np.isnan(found.odds_ratio)
    assert np.isnan(found.cohens_g)
    assert deltas([0, 0], [1, 0]).odds_ratio == np.inf


@pytest.mark.parametrize("arms", [([], []), ([0, 1], [0]), ([0, 2], [0, 1]), ([0.0, np.nan], [0, 1])])
def test_arms_that_are_not_paired_zeros_and_ones_are_refused(arms):
    with pytest.raises(InputError):
        deltas(*arms)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 5))
@settings(deadline=None)
def test_the_exact_sign_flip_of_single_items_is_mcnemars_test(b, c, ties):
    if b + c + ties:
        sums = np.repeat([1, -1, 0], [b, c, ties])
        assert sign_flip_exact(sums) == pytest.approx(float(mcnemar_exact(b, c)), rel=1e-9)


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=12), st.integers(0, 2**32))
@settings(deadline=None)
def test_convolution_enumeration_and_order_agree_on_whole_numbers(sums, seed):
    draw = np.random.default_rng(seed)
    assert sign_flip_exact(sums) == pytest.approx(sign_flip(sums, draw), rel=1e-9)
    assert sign_flip_exact(draw.permutation(sums)) == pytest.approx(sign_flip_exact(sums), rel=1e-9)
    assert sign_flip_exact([-each for each in sums]) == pytest.approx(sign_flip_exact(sums), rel=1e-9)


def test_the_enumerated_sign_flip_equals_scipys_permutation_test():
    values = np.random.default_rng(2).normal(0.4, 1, 10)
    other = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip(values, np.random.default_rng(0)) == pytest.approx(other.pvalue, rel=1e-9)


def test_the_random_sign_flip_is_near_the_exact_one_and_never_zero():
    sums = np.random.default_rng(5).integers(-6, 9, 40)
    exact = sign_flip_exact(sums)
    assert sign_flip(sums, np.random.default_rng(6)) == pytest.approx(exact, abs=5 * np.sqrt(exact / 9_999))
    assert sign_flip(np.ones(60), np.random.default_rng(7)) == 1 / 10_000
    assert sign_flip_exact(np.ones(60, dtype=int)) == pytest.approx(2 / 2.0**60)


def test_the_same_generator_gives_the_same_p():
    values = np.random.default_rng(1).normal(0.1, 1, 50)
    first, second = (sign_flip(values, np.random.default_rng(9)) for _ in range(2))
    assert first == second


def test_wilcoxon_equals_scipy_and_is_one_when_nothing_differs():
    values = np.random.default_rng(3).normal(0.3, 1, 25)
    assert wilcoxon(values) == stats.wilcoxon(values, zero_method="pratt").pvalue
    assert wilcoxon(np.zeros(4)) == 1


@pytest.mark.parametrize("test", [sign_flip_exact, wilcoxon, lambda x: sign_flip(x, np.random.default_rng(0))])
def test_tests_refuse_no_data_and_non_numbers(test):
    with pytest.raises(InputError):
        test([])
    with pytest.raises(InputError):
        test([0.5, np.nan])


def test_too_few_random_flips_are_refused():
    with pytest.raises(InputError, match="9,999"):
        sign_flip(np.ones(40), np.random.default_rng(0), draws=999)
