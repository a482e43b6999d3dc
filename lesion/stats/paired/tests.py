"""Two arms on the same items: paired differences, their exact tests and their effect sizes.

McNemar (1947); sign-flip permutation as in Phipson & Smyth (2010); Wilcoxon (1945); Cohen (1988) for g.
b counts the items gained (wrong, then right), c the items lost (right, then wrong).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lesion.errors import InputError
from lesion.stats.distributions import fair_coin_cdf, signed_rank_p

Floats = NDArray[np.float64]
ENUMERATED = 16
"""Up to so many units all 2^G sign flips are enumerated."""
BLOCK = 1 << 22
"""Signs held in memory at a time."""


class Deltas(NamedTuple):
    """The paired comparison of two arms in three counts."""

    n: int
    gained: int
    lost: int

    @property
    def delta(self) -> float:
        """Paired accuracy difference (b - c) / n, in -1 … 1."""
        return (self.gained - self.lost) / self.n

    @property
    def psi(self) -> float:
        """Share of discordant pairs (b + c) / n, in 0 … 1."""
        return (self.gained + self.lost) / self.n

    @property
    def odds_ratio(self) -> float:
        """Conditional odds ratio b / c of the discordant pairs, in 0 … inf; NaN when no pair is discordant."""
        if self.lost:
            return self.gained / self.lost
        return float("inf") if self.gained else float("nan")

    @property
    def cohens_g(self) -> float:
        """Cohen's g, b / (b + c) - 1/2, in -½ … ½; NaN when no pair is discordant."""
        discordant = self.gained + self.lost
        return self.gained / discordant - 0.5 if discordant else float("nan")


def deltas(baseline: ArrayLike, edited: ArrayLike) -> Deltas:
    """Counts what an edit gained and lost, from two arrays of 0/1 over the same items, each of shape [n].

    Raises:
        InputError: when the arrays are empty, differ in shape, or hold anything but 0 and 1.
    """
    before, after = np.asarray(baseline), np.asarray(edited)
    if before.ndim != 1 or before.shape != after.shape or before.size == 0:
        raise InputError(f"paired arms need the same, non-empty items; got shapes {before.shape} and {after.shape}")
    for arm in (before, after):
        if not np.isin(arm, (0, 1)).all():
            raise InputError("an arm must hold 0 or 1 (wrong or correct) for each item")
    before, after = before.astype(bool), after.astype(bool)
    return Deltas(before.size, int((~before & after).sum()), int((before & ~after).sum()))


def mcnemar_exact(gained: ArrayLike, lost: ArrayLike) -> Floats:
    """Two-sided exact McNemar p, min(1, 2 BinomCDF(min(b, c); b + c, 1/2)); arrays broadcast, (0, 0) gives 1.

    >>> round(float(mcnemar_exact(9, 2)), 6)
    0.06543
    """
    b, c = np.asarray(gained, dtype=np.int64), np.asarray(lost, dtype=np.int64)
    return np.minimum(1.0, 2 * fair_coin_cdf(np.minimum(b, c), b + c))


def sign_flip_exact(sums: ArrayLike) -> float:
    """Two-sided sign-flip p of integer cluster sums, shape [G], exact for any G: no Monte Carlo error, no seed.

    Under the null each cluster's sum of paired differences is as likely negative; the distribution of the total over
    all 2^G flips is a convolution of two-point distributions on the integers. For sums in -1, 0, 1 this is McNemar's.

    Raises:
        InputError: without clusters.
    """
    values = np.asarray(sums)
    if values.ndim != 1 or values.size == 0 or not np.issubdtype(values.dtype, np.integer):
        raise InputError("the exact sign-flip test needs integer sums by cluster; use sign_flip for real numbers")
    sizes = np.abs(values[values != 0])
    chance = np.zeros(int(sizes.sum()) + 1)
    chance[0], top = 1.0, 0
    for size in sizes.tolist():
        chance[: top + size + 1] *= 0.5
        chance[size : top + size + 1] += chance[: top + 1].copy()
        top += size
    totals = 2 * np.arange(top + 1) - top
    return float(min(1.0, chance[np.abs(totals) >= abs(int(values.sum()))].sum()))


def sign_flip(differences: ArrayLike, generator: np.random.Generator, draws: int = 9_999) -> float:
    """Two-sided sign-flip permutation p of the mean, differences [G] of exchangeable units (items or clusters).

    All 2^G flips up to 16 units; beyond, `draws` random ones and p = (1 + #{|T*| >= |T|}) / (draws + 1), so never 0.

    Raises:
        InputError: for no or non-finite differences, or fewer than 9,999 draws.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise InputError("the sign-flip test needs at least one difference, all of them finite")
    if draws < 9_999:
        raise InputError(f"{draws} random flips are too few for a p-value that decides; use 9,999 or more")
    observed, slack = abs(values.sum()), 1e-9 * np.abs(values).sum()
    exceed = total = 0
    for signs in sign_draws(values.size, generator, draws):
        exceed += int((np.abs(signs @ values) >= observed - slack).sum())
        total += len(signs)
    return exceed / total if values.size <= ENUMERATED else (1 + exceed) / (1 + total)


def sign_draws(units: int, generator: np.random.Generator, draws: int) -> Iterator[Floats]:
    """Blocks of sign vectors, each [rows, units] of -1 and 1: all 2^units up to 16 units, else `draws` random ones."""
    if units <= ENUMERATED:
        codes = np.arange(1 << units)[:, None] >> np.arange(units)
        yield (2 * (codes & 1) - 1).astype(np.float64)
        return
    rows = max(1, BLOCK // units)
    for start in range(0, draws, rows):
        coins = generator.integers(0, 2, (min(rows, draws - start), units), dtype=np.int8)
        yield (2 * coins - 1).astype(np.float64)


def wilcoxon(differences: ArrayLike) -> float:
    """Two-sided Wilcoxon signed-rank p of differences [n], zeros split between the signs (Pratt); 1 when all are zero.

    Raises:
        InputError: for no or non-finite differences.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise InputError("Wilcoxon's test needs at least one difference, all of them finite")
    if not values.any():
        return 1.0
    return signed_rank_p(values)
