"""The decision rule a second time, from docs/verdict.md alone, with scipy and statsmodels."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy import optimize, signal, special, stats
from statsmodels.stats.multitest import multipletests

Array = NDArray[Any]
Q = 3.314
"""Range of three normal draws that is exceeded in 5 % of cases, in standard deviations."""
FEWEST = 35
"""Clusters without which there is no Null."""


class Settings(NamedTuple):
    """The thresholds of a study."""

    whole: bool
    """Right and wrong answers; else a number for each item, nats."""
    margin: float
    spread: float
    level: float
    """Error rate of one look."""
    last: bool
    """Whether there is no further look."""


class Cell(NamedTuple):
    """The rows of one cell; arrays are [n]."""

    before: Array
    after: Array
    seed: Array
    cluster: Array | None
    strata: Mapping[str, Array]
    variance: float
    """Of an item's difference, from discovery."""
    between: float
    """Standard deviation of the effect between clusters, from discovery."""
    chance: float

    @property
    def change(self) -> Array:
        """After minus before."""
        return self.after.astype(float) - self.before.astype(float)


class Compared(NamedTuple):
    """The numbers of one paired comparison."""

    p: float
    equivalence: float
    low: float
    high: float


class Found(NamedTuple):
    """What is decided about a cell."""

    verdict: str
    p: float
    p_holm: float
    change: float
    low: float
    high: float


def score(b: int, c: int, n: int, delta: float) -> float:
    """Tango's statistic from the restricted maximum-likelihood estimate, as in his paper."""
    linear, constant = -b - c + (2 * n - b + c) * delta, -c * delta * (1 - delta)
    q = (np.sqrt(linear**2 - 8 * n * constant) - linear) / (4 * n)
    variance = n * (2 * q + delta * (1 - delta))
    return (b - c - n * delta) / np.sqrt(variance) if variance > 1e-15 else np.inf * np.sign(b - c - n * delta)


