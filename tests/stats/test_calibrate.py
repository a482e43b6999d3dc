"""The calibration keeps its promises, and can find one broken."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from lesion.errors import InputError
from lesion.stats.calibration.calibrate import calibrate
from lesion.stats.calibration.promises import ask, promises
from lesion.stats.calibration.rates import Rate, bound, counted, worst
from lesion.stats.calibration.scenes.selection_scenes import example_rows, permutation, selection
from lesion.stats.verdict.rule import Rule


@pytest.fixture(scope="module")
def found():
    return calibrate(np.random.default_rng(20261122), studies=1_000)


def test_the_rule_keeps_its_error_rates(found):
    assert found.false_positive.holds
    assert found.false_null.holds
    assert found.coverage.holds
    assert found.coverage.bound == pytest.approx(0.939, abs=0.001)


def test_every_promise_of_the_document_is_asked(found):
    asked = " ".join(rate.promise for rate in found.rates)
    assert all(f"({number})" in asked for number in ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix"))
    assert all(f"({number})" in asked for number in ("x", "xi", "xii", "xiii", "xiv", "xv", "xvi", "xvii"))
    assert all(f"({number})" in asked for number in ("xviii", "xix", "xx", "xxi"))


def test_the_power_curve_rises_from_null_to_improvement(found):
    shares = [point.improvement for point in found.power]
    assert shares == sorted(shares)
    assert shares[0] < 0.05
    assert shares[5] > 0.99
    assert found.power[0].null > 0.98
    assert found.mixed_power > 0.95


def test_the_result_is_plain_json_with_a_bound_for_each_key(found):
    document = json.loads(json.dumps(found.document()))
    for key in (
        "false_positive",
        "false_null",
        "coverage",
        "specific_false_positive",
        "ablation_agreement_false",
        "seed_sd_2_false_positive",
        "dissociation_false_positive",
        "dissociation_at_the_edge",
        "dissociation_false_negative",
    ):
        assert {"rate", "bound", "limit", "holds", "studies"} <= set(document[key])
    assert document["studies"] == 1_000


def test_a_rule_that_spends_five_percent_at_each_look_is_found_out():
    naive = replace(Rule(), alpha=0.1)
    asked = next(each for each in promises(naive, quick=True) if each.says.startswith("(i) the same"))
    rate = ask(asked._replace(limit=0.05), 4_000, np.random.default_rng(1))
    assert not rate.holds


def test_a_margin_that_is_not_the_one_simulated_is_found_out():
    asked = next(each for each in promises(Rule(), quick=True) if each.says.startswith("(ii) the same"))
    loose = asked._replace(rule=replace(asked.rule, margin=0.04))
    assert not ask(loose, 1_000, np.random.default_rng(2)).holds


def test_bounds_are_those_of_clopper_and_pearson():
    for hits, studies in ((0, 50), (3, 100), (97, 100), (100, 100)):
        exact = stats.binomtest(hits, studies).proportion_ci(0.90, method="exact")
        assert bound(hits, studies, "at most") == pytest.approx(exact.high)
        assert bound(hits, studies, "at least") == pytest.approx(exact.low)


def test_the_worst_rate_is_the_one_nearest_its_limit():
    rates = [Rate("p", 0.0, x, 0.05, "at most", 10, "") for x in (0.01, 0.06, 0.03)]
    assert worst(rates).bound == 0.06
    assert not worst(rates).holds
    assert counted("p", np.array([True, False]), 0.9, "at least", "").rate == 0.5


def test_permuting_the_arms_of_rows_with_a_real_harm_leaves_nothing_to_find():
    rows = example_rows(np.random.default_rng(3))
    cells = {"items": rows, "clusters": replace(rows, cluster=np.arange(rows.n) // 12)}
    rate = permutation(Rule(), cells, 2_000, np.random.default_rng(4))
    assert rate.rate <= 0.05
    with pytest.raises(InputError, match="no rows to permute"):
        permutation(Rule(), {}, 10, np.random.default_rng(4))


def test_heads_chosen_for_luck_are_not_confirmed():
    confirmed, bias, leaked = selection(Rule(), 6_000, np.random.default_rng(5))
    assert confirmed.holds
    assert bias.holds
    assert leaked.rate > 0.08, "a leak that is put in must be seen"
    assert "+2.7 points" in confirmed.worst


def test_a_rule_in_nats_is_refused_in_a_sentence():
    with pytest.raises(InputError, match="asks about accuracy"):
        calibrate(np.random.default_rng(0), Rule(outcome="logit_diff"))


def test_honesty_has_a_price_and_it_is_told(found):
    assert [point.items for point in found.prefix_power] == sorted(point.items for point in found.prefix_power)
    assert all(point.null > 0.95 and point.improvement > 0.98 for point in found.prefix_power)
    strong = [point for point in found.rank_power if point.apart == 4]
    assert all(point.specific > 0.85 for point in strong)
    assert all(each.gain > 2 for each in found.efficiency)
