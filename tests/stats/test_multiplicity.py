"""Corrections against the literature and statsmodels."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from lesion.errors import InputError
from lesion.stats.multiplicity import bh, by, holm, max_t
from lesion.stats.paired.tests import sign_flip

BENJAMINI_HOCHBERG = [
    0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0,
]  # fmt: skip
"""The fifteen p-values of Benjamini and Hochberg (1995), section 3.2."""

PS = st.lists(st.floats(0, 1), min_size=1, max_size=20)


@pytest.mark.parametrize(("method", "name", "rejected"), [(holm, "holm", 3), (bh, "fdr_bh", 4), (by, "fdr_by", 3)])
def test_the_fifteen_p_values_of_1995_are_rejected_as_published(method, name, rejected):
    adjusted = method(BENJAMINI_HOCHBERG)
    assert (adjusted <= 0.05).sum() == rejected
    np.testing.assert_allclose(adjusted, multipletests(BENJAMINI_HOCHBERG, 0.05, name)[1], rtol=1e-12)


@pytest.mark.parametrize("count", [1, 2, 5, 20, 200])
def test_corrections_equal_statsmodels_on_any_p_values(count):
    p = np.random.default_rng(count).beta(0.5, 2, count).round(2)
    for method, name in ((holm, "holm"), (bh, "fdr_bh"), (by, "fdr_by")):
        np.testing.assert_allclose(method(p), multipletests(p, 0.05, name)[1], rtol=1e-9, atol=1e-15)


@given(PS, st.integers(0, 10))
@settings(deadline=None)
def test_a_family_larger_than_its_p_values_counts_the_absent_as_one(p, absent):
    for method in (holm, bh, by):
        np.testing.assert_allclose(method(p, len(p) + absent), method(p + [1.0] * absent)[: len(p)], rtol=1e-12)


@given(PS, st.randoms())
@settings(deadline=None)
def test_holm_keeps_order_never_shrinks_p_and_does_not_depend_on_the_order_given(p, random):
    adjusted = holm(p)
    assert (adjusted >= p).all()
    assert (adjusted <= np.minimum(1, np.array(p) * len(p)) + 1e-12).all()
    order = list(range(len(p)))
    random.shuffle(order)
    np.testing.assert_array_equal(holm([p[k] for k in order]), adjusted[order])


def test_holm_adjusts_every_family_along_the_last_axis():
    p = np.random.default_rng(0).random((4, 3, 7))
    each = np.array([[holm(row) for row in block] for block in p])
    np.testing.assert_array_equal(holm(p), each)
    assert holm([]).shape == (0,)


def test_max_t_of_one_hypothesis_is_the_sign_flip_test():
    values = np.random.default_rng(1).normal(0.5, 1, 12)
    assert max_t(values[:, None], np.random.default_rng(0))[0] == pytest.approx(
        sign_flip(values, np.random.default_rng(0))
    )


def test_max_t_of_copies_costs_nothing_where_holm_pays_for_each():
    values = np.random.default_rng(2).normal(0.5, 1, 14)
    adjusted = max_t(np.repeat(values[:, None], 5, axis=1), np.random.default_rng(0))
    np.testing.assert_allclose(adjusted, sign_flip(values, np.random.default_rng(0)))


def westfall_young(table):
    """The step-down procedure written out afresh, a loop over every pattern of signs (Westfall & Young 1993, 4.1)."""

    def statistic(rows):
        return [abs(sum(column)) / sum(v * v for v in column) ** 0.5 for column in zip(*rows, strict=True)]

    seen = statistic(table)
    order = sorted(range(len(seen)), key=lambda j: -seen[j])
    counts, patterns = [0] * len(seen), list(product((1, -1), repeat=len(table)))
    for signs in patterns:
        drawn = statistic([[sign * v for v in row] for sign, row in zip(signs, table, strict=True)])
        for rank, j in enumerate(order):
            counts[j] += max(drawn[k] for k in order[rank:]) >= seen[j] - 1e-9
    adjusted, largest = [0.0] * len(seen), 0.0
    for j in order:
        largest = max(largest, counts[j] / len(patterns))
        adjusted[j] = largest
    return adjusted


@pytest.mark.parametrize("seed", range(3))
def test_max_t_equals_an_enumeration_written_afresh(seed):
    draw = np.random.default_rng(seed)
    table = draw.normal(0, 1, (9, 1)) + draw.normal([1.0, 0.5, 0.0, -0.8], 1)
    np.testing.assert_allclose(max_t(table, draw), westfall_young(table.tolist()))


def test_max_t_holds_the_family_wise_error_rate_under_dependence():
    draw = np.random.default_rng(3)
    errors = 0
    for _ in range(400):
        table = draw.normal(0, 1, (12, 1)) + draw.normal(0, 1, (12, 6))
        errors += (max_t(table, draw) <= 0.05).any()
    assert errors / 400 <= 0.05 + 2.33 * np.sqrt(0.05 * 0.95 / 400)


def test_max_t_finds_the_one_true_effect_among_many_and_gives_an_empty_column_one():
    table = np.random.default_rng(4).normal(0, 1, (60, 20))
    table[:, 3] += 1.5
    table[:, 7] = 0
    adjusted = max_t(table, np.random.default_rng(5))
    assert adjusted[3] == 1 / 10_000
    assert adjusted[7] == 1
    assert (np.delete(adjusted, 3) > 0.05).all()


@pytest.mark.parametrize("p", [[0.5, np.nan], [-0.1], [1.1], 0.5])
def test_what_is_no_p_value_is_refused(p):
    with pytest.raises(InputError, match="p-values"):
        holm(p)


def test_a_family_smaller_than_its_p_values_is_refused():
    with pytest.raises(InputError, match="declare the family at its full size"):
        holm([0.1, 0.2], family_size=1)
