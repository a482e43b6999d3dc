"""The numbers of one paired comparison: by item with McNemar and Tango, by cluster with sign flips and Student's t."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lesion.stats.distributions import student_cdf
from lesion.stats.intervals import Interval, cluster_mean, tango, tango_equivalence, tango_interval
from lesion.stats.paired import Deltas, deltas, mcnemar_exact, sign_flip_exact
from lesion.stats.rows import Bools, Ints, PairedRows

UNKNOWN = Interval(-1.0, 1.0)
"""The interval of a difference about which one cluster alone cannot speak."""


class Comparison(NamedTuple):
    """A paired difference with its exact p, its interval and its equivalence p."""

    counts: Deltas
    p: float
    interval: Interval
    p_equivalence: float


def compare(rows: PairedRows, confidence: float, margin: float) -> Comparison:
    """Compares the two arms; the exchangeable unit is the cluster where the rows have one, else the item."""
    counts = deltas(rows.baseline, rows.edited)
    if rows.cluster is None:
        return _by_item(counts, confidence, margin)
    names, place = np.unique(rows.cluster, return_inverse=True)
    sums = np.zeros(len(names), dtype=np.int64)
    np.add.at(sums, place, rows.difference)
    sizes = np.bincount(place, minlength=len(names)).astype(np.int64)
    return _by_cluster(counts, sums, sizes, confidence, margin)


def compare_parts(
    rows: PairedRows, parts: Sequence[Bools], confidences: Sequence[float], margin: float
) -> list[Comparison]:
    """`compare` for every part of the rows, each marked by a mask [n] and with a confidence of its own."""
    if rows.cluster is not None:
        return [compare(rows.where(mask), level, margin) for mask, level in zip(parts, confidences, strict=True)]
    masks, difference = np.stack(parts), rows.difference
    n, b, c = masks.sum(1), (masks & (difference > 0)).sum(1), (masks & (difference < 0)).sum(1)
    columns = (n, b, c, mcnemar_exact(b, c), *tango_interval(b, c, n, confidences), tango_equivalence(b, c, n, margin))
    return [
        Comparison(Deltas(*counts), p, Interval(low, high), p_equivalence)
        for *counts, p, low, high, p_equivalence in zip(*(x.tolist() for x in columns), strict=True)
    ]


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
