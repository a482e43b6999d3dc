"""How many of the sites that matter most a screen found, where not every site's exact effect is known.

Let the chosen sites have the exact sizes c_1 >= c_2 >= … >= c_k, and let M(x) be the number of sites that were not
chosen and whose exact size is above x. The j-th chosen site is among the k largest of all sites if j + M(c_j) <= k, so
recall is the largest such j over k. M is estimated from a random sample in each stratum of the sites that were not
chosen. Its limits are Clopper and Pearson's in each stratum, with the error shared among the strata; that is
conservative, and wide where the sample is small.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lesion.identity import Document
from lesion.stats.distributions import beta_quantile

ERROR = 0.05


class Stratum(NamedTuple):
    """Some of the sites that were not chosen."""

    size: int
    """How many there are."""
    sample: NDArray[np.float64]
    """Exact sizes of those drawn from them, without replacement."""


class Recall(Document):
    """Share of the k sites with the largest exact effects that are among the k chosen ones."""

    value: float
    """Estimate, 0 … 1; exact where every site was measured."""
    low: float
    """Lower end of its 95 % interval."""
    high: float
    """Upper end."""
    measured: int
    """Sites whose exact effect is known."""
    sites: int
    """All sites."""

    @property
    def exact(self) -> bool:
        """Whether every site was measured."""
        return self.measured == self.sites


def recall(chosen: NDArray[np.float64], strata: Sequence[Stratum]) -> Recall:
    """Recall of the chosen sites among all.

    Args:
        chosen: exact sizes of the chosen sites, at least one.
        strata: the other sites.
    """
    sizes = np.sort(chosen)[::-1]
    tail = ERROR / 2 / max(1, len(strata))
    return Recall(
        value=_share(sizes, strata, lambda hits, stratum: stratum.size * hits / len(stratum.sample)),
        low=_share(sizes, strata, lambda hits, stratum: _above(hits, stratum, tail)),
        high=_share(sizes, strata, lambda hits, stratum: _below(hits, stratum, tail)),
        measured=len(chosen) + sum(len(stratum.sample) for stratum in strata),
        sites=len(chosen) + sum(stratum.size for stratum in strata),
    )


def _share(sizes: NDArray[np.float64], strata: Sequence[Stratum], count: Callable[[int, Stratum], float]) -> float:
    """Largest j with j + M(c_j) <= k, over k; `count` gives M of a stratum from the hits in its sample."""
    found = 0
    for place, size in enumerate(sizes, start=1):
        above = sum(count(int((stratum.sample > size).sum()), stratum) for stratum in strata)
        if place + above <= len(sizes) + 1e-9:
            found = place  # above only grows, so this is the largest
    return found / len(sizes)


def _above(hits: int, stratum: Stratum, tail: float) -> float:
    """Upper limit of the number of sites in a stratum above a size."""
    n, unseen = len(stratum.sample), stratum.size - len(stratum.sample)
    if unseen == 0:
        return float(hits)
    share = 1.0 if hits == n else beta_quantile(1 - tail, hits + 1, n - hits)
    return float(min(stratum.size * share, hits + unseen))


def _below(hits: int, stratum: Stratum, tail: float) -> float:
    """Lower limit: never fewer than were seen."""
    n = len(stratum.sample)
    share = 0.0 if hits == 0 else beta_quantile(tail, hits, n - hits + 1)
    return float(max(stratum.size * share, hits))
