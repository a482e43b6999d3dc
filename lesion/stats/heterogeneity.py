"""Do models agree? Effects of several models pooled, and how much they differ beyond what items explain.

Cochran's Q and I² (Higgins & Thompson 2002), the between-model variance by DerSimonian & Laird (1986), and the
random-effects mean with a normal interval. With as few models as a replication has, Q has little power: a large p does
not show that models agree, and tau² is hardly known; both are reported, no verdict rests on them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

from lesion.errors import InputError
from lesion.stats.distributions import chi_square_tail, z

SMALLEST = 1e-12
"""A variance below it (no item changed, or all alike) counts as this, so that weights stay finite."""


class Estimate(NamedTuple):
    """One model's paired accuracy difference."""

    delta: float
    """Share, -1 … 1."""
    variance: float
    """Of the estimate, (psi - delta²) / n."""


@dataclass(frozen=True)
class Pooled:
    """Several models together."""

    models: int
    delta: float
    """Random-effects mean of the paired accuracy difference, share."""
    low: float
    """Lower end of its normal 95 % interval."""
    high: float
    """Upper end of its normal 95 % interval."""
    q: float
    """Cochran's Q: weighted squared distances from the fixed-effect mean; chi-square with models - 1 degrees."""
    p: float
    """P(Q or more) if all models had one true effect."""
    i_squared: float
    """Share of the variation beyond what items explain, max(0, 1 - (models - 1) / Q), 0 … 1."""
    tau: float
    """Standard deviation of the true effect between models, share."""


def variance(gained: int, lost: int, n: int) -> float:
    """Variance of a paired difference of shares, (psi - delta²) / n, with half a gained and half a lost item added.

    The halves keep it above 0 where no item changed (Agresti & Min 2005 add the same).
    """
    up, down = gained + 0.5, lost + 0.5
    total = n + 1
    return ((up + down) / total - ((up - down) / total) ** 2) / total


def pooled(estimates: Sequence[Estimate]) -> Pooled:
    """The random-effects summary of two or more estimates.

    Raises:
        InputError: for fewer than two.
    """
    if len(estimates) < 2:
        raise InputError(f"models are pooled from two estimates on; {len(estimates)} given")
    variances = [max(each.variance, SMALLEST) for each in estimates]
    weights = [1 / each for each in variances]
    fixed = _mean(estimates, weights)
    q = sum(w * (each.delta - fixed) ** 2 for w, each in zip(weights, estimates, strict=True))
    freedom = len(estimates) - 1
    spare = sum(weights) - sum(w * w for w in weights) / sum(weights)
    tau_squared = max(0.0, (q - freedom) / spare)
    shrunk = [1 / (each + tau_squared) for each in variances]
    delta, half = _mean(estimates, shrunk), z(0.975) / sqrt(sum(shrunk))
    return Pooled(
        models=len(estimates),
        delta=delta,
        low=delta - half,
        high=delta + half,
        q=q,
        p=chi_square_tail(q, freedom),
        i_squared=max(0.0, 1 - freedom / q) if q > 0 else 0.0,
        tau=sqrt(tau_squared),
    )


def _mean(estimates: Sequence[Estimate], weights: Sequence[float]) -> float:
    return sum(w * each.delta for w, each in zip(weights, estimates, strict=True)) / sum(weights)
