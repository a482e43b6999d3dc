"""A rate found by simulation, its exact bound, and the limit that was promised."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lesion.stats.distributions import beta_quantile

Side = Literal["at most", "at least"]


@dataclass(frozen=True)
class Rate:
    """One promise at the setting where it came out worst."""

    promise: str
    rate: float
    bound: float
    """One-sided 95 % bound on the rate (Clopper & Pearson 1934): upper for "at most", lower for "at least"."""
    limit: float
    side: Side
    studies: int
    """Simulated studies at that setting; 0 where the rate is computed exactly and is its own bound."""
    worst: str
    """That setting."""

    @property
    def holds(self) -> bool:
        """Is the bound on the right side of the limit?"""
        return self.bound <= self.limit if self.side == "at most" else self.bound >= self.limit

    def slack(self) -> float:
        """Distance of the bound from the limit; negative where the promise is broken."""
        return self.limit - self.bound if self.side == "at most" else self.bound - self.limit


def counted(promise: str, shown: NDArray[np.bool_], limit: float, side: Side, where: str) -> Rate:
    """The rate of studies that show an event, [studies], with its bound."""
    hits, studies = int(shown.sum()), shown.size
    return Rate(promise, hits / studies, bound(hits, studies, side), limit, side, studies, where)


def bound(hits: int, studies: int, side: Side) -> float:
    """Exact one-sided 95 % bound on a rate of `hits` in `studies`.

    >>> round(bound(0, 100, "at most"), 4), bound(0, 100, "at least")
    (0.0295, 0.0)
    """
    if side == "at most":
        return 1.0 if hits == studies else beta_quantile(0.95, hits + 1, studies - hits)
    return 0.0 if hits == 0 else beta_quantile(0.05, hits, studies - hits + 1)


def worst(rates: list[Rate]) -> Rate:
    """The rate that is closest to its limit, or furthest beyond it."""
    return min(rates, key=Rate.slack)


def document(rate: Rate) -> dict[str, Any]:
    """The rate with its judgement, for JSON."""
    return {**vars(rate), "holds": rate.holds}
