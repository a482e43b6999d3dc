"""Clusters, numbers and floors judged a second time, from docs/verdict.md alone, with statsmodels and scipy."""

import numpy as np
import pytest

from lesion.stats.verdict.judge import Discovered, PairedNumbers, PairedRows, Rule, judge
from publications.referee.rule import Cell, Settings, compared, judged

LEVEL, SPREAD = 0.025, 0.09


def afresh(cells, family, variances, chances, rule, betweens, last):
    """Verdicts from lists of (difference, seed, cluster, baseline, strata)."""
    settings = Settings(rule.outcome == "accuracy", rule.margin, rule.spread, LEVEL, last)
    asked = [
        Cell(baseline, baseline + d, seed, cluster, strata, variances[k], betweens[k], chances[k])
        for k, (d, seed, cluster, baseline, strata) in enumerate(cells)
    ]
    return [found.verdict for found in judged(asked, family, settings)]


def shared(draw, n):
    """Seeds, and clusters of uneven size: 36, 24 or none."""
    kind = draw.choice([0, 24, 36, 36])
    seed = np.repeat([0, 1, 2], n)
    if not kind:
        return seed, None
    within = np.minimum(draw.geometric(2.2 / kind * 3, 3 * n) - 1, kind // 3 - 1)
    within[: kind // 3] = within[n : n + kind // 3] = within[2 * n : 2 * n + kind // 3] = np.arange(kind // 3)
    return seed, 100 * seed + within


@pytest.mark.parametrize("look", [1, 2])
def test_answers_in_clusters_are_judged_alike(look):
    draw, seen, rule = np.random.default_rng(look), [], Rule(margin=0.08, spread=SPREAD)
    for _ in range(18):
        cells, rows, variances, chances = [], {}, [], []
        for k in range(2):
            n = int(draw.choice([180, 360]))
            seed, cluster = shared(draw, n)
            own = 0.0 if cluster is None else draw.normal(0, draw.choice([0.0, 0.04]), 400)[cluster]
            stratum = draw.integers(0, 2, 3 * n)
            whole, opposite = draw.choice([*[[0, 0]] * 4, [0.1, 0], [-0.15, 0], [0.25, 0], [0, 0.2], [0, 0.2]])
            delta = np.clip(whole + own + opposite * np.array([1, -1])[stratum], -0.2, 0.3)
            u = draw.random(3 * n)
            d = np.where(u < 0.1 + delta / 2, 1, np.where(u > 0.9 + delta / 2, -1, 0))
            before = np.where(d == 0, draw.random(3 * n) < draw.choice([0.05, 0.5, 0.97]), d < 0)
            strata = {"operator": stratum}
            cells.append((d, seed, cluster, before.astype(float), strata))
            rows[str(k)] = PairedRows(before, (before + d).astype(bool), seed, strata, cluster=cluster)
            variances.append(draw.choice([0.1, 0.2]))
            chances.append(draw.choice([0.0, 0.1]))
        verdicts = judge(
            rows,
            rule,
            look=look,
            family_size=3,
            discovered={name: Discovered(v) for name, v in zip(rows, variances, strict=True)},
            chance=dict(zip(rows, chances, strict=True)),
        )
        found = [each.verdict for each in verdicts.values()]
        assert found == afresh(cells, 3, variances, chances, rule, [0.0, 0.0], look == 2)
        seen += found
    assert set(seen) == {"Improvement", "Harm", "Null", "Mixed", "Inconclusive" if look == 2 else "Ambiguous"}


@pytest.mark.parametrize("look", [1, 2])
def test_numbers_are_judged_alike(look):
    draw, seen = np.random.default_rng(10 + look), []
    rule = Rule(outcome="answer_logprob", margin=0.12, spread=0.2, effect=0.2)
    for _ in range(12):
        cells, rows, betweens, chances = [], {}, [], []
        for k in range(2):
            n = int(draw.choice([150, 300]))
            seed, cluster = shared(draw, n)
            own = 0.0 if cluster is None else draw.normal(0, draw.choice([0.0, 0.08]), 400)[cluster]
            before = draw.choice([-2.0, -0.06]) + 0.3 * draw.normal(0, 1, 3 * n)
            after = before + draw.choice([0, 0, 0.3, -0.3]) + own + 0.5 * draw.standard_t(4, 3 * n)
            d = after - before
            cells.append((d, seed, cluster, before, {}))
            rows[str(k)] = PairedNumbers(before, after, seed, cluster=cluster)
            betweens.append(draw.choice([0.0, 0.05, 0.3]))
            chances.append(draw.choice([-5.0, -2.05]))
        verdicts = judge(
            rows,
            rule,
            look=look,
            family_size=2,
            discovered={name: Discovered(0.0, sd=0.6, between=b) for name, b in zip(rows, betweens, strict=True)},
            chance=dict(zip(rows, chances, strict=True)),
        )
        found = [each.verdict for each in verdicts.values()]
        for each, (d, _, cluster, *_) in zip(verdicts.values(), cells, strict=True):
            again = compared(d, cluster, rule.margin, whole=False)
            assert (each.p, each.p_equivalence) == pytest.approx((again.p, again.equivalence), rel=1e-6, abs=1e-12)
            assert (each.ci_low, each.ci_high) == pytest.approx((again.low, again.high))
        assert found == afresh(cells, 2, [0.36, 0.36], chances, rule, betweens, look == 2)
        seen += found
    assert set(seen) == {"Improvement", "Harm", "Null", "Inconclusive" if look == 2 else "Ambiguous"}
