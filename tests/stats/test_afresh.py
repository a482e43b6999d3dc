"""The rule written a second time, from its description alone and with other libraries, gives the same verdicts."""

import numpy as np
import pytest
from scipy import optimize, special, stats

from lesion.stats.verdict.judge import Discovered, PairedRows, Rule, judge

MARGIN, LEVEL = 0.03, 0.025


def score(b, c, n, delta):
    """Tango's statistic from the restricted maximum-likelihood estimate, as in his paper."""
    linear, constant = -b - c + (2 * n - b + c) * delta, -c * delta * (1 - delta)
    q = (np.sqrt(linear**2 - 8 * n * constant) - linear) / (4 * n)
    variance = n * (2 * q + delta * (1 - delta))
    return (b - c - n * delta) / np.sqrt(variance) if variance > 1e-15 else np.inf * np.sign(b - c - n * delta)


def interval(b, c, n):
    z, estimate = 1.959963984540054, (b - c) / n
    low = optimize.brentq(lambda d: score(b, c, n, d) - z, -1 + 1e-9, estimate - 1e-9)
    return low, optimize.brentq(lambda d: score(b, c, n, d) + z, estimate + 1e-9, 1 - 1e-9)


def exact(b, c):
    return stats.binomtest(int(b), int(b + c)).pvalue if b + c else 1.0


def adjusted(p, family):
    out, running = [0.0] * len(p), 0.0
    for rank, k in enumerate(sorted(range(len(p)), key=lambda k: p[k])):
        running = max(running, (family - rank) * p[k])
        out[k] = min(1.0, running)
    return np.array(out)


def afresh(cells, family, psis, last, edition):
    """Verdicts from lists of (difference, seed, stratum, baseline)."""
    tables = [((d > 0).sum(), (d < 0).sum(), d.size) for d, *_ in cells]
    detected = adjusted([exact(b, c) for b, c, _ in tables], family) <= LEVEL
    one_sided = [max(special.ndtr(-score(*t, -MARGIN)), special.ndtr(score(*t, MARGIN))) for t in tables]
    equivalent = adjusted(one_sided, family) < LEVEL
    verdicts = []
    for (d, seed, stratum, baseline), psi, found, null in zip(cells, psis, detected, equivalent, strict=True):
        parts = [d[stratum == level] for level in np.unique(stratum)]
        p = adjusted([exact((x > 0).sum(), (x < 0).sum()) for x in parts], len(parts))
        level = LEVEL / (family if edition == 2 else 1)
        sides = {np.sign(x.sum()) for x, value in zip(parts, p, strict=True) if value <= level}
        by_seed = [d[seed == s] for s in np.unique(seed)]
        n = min(x.size for x in by_seed)
        sums = [int(x.sum()) for x in by_seed]
        stable = n >= 12_200 * psi - 1e-6 and (max(sums) - min(sums)) * 100 < 3 * n
        ends = [interval((x > 0).sum(), (x < 0).sum(), x.size) for x in by_seed]
        one_way = all(low > 0 for low, _ in ends) or all(high < 0 for _, high in ends)
        right = baseline.mean()
        floor, ceiling = right <= 2 * np.sqrt(right * (1 - right) / d.size), right >= 1 - MARGIN
        if sides >= {1, -1}:
            verdicts.append("Mixed")
        elif null and stable and not floor and (edition == 1 or right > MARGIN):
            verdicts.append("Null")
        elif found and (stable or one_way) and d.sum() > 0 and not ceiling:
            verdicts.append("Improvement")
        elif found and (stable or one_way) and d.sum() < 0 and not floor:
            verdicts.append("Harm")
        else:
            verdicts.append("Inconclusive" if last else "Ambiguous")
    return verdicts


def draw_cell(draw):
    n = int(draw.choice([200, 600, 1300]))
    psi = draw.choice([0.02, 0.1, 0.25])
    delta = psi * draw.choice([0, 0, 0.1, 0.25, 0.6, -0.2, -0.7])
    seed, stratum = np.repeat(np.arange(3), n), draw.integers(0, 3, 3 * n)
    own = delta + draw.choice([0, 0, 0.4, 0.8]) * psi * np.array([1, -1, 0])[stratum]
    own = np.clip(own + draw.choice([0, 0, 0.03]) * np.array([1, 0, -1])[seed], -psi, psi)
    u = draw.random(3 * n)
    d = np.where(u < (psi + own) / 2, 1, np.where(u > 1 - (psi - own) / 2, -1, 0))
    baseline = np.where(d == 0, draw.random(3 * n) < draw.choice([0.0, 0.5, 1.0]), d < 0)
    return (d, seed, stratum, baseline), draw.choice([psi, psi / 3])


@pytest.mark.parametrize("edition", [1, 2])
@pytest.mark.parametrize("look", [1, 2])
def test_a_second_implementation_gives_the_same_verdicts(look, edition):
    draw, seen = np.random.default_rng(look), []
    for _ in range(100):
        cells, psis = zip(*[draw_cell(draw) for _ in range(3)], strict=True)
        rows = {
            str(k): PairedRows(baseline, (baseline + d).astype(bool), seed, {"operator": stratum})
            for k, (d, seed, stratum, baseline) in enumerate(cells)
        }
        verdicts = judge(
            rows,
            Rule(edition=edition),
            look=look,
            family_size=4,
            discovered={str(k): Discovered(psi) for k, psi in enumerate(psis)},
            chance=dict.fromkeys(rows, 0.0),
        )
        found = [verdicts[name].verdict for name in rows]
        assert found == afresh(cells, 4, psis, last=look == 2, edition=edition)
        seen += found
    assert set(seen) == {"Improvement", "Harm", "Null", "Mixed", "Inconclusive" if look == 2 else "Ambiguous"}
