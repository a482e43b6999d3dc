"""Corrected means have no bias, intervals cover, and a race loses a true top site no more often than its rule says."""

from itertools import combinations

import numpy as np
import pytest

from lesion.errors import InputError
from lesion.identity import generator
from lesion.stats.racing import race as racing
from lesion.stats.racing.control_variate import PSEUDO, agreement, corrected
from lesion.stats.racing.race import RaceRule, beats, judged, race, require_race, schedule

GROUPS = np.repeat(np.arange(6), 9).astype(np.intp)


def world(number: int, r: float, *, heavy: bool = False, items: int = 128):
    """Effects of 54 sites in 6 groups and estimates that agree with correlation r; some effects of items are common."""
    rng = generator("race world", number)
    sizes = np.exp(rng.normal(-3, 1.3, len(GROUPS))) * np.where(rng.random(len(GROUPS)) < 0.5, -1, 1)

    def noise():
        shape = (items, len(GROUPS))
        return rng.standard_t(3, shape) / np.sqrt(3) if heavy else rng.normal(size=shape)

    exact = sizes * (1 + 0.8 * (0.5 * rng.normal(size=(items, 1)) + noise()))
    estimates = r * exact + np.sqrt(1 - r * r) * exact.std(0) * noise()
    return exact, estimates * rng.uniform(0.5, 1.5, len(GROUPS)), rng


def test_the_mean_over_all_samples_is_the_mean_of_all_items():
    """No bias at all: every sample of 4 of 8 items is drawn once."""
    exact, estimates, _ = world(0, 0.8, heavy=True, items=8)
    found = [
        corrected(exact[list(drawn)], estimates, np.array(drawn), GROUPS).means for drawn in combinations(range(8), 4)
    ]
    assert np.mean(found, 0) == pytest.approx(exact.mean(0), abs=1e-12)
    fitted = [_with_a_fitted_slope(exact[list(d)], estimates, list(d)) for d in combinations(range(8), 4)]
    assert np.abs(np.mean(fitted, 0) - exact.mean(0)).max() > 1e-3, "a slope that saw its own item is biased"


def _with_a_fitted_slope(exact, estimates, drawn):
    here = estimates[drawn] - estimates[drawn].mean(0)
    slope = (here * exact).sum(0) / (here**2).sum(0)
    return exact.mean(0) - slope * (estimates[drawn].mean(0) - estimates.mean(0))


def test_each_slope_is_fitted_without_its_item():
    exact, estimates, _ = world(1, 0.8, items=20)
    drawn = np.arange(6)
    found = corrected(exact[drawn], estimates, drawn, GROUPS)
    for item, site in ((0, 3), (4, 50)):
        rest = [other for other in drawn if other != item]
        y, g = (each[rest] - each[rest].mean(0) for each in (exact, estimates))
        own = GROUPS[site] == GROUPS
        prior = (g * y)[:, own].sum() / (g * g)[:, own].sum()
        weight = PSEUDO * estimates[:, site].var()
        slope = ((g * y)[:, site].sum() + weight * prior) / ((g * g)[:, site].sum() + weight)
        left = exact[item, site] - slope * (estimates[item, site] - estimates[:, site].mean())
        assert found.residuals[item, site] == pytest.approx(left, rel=1e-9)


def test_all_items_give_the_exact_means_and_estimates_without_variance_change_nothing():
    exact, estimates, _ = world(2, 0.8, items=12)
    found = corrected(exact, estimates, np.arange(12), GROUPS)
    assert (found.means == exact.mean(0)).all()
    assert (found.errors == 0).all()
    flat = corrected(exact[:5], np.ones_like(estimates), np.arange(5), GROUPS)
    assert flat.means == pytest.approx(exact[:5].mean(0))
    (first, *_) = agreement(exact[:5], np.ones_like(exact[:5]), flat.residuals, GROUPS)
    assert first == (0.0, pytest.approx(1.0))
    assert np.sqrt(np.diag(flat.covariance)) == pytest.approx(flat.errors)
    with pytest.raises(InputError, match="at least three"):
        corrected(exact[:2], estimates, np.arange(2), GROUPS)


