"""Confidence intervals for shares, for paired differences and for clustered differences.

Tango (1998) for paired shares, Wilson (1927) for one share, Student's t over clusters, Efron's (1987) BCa bootstrap
over clusters. All intervals are two-sided.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lesion.errors import InputError
from lesion.stats.distributions import normal_cdf, normal_quantile, student_quantile

Floats = NDArray[np.float64]
HALVINGS = 42
"""Bisection steps; a bracket of width 2 shrinks below 1e-12."""
BOOTSTRAP_BLOCK = 1 << 23
"""Resampling weights held in memory at a time."""


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


def tango_score(gained: ArrayLike, lost: ArrayLike, n: ArrayLike, delta: ArrayLike) -> Floats:
    """Tango's score statistic of the hypothesis Delta = delta; standard normal under it, positive when data lie above.

    T = (b - c - n delta) / sqrt(n (2 q + delta (1 - delta))), q the maximum-likelihood share of lost items given delta.
    At delta = 0 it is McNemar's (b - c) / sqrt(b + c). Arrays broadcast. Tango (1998), Statistics in Medicine 17, 891.
    """
    b, c, n, d = (np.asarray(x, dtype=np.float64) for x in (gained, lost, n, delta))
    half = (b + c - (2 * n - b + c) * d) / 2
    product = 2 * n * c * d * (1 - d)
    root = np.sqrt(np.maximum(half * half + product, 0.0))
    # The larger root of the quadratic, in the form that does not cancel.
    other = np.divide(
        product, root - half, out=np.zeros(np.broadcast(root, product).shape), where=(half < 0) & (root > half)
    )
    q = np.where(half >= 0, half + root, other) / (2 * n)
    variance = n * (2 * q + d * (1 - d))
    distance = b - c - n * d
    tiny = 1e-12 * n
    score = np.divide(
        distance, np.sqrt(np.maximum(variance, 0.0)), out=np.zeros_like(variance + distance), where=variance > tiny
    )
    far = (variance <= tiny) & (np.abs(distance) > tiny)
    return np.where(far, np.copysign(np.inf, distance), score)


def tango_interval(
    gained: ArrayLike, lost: ArrayLike, n: ArrayLike, confidence: ArrayLike = 0.95
) -> tuple[Floats, Floats]:
    """Tango's score interval of the paired difference (b - c) / n; arrays broadcast; ends in -1 … 1.

    All delta with |T(delta)| <= z, by bisection; never of zero width, also at b = c = 0. Exact coverage of the nominal
    95 %: .949-.957 for n of 100-500 and 10-30 % discordant pairs.

    Raises:
        InputError: when counts are impossible or confidence is not in (0, 1).
    """
    b, c, size = np.broadcast_arrays(*(np.asarray(x, dtype=np.int64) for x in (gained, lost, n)))
    if not ((b >= 0) & (c >= 0) & (size > 0) & (b + c <= size)).all():
        raise InputError("Tango's interval needs counts with 0 <= b, 0 <= c, b + c <= n and n > 0")
    width = np.broadcast_to(_z(confidence), b.shape)
    estimate = (b - c) / size
    # Both ends at once: below the estimate the score falls through +width, above it through -width.
    low, high = np.stack([-np.ones_like(estimate), estimate]), np.stack([estimate, np.ones_like(estimate)])
    target = np.stack([width, -width])
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        above = tango_score(b, c, size, middle) > target
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    ends = (low + high) / 2
    return ends[0], ends[1]


@lru_cache(maxsize=65_536)
def tango(gained: int, lost: int, n: int, confidence: float = 0.95) -> Interval:
    """`tango_interval` of one comparison.

    >>> low, high = tango(12, 2, 50)
    >>> round(low, 4), round(high, 4)
    (0.0611, 0.3447)
    """
    low, high = tango_interval(gained, lost, n, confidence)
    return Interval(float(low), float(high))


def tango_equivalence(gained: ArrayLike, lost: ArrayLike, n: ArrayLike, margin: float) -> Floats:
    """The larger of the two one-sided score p-values against -margin and +margin.

    It is below alpha exactly when the 1 - 2 alpha Tango interval lies strictly inside (-margin, margin).
    """
    above = normal_cdf(-tango_score(gained, lost, n, -margin))
    below = normal_cdf(tango_score(gained, lost, n, margin))
    return np.maximum(above, below)


def wilson(successes: ArrayLike, n: ArrayLike, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Wilson's score interval of a share, arrays of any one shape; ends in 0 … 1. Wilson (1927), JASA 22, 209.

    Raises:
        InputError: when counts are impossible or confidence is not in (0, 1).
    """
    k, size = np.asarray(successes, dtype=np.float64), np.asarray(n, dtype=np.float64)
    if not ((k >= 0) & (k <= size) & (size > 0)).all():
        raise InputError("Wilson's interval needs counts with 0 <= successes <= n and n > 0")
    z2 = _z(confidence) ** 2
    center = (k + z2 / 2) / (size + z2)
    half = np.sqrt(z2 * (k * (size - k) / size + z2 / 4)) / (size + z2)
    return np.where(k == 0, 0.0, center - half), np.where(k == size, 1.0, center + half)


