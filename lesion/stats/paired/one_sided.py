"""One-sided evidence about paired differences: is their mean above, or below, a bound?

Items: Tango's score (1998), at a bound of 0 never smaller than half of McNemar's exact p. Clusters and numbers: the
guarded t of cluster_mean.py. The largest p counts. Arrays may have any leading axes (studies, questions).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lesion.stats.distributions import normal_cdf
from lesion.stats.intervals import tango_score
from lesion.stats.paired.cluster_mean import Guarded, guarded
from lesion.stats.paired.comparison import totals
from lesion.stats.paired.numbers import PairedNumbers
from lesion.stats.paired.rows import PairedRows
from lesion.stats.paired.tests import mcnemar_exact

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Counted(NamedTuple):
    """Items with an outcome of right or wrong; every array is [...]."""

    gained: Ints
    lost: Ints
    n: Ints

    def p_above(self, bound: float | Floats) -> Floats:
        """One-sided p that (gained - lost) / n is above a bound."""
        p = normal_cdf(-tango_score(self.gained, self.lost, self.n, bound))
        exact = np.where(self.gained > self.lost, mcnemar_exact(self.gained, self.lost) / 2, 0.5)
        return np.where(np.asarray(bound) == 0, np.maximum(p, exact), p)


class Sample(NamedTuple):
    """Paired differences of many comparisons, as far as tests of their mean need them."""

    counts: Counted | None
    """Outcomes of right or wrong; none for numbers."""
    means: tuple[Guarded, ...] = ()
    """Over items that are numbers, and over clusters."""

    def p_above(self, bound: float | Floats) -> Floats:
        """One-sided p that the mean is above a bound; 1 where nothing is known of the error."""
        parts = [] if self.counts is None else [self.counts.p_above(bound)]
        return _largest(parts + [mean.p_above(bound) for mean in self.means])

    def p_below(self, bound: float | Floats) -> Floats:
        """One-sided p that the mean is below a bound."""
        counts = self.counts
        parts = [] if counts is None else [Counted(counts.lost, counts.gained, counts.n).p_above(-np.asarray(bound))]
        return _largest(parts + [mean.p_below(bound) for mean in self.means])


def sample(rows: PairedRows | PairedNumbers) -> Sample:
    """The rows of one comparison: edited minus baseline. Items that do not vary, and a single cluster, tell nothing."""
    difference, numbers = rows.difference, isinstance(rows, PairedNumbers)
    if numbers and (rows.n < 2 or np.ptp(difference) == 0):
        return Sample(None)
    counts = Counted(*(np.array(int(many)) for many in ((difference > 0).sum(), (difference < 0).sum(), rows.n)))
    means = [guarded(difference, np.ones(rows.n))] if numbers else []
    if rows.cluster is not None:
        sums, sizes = totals(difference, rows.cluster)
        if sums.size < 2:
            return Sample(None)
        means.append(guarded(sums, sizes))
    return Sample(None if numbers else counts, tuple(means))


def _largest(parts: list[Floats]) -> Floats:
    largest = parts[0] if parts else np.float64(1.0)
    for part in parts[1:]:
        largest = np.maximum(largest, part)
    return np.asarray(largest)