@pytest.mark.parametrize(("r", "heavy"), [(0.0, False), (0.9, False), (0.9, True)])
def test_intervals_cover_and_shrink_with_r(r: float, heavy: bool):
    covered, ratios = [], []
    for number in range(60):
        exact, estimates, rng = world(number, r, heavy=heavy)
        drawn = rng.permutation(128)[:8]
        found = corrected(exact[drawn], estimates, drawn, GROUPS)
        low, high = found.intervals()
        covered.append(((low <= exact.mean(0)) & (exact.mean(0) <= high)).mean())
        groups = agreement(exact[drawn], estimates[drawn], found.residuals, GROUPS)
        ratios += [one.variance_ratio for one in groups]
    assert 0.93 <= np.mean(covered) <= 0.97
    assert np.median(ratios) == pytest.approx(1 - r * r, abs=0.15)


def outcomes(r: float, *, heavy: bool, runs: int = 60, rule: RaceRule = RaceRule()):  # noqa: B008  (a constant)
    """(races with a lost or false top site, races that name the true top, mean share of passes)."""
    lost = same = 0
    shares = []
    for number in range(runs):
        exact, estimates, rng = world(number, r, heavy=heavy)
        found = race(lambda items, sites, y=exact: y[np.ix_(items, sites)], estimates, GROUPS, rule, rng)
        truth = set(np.argsort(-np.abs(exact.mean(0)))[: rule.top].tolist())
        dropped = {site for one in found.rounds for site in one.dropped}
        lost += bool(truth & dropped or set(found.accepted) - truth)
        same += set(found.top) == truth
        shares.append(found.spent / exact.size)
        assert len(found.accepted) + found.places == rule.top == len(found.top)
        assert not set(found.accepted) & set(found.undecided)
        assert not dropped & set(found.top)
    return lost, same, float(np.mean(shares))


@pytest.mark.parametrize("heavy", [False, True])
def test_a_race_loses_no_more_than_its_error_and_saves_passes(heavy: bool):
    lost, same, share = outcomes(0.95, heavy=heavy)
    assert lost <= 0.05 * 60
    assert same >= 54
    assert share <= 0.2


def test_a_rule_without_the_bound_over_pairs_loses_sites(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(racing, "level", lambda *_: 0.2)
    lost, _, _ = outcomes(0.0, heavy=True)
    assert lost > 0.05 * 60, "the simulation can tell a rule that loses too much"


def test_a_budget_of_everything_ends_with_the_truth_and_names_ties():
    exact, estimates, rng = world(3, 0.9, items=40)
    order = np.argsort(-np.abs(exact.mean(0)))
    exact[:, order[10]] = -exact[:, order[9]]
    estimates[:, order[10]] = -estimates[:, order[9]]
    found = race(lambda items, sites: exact[np.ix_(items, sites)], estimates, GROUPS, RaceRule(budget=1.0), rng)
    assert set(found.accepted) == set(order[:9].tolist())
    assert set(found.undecided) == set(order[9:11].tolist())
    assert found.places == 1
    assert found.spent < exact.size


def test_sites_are_accepted_and_dropped_by_counting_wins():
    wins = np.zeros((4, 4), dtype=bool)
    wins[0, [1, 2, 3]] = True
    taken, out = judged(wins, 2)
    assert taken.tolist() == [True, False, False, False]
    assert not out.any(), "one site beats each of the others, and there are two places"
    wins[1, [2, 3]] = True
    taken, out = judged(wins, 2)
    assert (taken.tolist(), out.tolist()) == ([True, True, False, False], [False, False, True, True])


def test_a_site_beats_another_only_where_both_signs_are_excluded():
    exact = np.array([[1.0, -0.9], [1.1, -1.0], [0.9, -1.1], [1.0, -1.0]])
    found = corrected(exact, np.zeros((9, 2)), np.arange(4), np.zeros(2, dtype=np.intp))
    assert not beats(found, 0.05).any()
    assert beats(found._replace(means=found.means * [3, 1]), 0.05).tolist() == [[False, True], [False, False]]


def test_rules_are_refused_in_a_sentence():
    assert schedule(8, 128) == [8, 16, 32, 64, 128]
    for rule, words in (
        (RaceRule(top=54), "decides nothing"),
        (RaceRule(error=0), "between 0 and 1"),
        (RaceRule(budget=2), "between 0 and 1"),
        (RaceRule(first=2), "starts with 4 to 20"),
        (RaceRule(budget=0.1), "at least 80 items"),
    ):
        with pytest.raises(InputError, match=words):
            require_race(rule, 20, 54)
