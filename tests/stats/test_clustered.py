"""The rule that is simulated on sums is the rule that judges rows, for clusters and for numbers."""

from dataclasses import replace

import numpy as np
import pytest

from lesion.stats.calibration.clustered_studies import Units, judge_units
from lesion.stats.calibration.scenes.ablation_scenes import Truth, conduct_ablations, conduct_guessing
from lesion.stats.calibration.scenes.continuous_scenes import Numbers, conduct_numbers
from lesion.stats.calibration.scenes.prefix_scenes import (
    Clustered,
    _items,
    _own,
    against_the_drawn,
    claim,
    conduct_clusters,
    null,
)
from lesion.stats.calibration.scenes.rank_scenes import Sets, conduct_sets
from lesion.stats.paired.cluster_mean import guarded
from lesion.stats.power import gate_n
from lesion.stats.specificity.rank import SetEffects, rank_specificity, ranks
from lesion.stats.verdict.judge import Discovered, PairedNumbers, PairedRows, Rule, judge
from lesion.stats.verdict.rule import VERDICTS

RULE = Rule(margin=0.06, spread=0.09)
OPEN = Rule(spread=0.999)


def rows_of(sums, changed, sizes, seed):
    """Rows of clusters with these sums and numbers of discordant items."""
    parts = []
    for g, (total, many, size) in enumerate(zip(sums, changed, sizes, strict=True)):
        up = (many + total) // 2
        rest = size - many
        before = np.repeat([False, True, True, False], [up, many - up, rest // 2, rest - rest // 2])
        after = np.repeat([True, False, True, False], [up, many - up, rest // 2, rest - rest // 2])
        parts.append((before, after, np.full(size, seed[g]), np.full(size, g)))
    before, after, seeds, cluster = (np.concatenate(column) for column in zip(*parts, strict=True))
    return PairedRows(before, after, seeds, cluster=cluster, item=np.arange(before.size))


@pytest.mark.parametrize("clusters", [15, 36])
def test_judging_sums_of_clusters_gives_the_verdicts_of_judging_rows(clusters):
    draw, studies, seen = np.random.default_rng(clusters), 60, set()
    seed, sizes = np.arange(clusters) % 3, np.resize([30, 50, 90], clusters)
    gate = gate_n(0.15, RULE.spread)
    for _ in range(studies):
        delta = draw.choice([0, 0, 0.05, 0.1, -0.15]) + draw.normal(0, draw.choice([0, 0.02, 0.06]), (2, clusters))
        gained = draw.binomial(sizes, np.clip(0.1 + delta / 2, 0, 1))
        lost = draw.binomial(sizes - gained, np.clip(0.1 - delta / 2, 0, 1))
        by_seed = [np.stack([part[:, seed == k].sum(-1) for k in range(3)], -1) for part in (gained, lost)]
        units = Units(gained - lost, sizes, seed, *by_seed)
        found = judge_units(units, RULE, 3, gate)
        cells = {str(k): rows_of((gained - lost)[k], (gained + lost)[k], sizes, seed) for k in range(2)}
        verdicts = judge(
            cells,
            RULE,
            look=1,
            family_size=3,
            discovered=dict.fromkeys(cells, Discovered(0.15)),
            chance=dict.fromkeys(cells, 0.0),
        )
        for k, verdict in enumerate(verdicts.values()):
            assert verdict.verdict == VERDICTS[found.codes[k]]
            assert (verdict.ci_low, verdict.ci_high) == pytest.approx((found.low[k], found.high[k]))
            seen.add(verdict.verdict)
    assert seen >= {"Ambiguous", "Harm", "Improvement"}
    assert ("Null" in seen) == (clusters == 36)


@pytest.mark.parametrize("clusters", [0, 36])
def test_judging_stacked_numbers_gives_the_verdicts_of_judging_rows(clusters):
    draw, rule, seen = np.random.default_rng(clusters), Rule(outcome="logit_diff", margin=0.1, spread=0.2), set()
    n = 540
    for _ in range(40):
        change = draw.choice([0.0, 0.1, 0.2, -0.3]) + 0.6 * draw.standard_t(4, n)
        place = np.arange(n) % clusters if clusters else np.arange(n)
        seed = place % 3
        cell = PairedNumbers(
            np.full(n, 5.0), 5.0 + change, seed, cluster=place if clusters else None, item=np.arange(n)
        )
        change = cell.difference
        judged = judge(
            {"a": cell}, rule, look=1, family_size=1, discovered={"a": Discovered(0.0, sd=0.7)}, chance={"a": 0.0}
        )["a"]
        needed = gate_n(0.49, rule.spread)
        if clusters:
            sums = np.bincount(place, weights=change)[None]
            units = Units(
                sums, np.full(clusters, n // clusters), np.arange(clusters) % 3, items=guarded(change[None], 1)
            )
        else:
            units = Units(change[None], np.ones(n, dtype=np.int64), seed)
        found = judge_units(units, rule, 1, needed, clusters=bool(clusters))
        assert judged.verdict == VERDICTS[found.codes[0]]
        assert (judged.ci_low, judged.ci_high) == pytest.approx((found.low[0], found.high[0]))
        seen.add(judged.verdict)
    assert seen >= {"Null", "Harm", "Ambiguous"}


def test_simulated_clusters_are_what_they_claim_to_be():
    draw = np.random.default_rng(0)
    for cells in (1, 10):
        scene = Clustered(0.04, 36, 100, 0.3, cells=cells, sd=0.05)
        own = _own(scene, 3_000, draw)
        units = _items(scene, own, np.full(36, 100), draw)
        assert own.std() == pytest.approx(0.05, rel=0.02)
        assert units.sums.mean() == pytest.approx(4, abs=0.15)
        assert units.sums.std() == pytest.approx(np.sqrt(5**2 + 100 * (0.3 - 0.04**2 - 0.05**2)), rel=0.02)
        assert (units.gained + units.lost).sum() / (units.sums.size * 100) == pytest.approx(0.3, abs=0.003)
        assert np.array_equal((units.gained - units.lost).sum(-1), units.sums.sum(-1))
    skewed = _own(Clustered(-0.03, shape="one in twelve"), 5_000, draw)
    assert np.unique(skewed.round(9)).tolist() == [-0.36, 0.0]
    assert skewed.mean() == pytest.approx(-0.03, abs=0.001)


def test_one_template_in_twelve_is_not_overlooked_more_often_than_promised():
    draw = np.random.default_rng(3)
    endings, _ = conduct_clusters(Clustered(-0.03, 36, 150, 0.1, shape="one in twelve"), OPEN, 6_000, draw)
    assert 0.035 < null(endings, _).mean() < 0.052, "(11/12)^36 = .0436: the samples that hold none of them"
    assert endings.covered.mean() > 0.94


def test_without_the_guard_the_same_templates_would_break_the_promise(monkeypatch):
    plain = lambda s, n, which: (s.sum(-1) / n.sum(-1), _error(s, n))  # noqa: E731

    def _error(s, n):
        rest = s - (s.sum(-1) / n.sum(-1))[..., None] * n
        return np.sqrt(s.shape[-1] / (s.shape[-1] - 1) * (rest**2).sum(-1)) / n.sum(-1)

    monkeypatch.setattr("lesion.stats.paired.cluster_mean._doubled", plain)
    endings, _ = conduct_clusters(
        Clustered(-0.03, 36, 150, 0.1, shape="one in twelve"), OPEN, 4_000, np.random.default_rng(3)
    )
    assert null(endings, _).mean() > 0.06
    assert endings.covered.mean() < 0.93


def test_prefixes_as_the_unit_keep_thirty_cells_quiet():
    scene = Clustered(cells=30, sd=0.03)
    endings, drawn = conduct_clusters(scene, OPEN, 1_000, np.random.default_rng(4))
    assert claim(endings, drawn).mean() < 0.04
    assert against_the_drawn(endings, drawn).mean() < 0.02


def test_ranked_sets_are_ranked_by_the_shipped_function():
    draw = np.random.default_rng(6)
    target, effects = draw.normal(-9, 1, 200), draw.normal(-9, 1, (200, 60)).round(1)
    found = ranks(-target, -effects)
    for k in range(200):
        cell = SetEffects("Harm", float(target[k]), tuple(effects[k].tolist()), 256, 60)
        assert rank_specificity({"a": cell}, Rule(), asking=1)["a"].rank == found[k]


def test_exchangeable_targets_are_rarely_specific_and_leaks_are_seen():
    draw = np.random.default_rng(7)
    assert conduct_sets(Sets(), Rule(), 5_000, draw).mean() < 0.055, "at most .05, .025 in each direction"
    assert not conduct_sets(Sets(sets=15), Rule(), 5_000, draw).any()
    assert conduct_sets(Sets(0.0, candidates=24), Rule(), 5_000, draw).mean() < 0.035
    assert conduct_sets(Sets(0.0, candidates=24, leak=True), Rule(), 2_000, draw).mean() > 0.25
    assert conduct_sets(Sets(apart=4.0), Rule(), 2_000, draw).mean() > 0.9


def test_ablations_agree_where_they_should_and_rarely_else():
    draw = np.random.default_rng(8)
    assert conduct_ablations(Truth(-0.08, -0.06, -0.1), Rule(), 500, draw).mean() > 0.99
    assert conduct_ablations(Truth(0.0, 0.0, 0.0), Rule(), 500, draw).mean() > 0.85
    assert conduct_ablations(Truth(-0.08, -0.08, 0.0), Rule(), 2_000, draw).mean() < 0.03


def test_a_model_that_guesses_is_neither_harmed_nor_left_alone():
    draw = np.random.default_rng(9)
    said, silent, at_floor = conduct_guessing(0.1, 0.0, Rule(), 4_000, draw)
    assert said.mean() < 0.02
    assert not (said & at_floor).any()
    better, _, _ = conduct_guessing(0.1, 0.3, Rule(), 200, draw)
    assert better.all()
    assert not silent.any()


def test_numbers_keep_their_error_rates_and_find_what_is_there():
    rule = replace(Rule(outcome="answer_logprob", margin=0.05, spread=1e6, effect=0.1))
    draw = np.random.default_rng(10)
    claims, nulls, held = conduct_numbers(Numbers(tails="t3", clusters=36, between=0.03), rule, 600, draw)
    assert claims.mean() < 0.05
    assert nulls.mean() > 0.9
    assert held.mean() > 0.93
    found, _, _ = conduct_numbers(Numbers(0.1), rule, 300, draw)
    assert found.all()