class ClusterMean(NamedTuple):
    """A mean difference whose exchangeable unit is the cluster."""

    delta: float
    error: float
    """Standard error over clusters; 0 when all clusters agree."""
    clusters: int

    def interval(self, confidence: float = 0.95) -> Interval:
        """Student's t interval with clusters - 1 degrees of freedom."""
        half = student_quantile((1 + confidence) / 2, self.clusters - 1) * self.error
        return Interval(self.delta - half, self.delta + half)


def cluster_mean(sums: ArrayLike, sizes: ArrayLike) -> ClusterMean:
    """Mean difference per item from the sums [G] and sizes [G] of clusters, with its cluster-robust standard error.

    Delta = S / N; error^2 = G / (G - 1) sum_g (S_g - Delta n_g)^2 / N^2, which for clusters of one size is the usual
    standard error of the mean of cluster means.

    Raises:
        InputError: for fewer than two clusters or an empty one.
    """
    s, n = np.asarray(sums, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    if s.ndim != 1 or s.shape != n.shape or s.size < 2 or not (n > 0).all():
        raise InputError(f"an interval over clusters needs at least two clusters with items; got {s.size}")
    delta = s.sum() / n.sum()
    error = np.sqrt(s.size / (s.size - 1) * ((s - delta * n) ** 2).sum()) / n.sum()
    return ClusterMean(float(delta), float(error), s.size)


def bca(
    sums: ArrayLike, sizes: ArrayLike, generator: np.random.Generator, confidence: float = 0.95, resamples: int = 9_999
) -> tuple[Floats, Floats]:
    """Cluster-bootstrap BCa intervals of many mean differences at once, each end of shape [comparisons].

    Args:
        sums: cluster sums, [comparisons, G]; the same clusters are drawn for all comparisons.
        sizes: items by cluster, [G].
        generator: source of the resamples.
        confidence: level.
        resamples: bootstrap draws.

    Ends are NaN where all clusters agree: the bootstrap then knows nothing about the error. Efron (1987), JASA 82, 171.

    Raises:
        InputError: for fewer than 30 clusters, where BCa covers too rarely (.87 at 6, .93 at 12); use cluster_mean.
    """
    s, n = np.atleast_2d(np.asarray(sums, dtype=np.float64)), np.asarray(sizes, dtype=np.float64)
    clusters = s.shape[1]
    if clusters < 30 or n.shape != (clusters,) or not (n > 0).all():
        raise InputError(f"BCa needs at least 30 clusters with items, got {clusters}; use the cluster t interval")
    width = _z(confidence)
    estimate = s.sum(1) / n.sum()
    draws = np.sort(_resampled(s, n, generator, resamples), axis=1)
    below = np.array(
        [row.searchsorted(at, "left") + row.searchsorted(at, "right") for row, at in zip(draws, estimate, strict=True)]
    )
    bias = normal_quantile(np.clip(below / (2 * resamples), 1 / (2 * resamples), 1 - 1 / (2 * resamples)))
    left_out = (s.sum(1, keepdims=True) - s) / (n.sum() - n)
    pull = left_out.mean(1, keepdims=True) - left_out
    spread = (pull**2).sum(1)
    varies = spread > 1e-24
    skew = np.divide((pull**3).sum(1), 6 * spread**1.5, out=np.zeros_like(spread), where=varies)
    shares = [bias + (bias + q) / (1 - skew * (bias + q)) for q in (-width, width)]
    ends = [np.where(varies, _at(draws, normal_cdf(share)), np.nan) for share in shares]
    return ends[0], ends[1]


def _z(confidence: ArrayLike) -> Floats:
    level = np.asarray(confidence, dtype=np.float64)
    if not ((level > 0) & (level < 1)).all():
        raise InputError(f"confidence {confidence} is not strictly between 0 and 1")
    return normal_quantile((1 + level) / 2)


def _resampled(s: Floats, n: Floats, generator: np.random.Generator, resamples: int) -> Floats:
    clusters, parts = n.size, list[Floats]()
    rows = max(1, BOOTSTRAP_BLOCK // clusters)
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        drawn = generator.integers(0, clusters, (count, clusters)) + clusters * np.arange(count)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=count * clusters).reshape(count, clusters).astype(np.float64)
        parts.append((s @ weights.T) / (weights @ n))
    return np.concatenate(parts, axis=1)


def _at(ordered: Floats, share: Floats) -> Floats:
    place = np.clip(share, 0, 1) * (ordered.shape[1] - 1)
    floor = np.floor(place).astype(np.intp)
    upper = np.minimum(floor + 1, ordered.shape[1] - 1)
    below = np.take_along_axis(ordered, floor[:, None], axis=1)[:, 0]
    above = np.take_along_axis(ordered, upper[:, None], axis=1)[:, 0]
    return below + (place - floor) * (above - below)
