"""Do models agree? How much effects differ between models beyond what items explain, and what a further model may show.

Cochran's Q and I² (Higgins & Thompson 2002), the between-model variance by DerSimonian & Laird (1986). The mean has the
interval of Hartung and Knapp (2001; Sidik & Jonkman 2002), Student's t with k - 1 degrees of freedom, its variance
never below the usual one (Röver, Knapp & Friede 2015). The effect in a further model has the prediction interval of
Higgins, Thompson & Spiegelhalter (2009) around it, t with k - 2 degrees. Below five models none of these is known well
enough to be printed, and a table of the models is all that is given. No verdict rests on any of them.

`pooled`, a mean with a normal interval from two models on, is what studies of format 1 were reported with.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

from lesion.errors import InputError
from lesion.stats.distributions import chi_square_tail, student_quantile, z

FEWEST = 5
"""Fewer models are shown as a table, without a mean."""
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


@dataclass(frozen=True)
class Predicted:
    """Five or more models together, and what a further one of their kind may show."""

    models: int
    delta: float
    """Random-effects mean, in the unit of the estimates."""
    low: float
    """Lower end of its 95 % interval by Hartung and Knapp."""
    high: float
    """Upper end of it."""
    predicted_low: float
    """Lower end of the 95 % prediction interval: where the true effect in a further model would lie."""
    predicted_high: float
    """Upper end of it."""
    q: float
    """Cochran's Q: weighted squared distances from the fixed-effect mean; chi-square with models - 1 degrees."""
    p: float
    """P(Q or more) if all models had one true effect."""
    i_squared: float
    """Share of the variation beyond what items explain, max(0, 1 - (models - 1) / Q), 0 … 1."""
    tau: float
    """Standard deviation of the true effect between models, in the unit of the estimates."""


def predicted(estimates: Sequence[Estimate], tau_squared: float | None = None) -> Predicted | None:
    """Mean and prediction interval by Hartung and Knapp; nothing for fewer than five estimates.

    Args:
        estimates: one a model.
        tau_squared: variance of the true effect between models; DerSimonian and Laird's when none is given.
    """
    if len(estimates) < FEWEST:
        return None
    spread, freedom = _spread(estimates), len(estimates) - 1
    between = spread.tau_squared if tau_squared is None else tau_squared
    weights = [1 / (max(each.variance, SMALLEST) + between) for each in estimates]
    delta = _mean(estimates, weights)
    scaled = sum(w * (each.delta - delta) ** 2 for w, each in zip(weights, estimates, strict=True)) / freedom
    error = max(1.0, scaled) / sum(weights)
    half = student_quantile(0.975, freedom) * sqrt(error)
    reach = student_quantile(0.975, freedom - 1) * sqrt(between + error)
    return Predicted(
        models=len(estimates),
        delta=delta,
        low=delta - half,
        high=delta + half,
        predicted_low=delta - reach,
        predicted_high=delta + reach,
        q=spread.q,
        p=chi_square_tail(spread.q, freedom),
        i_squared=spread.i_squared,
        tau=sqrt(between),
    )


class _Spread(NamedTuple):
    q: float
    i_squared: float
    tau_squared: float


def _spread(estimates: Sequence[Estimate]) -> _Spread:
    """Cochran's Q, I² and DerSimonian and Laird's variance between models."""
    weights = [1 / max(each.variance, SMALLEST) for each in estimates]
    fixed = _mean(estimates, weights)
    q = sum(w * (each.delta - fixed) ** 2 for w, each in zip(weights, estimates, strict=True))
    freedom = len(estimates) - 1
    spare = sum(weights) - sum(w * w for w in weights) / sum(weights)
    return _Spread(q, max(0.0, 1 - freedom / q) if q > 0 else 0.0, max(0.0, (q - freedom) / spare))


def pooled(estimates: Sequence[Estimate]) -> Pooled:
    """The random-effects summary of two or more estimates.

    Raises:
        InputError: for fewer than two.
    """
    if len(estimates) < 2:
        raise InputError(f"models are pooled from two estimates on; {len(estimates)} given")
    spread = _spread(estimates)
    weights = [1 / (max(each.variance, SMALLEST) + spread.tau_squared) for each in estimates]
    delta, half = _mean(estimates, weights), z(0.975) / sqrt(sum(weights))
    return Pooled(
        models=len(estimates),
        delta=delta,
        low=delta - half,
        high=delta + half,
        q=spread.q,
        p=chi_square_tail(spread.q, len(estimates) - 1),
        i_squared=spread.i_squared,
        tau=sqrt(spread.tau_squared),
    )


def _mean(estimates: Sequence[Estimate], weights: Sequence[float]) -> float:
    return sum(w * each.delta for w, each in zip(weights, estimates, strict=True)) / sum(weights)
