"""Clusters, numbers and floors judged a second time, from docs/verdict.md alone, with statsmodels and scipy."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import signal, special, stats

from lesion.stats.verdict.judge import Discovered, PairedNumbers, PairedRows, Rule, judge
from tests.stats.test_afresh import adjusted, exact, interval, score

LEVEL, SPREAD, Q = 0.025, 0.09, 3.314


def robust(d, cluster):
    """Mean and its cluster-robust standard error."""
    if np.unique(cluster).size == d.size:
        return float(d.mean()), float(stats.sem(d))
    fitted = sm.OLS(d, np.ones(d.size)).fit(cov_type="cluster", cov_kwds={"groups": cluster})
    return float(fitted.params[0]), float(fitted.bse[0])


def doubled(d, cluster):
    """The same with the lowest and with the highest pulling cluster counted twice, and the degrees of freedom."""
    names, place, sizes = np.unique(cluster, return_inverse=True, return_counts=True)
    pulls = np.bincount(place, weights=d - d.mean())
    ends = []
    for extreme in (pulls.argmin(), pulls.argmax()):
        twin = place == extreme
        ends.append(robust(np.concatenate([d, d[twin]]), np.concatenate([place, np.full(twin.sum(), names.size)])))
    return (*ends, sizes.sum() ** 2 / (sizes**2).sum() - 1)


def t_numbers(d, cluster, margin):
    (low, low_error), (high, high_error), freedom = doubled(d, cluster)
    tail = stats.t(freedom).sf
    p = min(1.0, 2 * min(tail(low / low_error), tail(-high / high_error)))
    equivalence = max(tail((low + margin) / low_error), tail((margin - high) / high_error))
    width = stats.t(freedom).ppf(0.975)
    return p, equivalence, (low - width * low_error, high + width * high_error)


def flips(sums):
    """Exact two-sided sign-flip p of whole sums, by counting."""
    sizes = np.abs(np.asarray(sums, dtype=int))
    chance = np.array([1.0])  # of each total, from minus all to plus all in steps of one
    for size in sizes:
        step = signal.unit_impulse(2 * size + 1, [0]) / 2 + signal.unit_impulse(2 * size + 1, [2 * size]) / 2
        chance = signal.convolve(chance, step)
    totals = np.arange(chance.size) - sizes.sum()
    return chance[np.abs(totals) >= abs(int(sum(sums)))].sum()


def by_cluster(d, cluster):
    return np.bincount(np.unique(cluster, return_inverse=True)[1], weights=d)


def part(d, cluster, margin, whole):
    """p, equivalence p and interval of some rows."""
    if whole:  # right and wrong answers
        b, c, n = int((d > 0).sum()), int((d < 0).sum()), d.size
        by_item = exact(b, c), max(special.ndtr(-score(b, c, n, -margin)), special.ndtr(score(b, c, n, margin)))
        ends = interval(b, c, n)
    else:
        p, equivalence, ends = t_numbers(d, np.arange(d.size), margin)
        z = 2 * stats.norm.sf(abs(d.sum()) / np.sqrt((d**2).sum()))
        by_item = max(p, z), equivalence
    if cluster is None:
        return (*by_item, ends)
    p, equivalence, other = t_numbers(d, cluster, margin)
    sums = by_cluster(d, cluster)
    grid = sums if whole else np.rint(sums / np.abs(sums).sum() * 4096)
    p = max(p, flips(grid), by_item[0])
    return p, max(equivalence, by_item[1]), (min(other[0], ends[0]), max(other[1], ends[1]))


def afresh(cells, family, variances, chances, rule, betweens, last):
    """Verdicts from lists of (difference, seed, cluster, baseline)."""
    whole, margin = rule.outcome == "accuracy", rule.margin
    told = [part(d, cluster, margin, whole) for d, _, cluster, _ in cells]
    detected = adjusted([p for p, _, _ in told], family) <= LEVEL
    equivalent = adjusted([p for _, p, _ in told], family) < LEVEL
    verdicts = []
    for k, (d, seed, cluster, baseline) in enumerate(cells):
        seeds = [seed == s for s in np.unique(seed)]
        means = [d[s].mean() for s in seeds]
        each = min(np.unique(cluster[s]).size for s in seeds) if cluster is not None else 1
        room = rule.spread**2 - Q**2 * betweens[k] ** 2 / each
        enough = room > 0 and min(s.sum() for s in seeds) >= 0.9996 * Q**2 * variances[k] / room
        stable = enough and max(means) - min(means) < rule.spread - 1e-12
        ends = [part(d[s], None if cluster is None else cluster[s], margin, whole)[2] for s in seeds]
        one_way = all(low > 0 for low, _ in ends) or all(high < 0 for _, high in ends)
        level = baseline.mean()
        error = np.sqrt(level * (1 - level) / d.size) if whole else stats.sem(baseline)
        if cluster is not None:
            error = max(error, robust(baseline, cluster)[1])
        floor = level <= chances[k] + 2 * error
        ceiling = level >= (1 if whole else 0) - margin
        few = cluster is not None and np.unique(cluster).size < 35
        if equivalent[k] and stable and not floor and not few and level > chances[k] + margin:
            verdicts.append("Null")
        elif detected[k] and (stable or one_way) and d.mean() > 0 and not ceiling:
            verdicts.append("Improvement")
        elif detected[k] and (stable or one_way) and d.mean() < 0 and not floor:
            verdicts.append("Harm")
        else:
            verdicts.append("Inconclusive" if last else "Ambiguous")
    return verdicts


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
    for _ in range(14):
        cells, rows, variances, chances = [], {}, [], []
        for k in range(2):
            n = int(draw.choice([180, 360]))
            seed, cluster = shared(draw, n)
            own = 0.0 if cluster is None else draw.normal(0, draw.choice([0.0, 0.04]), 400)[cluster]
            delta = draw.choice([0, 0, 0.1, -0.15, 0.25]) + own
            u = draw.random(3 * n)
            d = np.where(u < 0.1 + delta / 2, 1, np.where(u > 0.9 + delta / 2, -1, 0))
            before = np.where(d == 0, draw.random(3 * n) < draw.choice([0.05, 0.5, 0.97]), d < 0)
            cells.append((d, seed, cluster, before.astype(float)))
            rows[str(k)] = PairedRows(before, (before + d).astype(bool), seed, cluster=cluster)
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
    assert set(seen) == {"Improvement", "Harm", "Null", "Inconclusive" if look == 2 else "Ambiguous"}


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
            cells.append((d, seed, cluster, before))
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
        for each, (d, _, cluster, _) in zip(verdicts.values(), cells, strict=True):
            p, equivalence, ends = part(d, cluster, rule.margin, False)
            assert (each.p, each.p_equivalence) == pytest.approx((p, equivalence), rel=1e-6, abs=1e-12)
            assert (each.ci_low, each.ci_high) == pytest.approx(ends)
        between = [b if cell[2] is not None else 0.0 for b, cell in zip(betweens, cells, strict=True)]
        assert found == afresh(cells, 2, [0.36, 0.36], chances, rule, between, look == 2)
        seen += found
    assert set(seen) == {"Improvement", "Harm", "Null", "Inconclusive" if look == 2 else "Ambiguous"}
