"""A mean over clusters that must also hold with one more cluster like the most extreme: for few, uneven, skewed ones.

Student's t over clusters is blind to what was hardly drawn: where one template in twelve carries the whole loss, some
samples hold one of them or none, and look both small and sure. So each end of the interval is that of the data with the
cluster that pulls most towards this end counted twice. Degrees of freedom come from the effective number of clusters
(Carter, Schnepel & Steigerwald 2017). Sign flips are Fisher's (1935), exact up to 64 units.

Arrays may have any leading axes (studies, cells): the code that judges one cell simulates thousands.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lesion.errors import InputError
from lesion.stats.distributions import normal_cdf, student_tail, student_width
from lesion.stats.intervals import Interval
from lesion.stats.paired.tests import sign_flip_exact

Floats = NDArray[np.float64]
FLIPPED = 64
"""Up to so many units sign flips are exact; beyond, the normal limit, whose tails are the heavier ones."""
GRID = 4096
"""Real sums are rounded to their absolute total over this before they are flipped: exact for the rounded sums."""


class Guarded(NamedTuple):
    """A mean with one standard error for each side; every array is [...]."""

    delta: Floats
    """Mean per item, of the data as they are."""
    below: Floats
    """Mean with the lowest cluster counted twice."""
    below_error: Floats
    above: Floats
    """Mean with the highest cluster counted twice."""
    above_error: Floats
    freedom: Floats
    """Effective number of clusters less one."""

    def ends(self, confidence: float) -> tuple[Floats, Floats]:
        """Both ends of the two-sided interval."""
        width = student_width(confidence, self.freedom)
        return self.below - width * self.below_error, self.above + width * self.above_error

    def p_above(self, bound: float | Floats) -> Floats:
        """One-sided p that the mean is above a bound."""
        return _tail(self.below - bound, self.below_error, self.freedom)

    def p_below(self, bound: float | Floats) -> Floats:
        """One-sided p that the mean is below a bound."""
        return _tail(bound - self.above, self.above_error, self.freedom)

    def p_zero(self) -> Floats:
        """Two-sided p of no difference: each side is asked of the end that is nearer to the other."""
        return np.minimum(1.0, 2 * np.minimum(self.p_above(0.0), self.p_below(0.0)))

    def p_equivalence(self, margin: float | Floats) -> Floats:
        """The larger of the two one-sided p-values against -margin and +margin."""
        return np.maximum(self.p_above(-np.asarray(margin)), self.p_below(margin))


def guarded(sums: ArrayLike, sizes: ArrayLike) -> Guarded:
    """The guarded mean of clusters with sums [..., G] and sizes [..., G]; an item alone is a cluster of size 1.

    Error as in `cluster_mean`: sqrt(G / (G - 1) sum_g (S_g - mean n_g)^2) / N, over the clusters and the doubled one.

    Raises:
        InputError: for fewer than two clusters or an empty one.
    """
    s, n = np.broadcast_arrays(np.asarray(sums, dtype=np.float64), np.asarray(sizes, dtype=np.float64))
    if s.ndim < 1 or s.shape[-1] < 2 or not (n > 0).all():
        raise InputError(f"an interval over clusters needs at least two clusters with items; got shape {s.shape}")
    total = n.sum(-1)
    delta = s.sum(-1) / total
    pull = s - delta[..., None] * n
    lowest, highest = pull.argmin(-1)[..., None], pull.argmax(-1)[..., None]
    below, below_error = _doubled(s, n, lowest)
    above, above_error = _doubled(s, n, highest)
    freedom = np.maximum(total**2 / (n**2).sum(-1) - 1, 1e-3)
    return Guarded(delta, below, below_error, above, above_error, freedom)


def p_sign_flip(sums: NDArray[np.int64] | Floats) -> float:
    """Two-sided sign-flip p of cluster sums [G], integers or real numbers.

    Exact for integers and up to 64 real sums (rounded to a grid of their total); else the normal limit,
    2 Phi(-|sum| / sqrt(sum of squares)).
    """
    if np.issubdtype(sums.dtype, np.integer):
        return sign_flip_exact(sums)
    reach = float(np.abs(sums).sum())
    if reach == 0:
        return 1.0
    if sums.size <= FLIPPED:
        return sign_flip_exact(np.rint(sums / reach * GRID).astype(np.int64))
    return float(min(1.0, 2 * normal_cdf(-abs(sums.sum()) / np.sqrt((sums**2).sum()))))


def hull(one: Interval, other: Interval) -> Interval:
    """The smallest interval that holds both."""
    return Interval(min(one.low, other.low), max(one.high, other.high))


def _doubled(s: Floats, n: Floats, which: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """Mean and standard error with one cluster [..., 1] counted twice."""
    more_s, more_n = np.take_along_axis(s, which, -1)[..., 0], np.take_along_axis(n, which, -1)[..., 0]
    total, count = n.sum(-1) + more_n, s.shape[-1] + 1
    mean = (s.sum(-1) + more_s) / total
    rest = ((s - mean[..., None] * n) ** 2).sum(-1) + (more_s - mean * more_n) ** 2
    return mean, np.sqrt(count / (count - 1) * rest) / total


def _tail(distance: Floats, error: Floats, freedom: Floats) -> Floats:
    """P(T >= distance / error); without error 0 or 1, by the sign of the distance."""
    gap = np.asarray(distance)
    certain = error <= 1e-15
    ratio = np.divide(gap, error, out=np.zeros_like(gap + error), where=~certain)
    return np.where(certain, np.where(gap > 0, 0.0, 1.0), student_tail(ratio, freedom))
