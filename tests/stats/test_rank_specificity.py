"""Rank p-values over matched sets: known answers, uniform under exchangeability, Holm, and what cannot be shown."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesion.errors import InputError
from lesion.stats.specificity.rank import SetEffects, evaluable, fewest_sets, rank_specificity
from lesion.stats.verdict.rule import Rule

RULE = Rule()


def cell(target, effects, verdict="Harm"):
    return SetEffects(verdict, target, tuple(effects), items=512, exist=len(effects))


def ranked(target, effects, verdict="Harm", asking=1):
    return rank_specificity({"cell": cell(target, effects, verdict)}, RULE, asking=asking)["cell"]


def test_five_of_fifteen_pairs_as_bad_give_three_eighths():
    """The published llama, tier 4: 5 of the 15 disjoint pairs of its layer lose as much."""
    found = ranked(-0.3, [-0.5, -0.4, -0.35, -0.31, -0.3, *np.linspace(-0.29, 0.02, 10)])
    assert (found.p, found.rank) == (6 / 16, 6)
    assert found.status == "not evaluable"
    assert "15 sets give no p below 0.0625; 1 cells that ask need 40 sets or more" in found.reason
    assert found.strongest == (0, 1, 2, 3, 4)


def test_no_fifteen_sets_can_show_anything_but_forty_can():
    assert ranked(-9.0, [0.0] * 15).status == "not evaluable"
    assert ranked(-9.0, [0.0] * 39).status == "not evaluable"
    found = ranked(-9.0, [0.0] * 40)
    assert (found.status, found.p, found.rank) == ("specific", 1 / 41, 1)
    assert ranked(-9.0, [-9.0, *[0.0] * 39]).status == "not specific"
    assert (fewest_sets(RULE), fewest_sets(RULE, asking=6)) == (40, 240)


def test_direction_is_that_of_the_verdict():
    effects = [0.5, *[0.0] * 98]
    assert ranked(0.4, effects, "Improvement").p == 2 / 100
    assert ranked(0.4, effects, "Harm").p == 1.0, "no harm on these items"
    assert ranked(-0.4, effects, "Harm").rank == 1


@pytest.mark.parametrize("verdict", ["Null", "Mixed", "Inconclusive", "Invalid"])
def test_a_cell_without_a_detected_effect_does_not_ask(verdict):
    found = ranked(-0.4, [0.0] * 99, verdict, asking=0)
    assert (found.status, found.p_holm, found.reason) == ("not asked", 1.0, "")


def test_holm_runs_over_the_cells_that_ask_and_no_others():
    cells = {name: cell(-1.0, np.linspace(-0.9, 0.9, 200)) for name in "abcde"}
    quiet = cell(0.0, [0.0] * 199, "Null")
    found = rank_specificity({**cells, "quiet": quiet}, RULE, asking=5)
    assert [found[name].p_holm for name in "abcde"] == [pytest.approx(5 / 201)] * 5
    assert {found[name].status for name in "abcde"} == {"specific"}
    crowded = rank_specificity(cells, RULE, asking=6)
    assert {each.status for each in crowded.values()} == {"not evaluable"}
    assert (evaluable(199, RULE, asking=4), evaluable(199, RULE, asking=5)) == (4, 0)


def test_a_step_down_can_carry_a_cell_with_fewer_sets():
    cells = {"many": cell(-1.0, [0.0] * 999), **{name: cell(-1.0, [0.0] * 200) for name in "abcde"}}
    found = rank_specificity(cells, RULE, asking=6)
    assert {each.status for each in found.values()} == {"specific"}


def test_under_exchangeability_every_rank_is_as_likely():
    draw = np.random.default_rng(8)
    effects = draw.standard_t(2, (4000, 40)) - 1000  # harms all
    p = [ranked(row[0], row[1:]).p for row in effects]
    assert np.bincount(np.rint(np.array(p) * 40).astype(int), minlength=41)[1:] == pytest.approx(100, abs=45)


@given(
    st.lists(st.integers(-3, 3), min_size=1, max_size=60), st.integers(-3, 3), st.sampled_from(["Harm", "Improvement"])
)
def test_the_rank_counts_ties_against_the_target(effects, target, verdict):
    found = ranked(float(target), [float(each) for each in effects], verdict)
    as_bad = sum(each <= target if verdict == "Harm" else each >= target for each in effects)
    if target == 0 or (target < 0) != (verdict == "Harm"):
        as_bad = len(effects)
    assert found.rank == 1 + as_bad
    assert found.p == (1 + as_bad) / (1 + len(effects))
    assert 0 < found.p <= found.p_holm <= 1
    assert len(found.strongest) == min(5, len(effects))
    mirrored = ranked(-float(target), [-float(each) for each in effects], {"Harm": "Improvement"}.get(verdict, "Harm"))
    assert (mirrored.rank, mirrored.status, mirrored.strongest) == (found.rank, found.status, found.strongest)


def test_a_target_without_the_detected_effect_on_these_items_is_last():
    """A harm that turns into a gain on the items of the sets says nothing, however much the sets gain."""
    found = ranked(0.01, [0.05] * 199)
    assert (found.status, found.rank, found.p) == ("not specific", 200, 1.0)
    assert ranked(-0.01, [-0.05] * 199, "Improvement").p == 1.0


def test_more_cells_than_were_declared_and_effects_that_are_no_numbers_are_refused():
    with pytest.raises(InputError, match="1 cells ask"):
        ranked(-1.0, [0.0], asking=0)
    with pytest.raises(InputError, match="not a finite number"):
        cell(float("nan"), [0.0])