def interval(b: int, c: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Tango's interval of (b - c) / n."""
    z, estimate = stats.norm.ppf((1 + confidence) / 2), (b - c) / n
    ends = [-1.0, 1.0]
    if estimate > -1:
        ends[0] = optimize.brentq(lambda d: score(b, c, n, d) - z, -1 + 1e-9, estimate - 1e-9)
    if estimate < 1:
        ends[1] = optimize.brentq(lambda d: score(b, c, n, d) + z, estimate + 1e-9, 1 - 1e-9)
    return ends[0], ends[1]


def exact(b: int, c: int) -> float:
    """McNemar's exact p."""
    return stats.binomtest(int(b), int(b + c)).pvalue if b + c else 1.0


def adjusted(p: Sequence[float], family: int) -> Array:
    """Holm's p over a family; members that are not given count as 1."""
    return multipletests([*p, *[1.0] * (family - len(p))], method="holm")[1][: len(p)]


def robust(d: Array, cluster: Array) -> tuple[float, float]:
    """Mean and its cluster-robust standard error."""
    if np.unique(cluster).size == d.size:
        return float(d.mean()), float(stats.sem(d))
    fitted = sm.OLS(d, np.ones(d.size)).fit(cov_type="cluster", cov_kwds={"groups": cluster})
    return float(fitted.params[0]), float(fitted.bse[0])


def flips(sums: Array) -> float:
    """Exact two-sided sign-flip p of whole sums, by counting."""
    sizes = np.abs(np.asarray(sums, dtype=int))
    chance = np.array([1.0])  # of each total, from minus all to plus all in steps of one
    for size in sizes:
        step = signal.unit_impulse(2 * size + 1, [0]) / 2 + signal.unit_impulse(2 * size + 1, [2 * size]) / 2
        chance = signal.convolve(chance, step)
    totals = np.arange(chance.size) - sizes.sum()
    return float(chance[np.abs(totals) >= abs(int(sum(sums)))].sum())


def flipped(sums: Array, *, whole: bool) -> float:
    """Sign-flip p of cluster sums: exact for whole sums and up to 64 others, else the normal limit."""
    if whole:
        return flips(sums)
    if not sums.any():
        return 1.0
    if sums.size <= 64:
        return flips(np.rint(sums / np.abs(sums).sum() * 4096))
    return float(2 * stats.norm.sf(abs(sums.sum()) / np.sqrt((sums**2).sum())))


def ends_of(d: Array, cluster: Array) -> tuple[tuple[float, float], tuple[float, float], float]:
    """Mean and standard error with the lowest, and with the highest, pulling cluster counted twice; and the freedom."""
    names, place, sizes = np.unique(cluster, return_inverse=True, return_counts=True)
    pulls = np.bincount(place, weights=d - d.mean())
    ends: list[tuple[float, float]] = []
    for extreme in (pulls.argmin(), pulls.argmax()):
        twin = place == extreme
        again = np.concatenate([place, np.full(twin.sum(), names.size)])
        ends.append(robust(np.concatenate([d, d[twin]]), again))
    return ends[0], ends[1], sizes.sum() ** 2 / (sizes**2).sum() - 1


def guarded(d: Array, cluster: Array, margin: float, confidence: float) -> Compared:
    """Student's t over clusters; for each end, the cluster that pulls most towards it counts twice."""
    (low, low_error), (high, high_error), freedom = ends_of(d, cluster)
    student = stats.t(freedom)
    p = min(1.0, 2 * min(student.sf(low / low_error), student.sf(-high / high_error)))
    equivalence = max(student.sf((low + margin) / low_error), student.sf((margin - high) / high_error))
    width = student.ppf((1 + confidence) / 2)
    return Compared(p, equivalence, low - width * low_error, high + width * high_error)


def by_item(d: Array, margin: float, confidence: float, *, whole: bool) -> Compared:
    """The comparison where every item stands for itself."""
    if not whole:
        found = guarded(d, np.arange(d.size), margin, confidence)
        return found._replace(p=max(found.p, flipped(d, whole=False)))
    b, c, n = int((d > 0).sum()), int((d < 0).sum()), d.size
    equivalence = max(special.ndtr(-score(b, c, n, -margin)), special.ndtr(score(b, c, n, margin)))
    return Compared(exact(b, c), equivalence, *interval(b, c, n, confidence))


def compared(d: Array, cluster: Array | None, margin: float, confidence: float = 0.95, *, whole: bool) -> Compared:
    """The comparison of some rows: over clusters, and never more sure than the items alone."""
    items = by_item(d, margin, confidence, whole=whole)
    if cluster is None:
        return items
    over = guarded(d, cluster, margin, confidence)
    sums = np.bincount(np.unique(cluster, return_inverse=True)[1], weights=d)
    return Compared(
        max(over.p, flipped(sums, whole=whole), items.p),
        max(over.equivalence, items.equivalence),
        min(over.low, items.low),
        max(over.high, items.high),
    )


def above(d: Array, cluster: Array | None, bound: float, *, whole: bool) -> float:
    """One-sided p that the mean lies above a bound: the largest over items and clusters."""
    parts: list[float] = []
    if whole:
        b, c, n = int((d > 0).sum()), int((d < 0).sum()), d.size
        parts.append(float(special.ndtr(-score(b, c, n, bound))))
        if bound == 0:
            parts.append(exact(b, c) / 2 if b > c else 0.5)
    groups = [np.arange(d.size)] if not whole else []
    for group in [*groups, *([] if cluster is None else [cluster])]:
        (low, error), _, freedom = ends_of(d, group)
        parts.append(float(stats.t(freedom).sf((low - bound) / error)))
    return max(parts)


def judged(cells: Sequence[Cell], family: int, settings: Settings) -> list[Found]:
    """The verdicts of the cells of one look, corrected over a family of so many."""
    confidence = 1 - 2 * settings.level
    told = [compared(c.change, c.cluster, settings.margin, confidence, whole=settings.whole) for c in cells]
    p_holm = adjusted([each.p for each in told], family)
    equivalent = adjusted([each.equivalence for each in told], family) < settings.level
    found: list[Found] = []
    for cell, each, holm, null in zip(cells, told, p_holm, equivalent, strict=True):
        word = _word(cell, settings, family, detected=bool(holm <= settings.level), equivalent=bool(null))
        found.append(Found(word, each.p, float(holm), float(cell.change.mean()), each.low, each.high))
    return found


def _word(cell: Cell, settings: Settings, family: int, *, detected: bool, equivalent: bool) -> str:
    """The verdict: the first row of the table that fits."""
    d, level = cell.change, float(cell.before.mean())
    floor = level <= cell.chance + 2 * error_of_level(cell, settings)
    few = cell.cluster is not None and np.unique(cell.cluster).size < FEWEST
    stable, one_way = seeds_agree(cell, settings)
    if _strata_disagree(cell, settings, family):
        return "Mixed"
    if equivalent and stable and not floor and not few and level > cell.chance + settings.margin:
        return "Null"
    if detected and (stable or one_way):
        if d.mean() > 0 and level < (1 if settings.whole else 0) - settings.margin:
            return "Improvement"
        if d.mean() < 0 and not floor:
            return "Harm"
    return "Inconclusive" if settings.last else "Ambiguous"


def error_of_level(cell: Cell, settings: Settings) -> float:
    """Standard error of the unedited mean, by item or by cluster, whichever is larger."""
    level, n = float(cell.before.mean()), cell.before.size
    error = np.sqrt(level * (1 - level) / n) if settings.whole else stats.sem(cell.before)
    return float(error) if cell.cluster is None else max(error, robust(cell.before.astype(float), cell.cluster)[1])


def seeds_agree(cell: Cell, settings: Settings) -> tuple[bool, bool]:
    """Whether the seeds' differences lie near each other with items enough to tell, and whether all have one sign."""
    d, cluster = cell.change, cell.cluster
    seeds = [cell.seed == seed for seed in np.unique(cell.seed)]
    means = [d[seed].mean() for seed in seeds]
    each = min(np.unique(cluster[seed]).size for seed in seeds) if cluster is not None else 1
    between = cell.between if cluster is not None else 0.0
    room = settings.spread**2 - Q**2 * between**2 / each
    enough = room > 0 and min(seed.sum() for seed in seeds) >= 0.9996 * Q**2 * cell.variance / room
    ends = [
        compared(d[seed], None if cluster is None else cluster[seed], settings.margin, whole=settings.whole)
        for seed in seeds
    ]
    one_way = all(part.low > 0 for part in ends) or all(part.high < 0 for part in ends)
    return bool(enough and max(means) - min(means) < settings.spread - 1e-12), one_way


def _strata_disagree(cell: Cell, settings: Settings, family: int) -> bool:
    """Whether one stratum gains and another loses, Holm over all strata."""
    parts = [levels == level for levels in cell.strata.values() for level in np.unique(levels)]
    if not parts:
        return False
    d, cluster = cell.change, cell.cluster
    p = [
        compared(d[part], None if cluster is None else cluster[part], settings.margin, whole=settings.whole).p
        for part in parts
    ]
    level = settings.level / family
    signs = {np.sign(d[part].sum()) for part, each in zip(parts, adjusted(p, len(p)), strict=True) if each <= level}
    return signs >= {1.0, -1.0}


def rank(target: float, sets: Array, verdict: str) -> int:
    """Where the target stands among matched sets, the most extreme first; ties count against it."""
    sign = -1.0 if (verdict == "Harm" or (verdict != "Improvement" and target < 0)) else 1.0
    if sign * target <= 0 and verdict in ("Harm", "Improvement"):
        return 1 + sets.size
    return 1 + int((sign * sets >= sign * target - 1e-9).sum())
