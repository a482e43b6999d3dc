"""The numbers of one paired comparison: by item, by cluster, and for outcomes that are numbers.

By item: McNemar and Tango. By cluster: sign flips and Student's t, guarded (clusters.py) and never more sure than the
items alone, or plain as the first rule had it. A continuous outcome: sign flips and the
guarded t, over items or clusters.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lesion.stats.distributions import student_cdf
from lesion.stats.intervals import Interval, cluster_mean, tango, tango_equivalence, tango_interval
from lesion.stats.paired.cluster_mean import Guarded, guarded, hull, p_sign_flip
from lesion.stats.paired.numbers import PairedNumbers
from lesion.stats.paired.rows import Bools, Ints, PairedRows
from lesion.stats.paired.tests import Deltas, deltas, mcnemar_exact, sign_flip_exact
from lesion.stats.verdict.rule import Edition

UNKNOWN = Interval(-1.0, 1.0)
"""The interval of an accuracy difference about which one cluster alone cannot speak."""
ENDLESS = Interval(-1e6, 1e6)
"""The same for a continuous outcome, nats: beyond any log-probability, and JSON knows no infinity."""


class Comparison(NamedTuple):
    """A paired difference with its p, its interval and its equivalence p."""

    counts: Deltas
    """Items, and how many gained and lost (continuous: rose and fell)."""
    p: float
    interval: Interval
    p_equivalence: float
    mean: float | None = None
    """Continuous outcome: the mean paired difference, nats."""

    @property
    def delta(self) -> float:
        """The paired difference: (b - c) / n, or the mean in nats."""
        return self.counts.delta if self.mean is None else self.mean


def compare(rows: PairedRows | PairedNumbers, confidence: float, margin: float, edition: Edition = 1) -> Comparison:
    """Compares the two arms; the exchangeable unit is the cluster where the rows have one, else the item.

    Args:
        rows: the cell.
        confidence: level of the interval.
        margin: of the equivalence test.
        edition: 2: clusters are guarded; 1: as the first rule had it. Items alone are the same in both.
    """
    if isinstance(rows, PairedNumbers):
        return _numbers(rows, confidence, margin)
    counts = deltas(rows.baseline, rows.edited)
    if rows.cluster is None:
        return _by_item(counts, confidence, margin)
    sums, sizes = totals(rows.difference, rows.cluster)
    if edition == 1:
        return _by_cluster(counts, sums, sizes, confidence, margin)
    return _guarded(_by_item(counts, confidence, margin), sums, sizes, confidence, margin, UNKNOWN)


def compare_parts(
    rows: PairedRows | PairedNumbers,
    parts: Sequence[Bools],
    confidences: Sequence[float],
    margin: float,
    edition: Edition = 1,
) -> list[Comparison]:
    """`compare` for every part of the rows, each marked by a mask [n] and with a confidence of its own."""
    if isinstance(rows, PairedNumbers) or rows.cluster is not None:
        return [
            compare(rows.where(mask), level, margin, edition) for mask, level in zip(parts, confidences, strict=True)
        ]
    masks, difference = np.stack(parts), rows.difference
    n, b, c = masks.sum(1), (masks & (difference > 0)).sum(1), (masks & (difference < 0)).sum(1)
    columns = (n, b, c, mcnemar_exact(b, c), *tango_interval(b, c, n, confidences), tango_equivalence(b, c, n, margin))
    return [
        Comparison(Deltas(*counts), p, Interval(low, high), p_equivalence)
        for *counts, p, low, high, p_equivalence in zip(*(x.tolist() for x in columns), strict=True)
    ]


def totals(difference: NDArray[Any], cluster: NDArray[Any]) -> tuple[NDArray[Any], Ints]:
    """Sums and sizes of the clusters, each [G], in the order of their sorted names."""
    names, place = np.unique(cluster, return_inverse=True)
    sums = np.zeros(len(names), dtype=difference.dtype)
    np.add.at(sums, place, difference)
    return sums, np.bincount(place, minlength=len(names)).astype(np.int64)


def fewest_clusters(alpha: float) -> int:
    """Clusters without which sign flips cannot reach alpha (their smallest p is 2 / 2^G), and never fewer than 6.

    >>> fewest_clusters(0.025), fewest_clusters(0.0025)
    (7, 10)
    """
    return max(6, int(np.ceil(1 - np.log2(alpha) - 1e-12)))


def _by_item(counts: Deltas, confidence: float, margin: float) -> Comparison:
    n, b, c = counts
    return Comparison(
        counts, float(mcnemar_exact(b, c)), tango(b, c, n, confidence), float(tango_equivalence(b, c, n, margin))
    )


def _by_cluster(counts: Deltas, sums: Ints, sizes: Ints, confidence: float, margin: float) -> Comparison:
    p = sign_flip_exact(sums)
    if sums.size < 2:
        return Comparison(counts, p, UNKNOWN, 1.0)
    mean = cluster_mean(sums, sizes)
    if mean.error == 0:
        # Clusters that agree exactly know nothing of the error between clusters; the items still bound it.
        return _by_item(counts, confidence, margin)._replace(p=p)
    above = student_cdf(-(mean.delta + margin) / mean.error, mean.clusters - 1)
    below = student_cdf((mean.delta - margin) / mean.error, mean.clusters - 1)
    return Comparison(counts, p, mean.interval(confidence), max(above, below))


def _guarded(
    items: Comparison, sums: NDArray[Any], sizes: Ints, confidence: float, margin: float, unknown: Interval
) -> Comparison:
    """Clusters, guarded, and never more sure than the items alone."""
    if sums.size < 2:
        return items._replace(p=1.0, interval=unknown, p_equivalence=1.0)
    found = guarded(sums, sizes)
    return items._replace(
        p=max(p_sign_flip(sums), float(found.p_zero()), items.p),
        interval=hull(_ends(found, confidence), items.interval),
        p_equivalence=max(float(found.p_equivalence(margin)), items.p_equivalence),
    )


def _numbers(rows: PairedNumbers, confidence: float, margin: float) -> Comparison:
    difference = rows.difference
    counts = Deltas(rows.n, int((difference > 0).sum()), int((difference < 0).sum()))
    mean = float(difference.mean())
    if rows.n < 2:
        return Comparison(counts, 1.0, ENDLESS, 1.0, mean)
    if np.ptp(difference) == 0:  # items that do not vary know nothing of those that were not drawn
        return Comparison(counts, p_sign_flip(difference), ENDLESS, 1.0, mean)
    found = guarded(difference, np.ones(rows.n))
    p = max(p_sign_flip(difference), float(found.p_zero()))
    items = Comparison(counts, p, _ends(found, confidence), float(found.p_equivalence(margin)), mean)
    if rows.cluster is None:
        return items
    return _guarded(items, *totals(difference, rows.cluster), confidence, margin, ENDLESS)


def _ends(found: Guarded, confidence: float) -> Interval:
    low, high = found.ends(confidence)
    return Interval(float(low), float(high))
