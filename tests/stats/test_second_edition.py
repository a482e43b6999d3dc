"""What the second rule adds: guarded clusters, room to fall, enough clusters, margins of a cell's own, and numbers."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from lesion.errors import InputError
from lesion.stats.intervals import cluster_mean
from lesion.stats.paired.cluster_mean import guarded, p_sign_flip
from lesion.stats.paired.comparison import compare
from lesion.stats.power import UNREACHABLE, gate_n, needed_n, needed_numbers_n
from lesion.stats.verdict.judge import Discovered, PairedNumbers, PairedRows, Rule, judge
from tests.stats.cells import holds, one, rows

QUIET = Discovered(0.0, sd=0.4)
NATS = Rule(outcome="answer_logprob", margin=0.05, spread=0.06, effect=0.1)


def spread_over(cell, clusters):
    """The rows of a cell, dealt out to so many clusters in turn."""
    return replace(cell, cluster=np.arange(cell.n) % clusters)


def numbers(mean, sd=0.4, n=1200, *, level=-1.0, clusters=0, seed=0):
    draw = np.random.default_rng(seed)
    base = level + draw.normal(0, 0.5, 3 * n)
    return PairedNumbers(
        base,
        base + mean + draw.normal(0, sd, 3 * n),
        np.repeat([0, 1, 2], n),
        cluster=np.arange(3 * n) % clusters if clusters else None,
        item=np.arange(3 * n),
    )


def judged(cell, *, rule=NATS, look=1, chance=-4.0, family=1, discovered=QUIET, **more):
    return judge(
        {"cell": cell},
        rule,
        look=look,
        family_size=family,
        discovered={"cell": discovered},
        chance={"cell": chance},
        **more,
    )["cell"]


def test_a_guarded_mean_of_equal_clusters_is_students_with_the_extreme_ones_doubled():
    sums, sizes = np.array([3.0, -1.0, 4.0, 0.0, 2.0, 2.0, 1.0]), np.full(7, 10)
    found = guarded(sums, sizes)
    low = cluster_mean(np.append(sums, -1.0), np.append(sizes, 10))
    high = cluster_mean(np.append(sums, 4.0), np.append(sizes, 10))
    assert (found.below, found.below_error) == pytest.approx((low.delta, low.error))
    assert (found.above, found.above_error) == pytest.approx((high.delta, high.error))
    assert found.freedom == pytest.approx(6)
    ends, width = found.ends(0.95), stats.t.ppf(0.975, 6)
    assert ends == (pytest.approx(low.delta - width * low.error), pytest.approx(high.delta + width * high.error))


def test_guarded_p_values_agree_with_the_guarded_interval():
    draw = np.random.default_rng(4)
    for _ in range(50):
        sums, sizes = draw.normal(3, 6, 20), draw.integers(5, 40, 20)
        found = guarded(sums, sizes)
        low, high = found.ends(0.95)
        assert (found.p_zero() <= 0.05) == (low >= 0 or high <= 0)
        assert (found.p_equivalence(0.5) < 0.025) == (low > -0.5 and high < 0.5)


def test_uneven_clusters_count_as_fewer():
    assert guarded(np.ones(10), np.full(10, 7)).freedom == pytest.approx(9)
    assert guarded(np.ones(10), np.array([1000, *[1] * 9])).freedom < 0.1


def test_the_guarded_mean_works_on_stacks_of_studies():
    draw = np.random.default_rng(5)
    sums, sizes = draw.normal(0, 1, (4, 3, 12)), draw.integers(1, 9, (4, 1, 12))
    found = guarded(sums, sizes)
    alone = guarded(sums[2, 1], sizes[2, 0])
    assert [part[2, 1] for part in found] == pytest.approx(list(alone))


@pytest.mark.parametrize("units", [8, 20, 60])
def test_sign_flips_of_real_numbers_are_those_of_permutation(units):
    draw = np.random.default_rng(units)
    sums = draw.standard_t(3, units) + 0.4
    found = stats.permutation_test(
        (sums,), np.sum, permutation_type="samples", n_resamples=40_000, vectorized=False, rng=draw
    )
    assert p_sign_flip(sums) == pytest.approx(found.pvalue, abs=0.01)


def test_sign_flips_of_many_numbers_take_the_normal_limit():
    sums = np.random.default_rng(1).normal(0.1, 1, 500)
    z = abs(sums.sum()) / np.sqrt((sums**2).sum())
    assert p_sign_flip(sums) == pytest.approx(2 * stats.norm.sf(z))
    assert p_sign_flip(np.zeros(70)) == 1


def test_clusters_are_never_more_sure_than_their_items():
    cell = spread_over(rows(3, 40), 36)
    grouped, plain = compare(cell, 0.95, 0.03, 2), compare(replace(cell, cluster=None), 0.95, 0.03, 2)
    assert grouped.p >= plain.p
    assert grouped.p_equivalence >= plain.p_equivalence
    assert grouped.interval.low <= plain.interval.low
    assert grouped.interval.high >= plain.interval.high


def test_few_clusters_forbid_a_null_unless_they_are_all_that_there_are():
    quiet = rows(30, 30)
    assert one(spread_over(quiet, 36)).verdict == "Null"
    few = one(spread_over(quiet, 12), look=2)
    assert (few.verdict, few.tags, few.needed_n) == ("Inconclusive", ("few_clusters",), None)
    assert not holds(few, "enough to speak of others")
    every = judge(
        {"cell": spread_over(quiet, 12)},
        Rule(),
        look=1,
        family_size=1,
        discovered={"cell": Discovered(0.1)},
        chance={"cell": 0.0},
        exhaustive=("cell",),
    )["cell"]
    assert (every.verdict, every.tags) == ("Null", ())
    assert one(spread_over(rows(0, 200), 12)).verdict == "Harm"
    assert one(spread_over(quiet, 12), rule=Rule(edition=1)).verdict == "Null"


def test_a_baseline_that_has_no_room_to_fall_forbids_null():
    near = rows(5, 5, accuracy=0.028)
    assert one(near).verdict == "Ambiguous"
    assert not holds(one(near), "room to fall")
    assert one(near, rule=Rule(edition=1)).verdict == "Null"
    assert one(rows(5, 5, accuracy=0.1), chance=0.0).verdict == "Null"
    assert one(rows(5, 5, accuracy=0.1), chance=0.075).verdict == "Ambiguous"


def test_a_cell_may_have_a_margin_of_its_own():
    cell = rows(40, 40)
    wide = judge(
        {"a": cell, "b": cell},
        Rule(),
        look=1,
        family_size=2,
        discovered=dict.fromkeys("ab", Discovered(0.1)),
        chance=dict.fromkeys("ab", 0.0),
        margins={"b": 0.005},
    )
    assert [wide[name].verdict for name in "ab"] == ["Null", "Ambiguous"]


def test_conditional_intervals_say_so():
    said = judged(numbers(0.0), conditional=True).clauses[2].quantity
    assert "conditional on 3 example sets" in said


@pytest.mark.parametrize("clusters", [0, 36])
@pytest.mark.parametrize(("mean", "verdict"), [(0.0, "Null"), (0.2, "Improvement"), (-0.2, "Harm")])
def test_numbers_are_judged_like_answers(mean, verdict, clusters):
    found = judged(numbers(mean, clusters=clusters))
    assert found.verdict == verdict
    assert found.psi is None
    assert found.gained + found.lost == found.n
    assert found.delta == pytest.approx(mean, abs=0.03)


def test_numbers_by_item_give_nearly_students_p_and_interval():
    cell = numbers(0.02)
    found, plain = compare(cell, 0.95, 0.05, 2), stats.ttest_1samp(cell.difference, 0)
    assert found.p == pytest.approx(plain.pvalue, rel=0.4)
    assert found.p >= plain.pvalue
    assert found.interval == pytest.approx(tuple(plain.confidence_interval(0.95)), abs=0.0015)


def test_the_floor_of_log_probabilities_is_the_best_constant_forecast():
    floored = judged(numbers(-0.2, level=-3.0), chance=-3.0)
    assert (floored.verdict, "floor" in floored.tags) == ("Ambiguous", True)
    assert judged(numbers(-0.2, level=-2.5), chance=-3.0).verdict == "Harm"
    near = judged(numbers(0.0, level=-2.96), chance=-3.0)
    assert (near.verdict, holds(near, "above floor"), holds(near, "room to fall")) == ("Ambiguous", True, False)
    assert "ceiling" in judged(numbers(0.2, level=-0.01), chance=-3.0).tags


def test_the_seed_gate_of_numbers_has_its_own_noise_rule():
    assert gate_n(0.4**2, 0.06) == 488
    assert judged(numbers(0.0, n=480)).seed_gate == "NotEvaluable"
    assert judged(numbers(0.0, n=500)).seed_gate == "Pass"
    apart = numbers(0.0)
    shifted = replace(apart, edited=apart.edited + 0.08 * (apart.seed == 2))
    assert judged(shifted).seed_gate == "Fail"
    same = replace(apart, item=np.tile(np.arange(1200), 3))
    assert judged(same).seed_gate == "Degenerate"


def test_prefixes_that_differ_ask_for_more_items_or_make_the_gate_unjudgeable():
    plain, drifting = gate_n(0.2), gate_n(0.2, between=0.02, clusters=12)
    assert plain < drifting < UNREACHABLE
    assert gate_n(0.2, between=0.04, clusters=12) == UNREACHABLE
    cell = numbers(0.0, clusters=36)
    wide = judged(cell, discovered=Discovered(0.0, sd=0.4, between=0.3))
    assert wide.seed_gate == "NotEvaluable"
    assert "no number of items suffices" in wide.clauses[3].threshold


def test_planning_of_numbers_pays_for_gate_effect_and_margin():
    assert needed_numbers_n(QUIET, NATS, 1) == 488
    assert needed_numbers_n(QUIET, replace(NATS, spread=1.0), 1) == np.ceil(
        ((stats.norm.ppf(0.975) + stats.norm.ppf(0.9)) * 0.4 / 0.05) ** 2 / 3
    )
    assert needed_numbers_n(Discovered(0.0, sd=0.4, between=0.02), NATS, 1, clusters=12) > 488
    assert needed_numbers_n(Discovered(0.2, between=0.005), Rule(), 1, clusters=12) > needed_n(0.2, 0.0, Rule(), 1)


def test_a_cell_that_needs_no_null_asks_for_its_effect_alone():
    varied, wide = Discovered(0.0, sd=6.0), replace(NATS, margin=0.25, effect=1.0, spread=1.0)
    with_null, without = (needed_numbers_n(varied, wide, 4, null=null) for null in (True, False))
    found = ((stats.norm.ppf(1 - 0.05 / 4 / 2) + stats.norm.ppf(0.8)) * 6.0 / 1.0) ** 2 / 3
    assert without == max(np.ceil(found), gate_n(36.0, 1.0)) < with_null
    assert needed_numbers_n(varied, wide, 4) == with_null


def test_discovery_takes_the_variance_of_numbers_apart():
    draw, cluster = np.random.default_rng(0), np.repeat(np.arange(400), 30)
    values = draw.normal(0, 0.5, 12_000) + draw.normal(0.1, 0.2, 400)[cluster]
    found = Discovered.from_numbers(values, cluster)
    assert (found.sd, found.between) == pytest.approx((0.5, 0.2), abs=0.02)
    alone = Discovered.from_numbers(values)
    assert (alone.sd, alone.between) == (pytest.approx(values.std(ddof=1)), 0.0)
    assert Discovered.from_numbers(values, np.arange(12_000)) == alone


def test_numbers_that_do_not_vary_give_no_null():
    """Thirty-six equal differences say nothing of the items that were not drawn."""
    cell = numbers(0.0, sd=0.0, n=1200, clusters=36)
    still = PairedNumbers(cell.baseline, cell.baseline.copy(), cell.seed, cluster=cell.cluster, item=cell.item)
    found = judged(still)
    assert found.verdict != "Null"
    assert found.ci_low < -1e5, "no interval"


def test_strata_are_tested_over_the_family():
    """Opposite strata, each with p .004: Mixed where the cell stands alone, not among ten."""
    n = 2400
    stratum, change = np.tile([0, 1], n // 2), np.zeros(n, dtype=int)
    for level, sign in ((0, 1), (1, -1)):
        own = np.flatnonzero(stratum == level)
        change[own[:30]], change[own[30:40]] = sign, -sign
    seed = np.random.default_rng(0).integers(0, 3, n)
    cell = PairedRows(change < 1, change > -1, seed, {"part": stratum})
    found = {
        family: judge(
            {"c": cell}, Rule(), look=2, family_size=family, discovered={"c": Discovered(0.1)}, chance={"c": 0.0}
        )
        for family in (1, 10)
    }
    assert found[1]["c"].verdict == "Mixed"
    assert found[10]["c"].verdict != "Mixed"
    older = judge(
        {"c": cell}, Rule(edition=1), look=2, family_size=10, discovered={"c": Discovered(0.1)}, chance={"c": 0.0}
    )
    assert older["c"].verdict == "Mixed", "the first rule did not divide by the family"


@pytest.mark.parametrize(
    "call",
    [
        lambda: judged(rows(1, 1)),
        lambda: judged(numbers(0.0), rule=Rule()),
        lambda: Rule(outcome="logit_diff", margin=0.0),
        lambda: Rule(margin=1.5),
        lambda: PairedNumbers(np.array([np.nan]), np.array([0.0]), np.array([0])),
        lambda: PairedNumbers(np.zeros(2), np.zeros(3), np.zeros(2, dtype=int)),
        lambda: Discovered.from_numbers(np.array([1.0])),
        lambda: guarded([1.0], [3]),
    ],
)
def test_what_cannot_be_judged_is_refused(call):
    with pytest.raises(InputError):
        call()
