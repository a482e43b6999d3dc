"""Corrections for many tests, as adjusted p-values: rejected at level alpha is what has an adjusted p of at most alpha.

Holm (1979); Benjamini & Hochberg (1995); Benjamini & Yekutieli (2001); max-T of Westfall & Young (1993). All but max-T
work along the last axis, so that thousands of simulated families are adjusted at once.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lesion.errors import InputError
from lesion.stats.paired.tests import sign_draws

Floats = NDArray[np.float64]


def holm(p: ArrayLike, family_size: int | None = None) -> Floats:
    """Holm's step-down adjusted p-values, shape [..., k]: the i-th smallest times (family_size - i), made monotone.

    `family_size` may exceed k: the p-values that are not given count as 1, so a family declared with K members costs K
    at every look, whoever is still in the race.

    Raises:
        InputError: for p outside [0, 1], or a family smaller than the p-values given.
    """
    values, size = _checked(p, family_size)
    order, ranked = _ranked(values)
    adjusted = np.maximum.accumulate(ranked * (size + 1 - _ranks(values)), axis=-1)
    return _unranked(np.minimum(adjusted, 1.0), order)


def bh(p: ArrayLike, family_size: int | None = None) -> Floats:
    """Benjamini and Hochberg's adjusted p-values, shape [..., k]: false discovery rate under independence.

    Raises:
        InputError: for p outside [0, 1], or a family smaller than the p-values given.
    """
    values, size = _checked(p, family_size)
    return _step_up(values, float(size))


def by(p: ArrayLike, family_size: int | None = None) -> Floats:
    """Benjamini and Yekutieli's adjusted p-values, shape [..., k]: false discovery rate under any dependence.

    Raises:
        InputError: for p outside [0, 1], or a family smaller than the p-values given.
    """
    values, size = _checked(p, family_size)
    return _step_up(values, size * sum(1 / rank for rank in range(1, size + 1)))


def max_t(differences: ArrayLike, generator: np.random.Generator, draws: int = 9_999) -> Floats:
    """Step-down max-T adjusted p-values from joint sign flips, shape [k]: family-wise control under dependence.

    Exact where the differences are symmetric about 0 under the null; skewed ones break it.

    Args:
        differences: paired differences, [units, k]; a unit (item or cluster) flips all its k signs together.
        generator: source of the flips; unused up to 16 units, where all flips are enumerated.
        draws: number of random flips beyond that.

    Raises:
        InputError: for an empty or non-finite table.
    """
    table = np.asarray(differences, dtype=np.float64)
    if table.ndim != 2 or 0 in table.shape or not np.isfinite(table).all():
        raise InputError(f"max-T needs a finite table [units, hypotheses]; got shape {table.shape}")
    scale = np.sqrt((table**2).sum(0))
    unit = np.divide(table, scale, out=np.zeros_like(table), where=scale > 0)
    observed = np.abs(unit.sum(0))
    order = np.argsort(-observed, kind="stable")
    exceed, total = np.zeros(table.shape[1], dtype=np.int64), 0
    for signs in sign_draws(table.shape[0], generator, draws):
        flipped = np.abs(signs @ unit[:, order])
        top = np.flip(np.maximum.accumulate(np.flip(flipped, 1), axis=1), 1)
        exceed += (top >= observed[order] - 1e-9).sum(0)
        total += len(signs)
    enumerated = total == 2 ** table.shape[0]
    adjusted = np.maximum.accumulate(exceed / total if enumerated else (1 + exceed) / (1 + total))
    return _unranked(adjusted, order)


def _checked(p: ArrayLike, family_size: int | None) -> tuple[Floats, int]:
    values = np.asarray(p, dtype=np.float64)
    if values.ndim == 0 or not ((values >= 0) & (values <= 1)).all():
        raise InputError(f"p-values must be an array of numbers in 0 … 1; got {values}")
    size = values.shape[-1] if family_size is None else family_size
    if size < values.shape[-1]:
        raise InputError(
            f"a family of {size} cannot hold {values.shape[-1]} p-values; declare the family at its full size"
        )
    return values, size


def _step_up(values: Floats, penalty: float) -> Floats:
    order, ranked = _ranked(values)
    scaled = ranked * penalty / _ranks(values)
    adjusted = np.flip(np.minimum.accumulate(np.flip(scaled, -1), axis=-1), -1)
    return _unranked(np.minimum(adjusted, 1.0), order)


def _ranks(values: Floats) -> Floats:
    return np.asarray(range(1, values.shape[-1] + 1), dtype=np.float64)


def _ranked(values: Floats) -> tuple[NDArray[np.intp], Floats]:
    order = np.argsort(values, axis=-1, kind="stable")
    return order, np.take_along_axis(values, order, axis=-1)


def _unranked(adjusted: Floats, order: NDArray[np.intp]) -> Floats:
    out = np.empty_like(adjusted)
    np.put_along_axis(out, order, adjusted, axis=-1)
    return out
