"""Mean effects of many sites from exact effects on few items, corrected by estimates that are known for all items.

Of N items, n are drawn without replacement and y is measured on them; an estimate g is known for all N. With a slope b,

    mean(y over n) - b (mean(g over n) - mean(g over N))

has the expectation mean(y over N) for every b that does not depend on the item it multiplies. So each item's slope is
fitted without this item: on the other items of its site, together with `PSEUDO` items' worth of the slope of its group
(a layer), fitted without the item too. The slope's term is then (1 - n/N) b_i (g_i - mean of g over the items not
drawn), whose expectation given the other items is 0. The variance is that of y - b g, about 1 - r^2 of that of y.

Cochran 1977, Sampling Techniques, chapter 7; the leave-one-out slope is Avramidis and Wilson's (1993) splitting.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lesion.errors import InputError
from lesion.stats.distributions import student_quantile

Floats = NDArray[np.float64]
PSEUDO = 4.0
"""How many items the slope of a site's group counts for, beside the site's own."""


class Corrected(NamedTuple):
    """Estimated means over all items, one for each site."""

    means: Floats
    """(sites,)."""
    residuals: Floats
    """What is left of each drawn item's effect, (drawn, sites); their spread tells the error of the means."""
    share: float
    """Drawn items of all items, n / N."""

    @property
    def covariance(self) -> Floats:
        """Covariance of the estimated means, (sites, sites); 0 where every item was drawn."""
        drawn = len(self.residuals)
        centred = self.residuals - self.residuals.mean(0)
        return (1 - self.share) / (drawn * (drawn - 1)) * (centred.T @ centred)

    @property
    def errors(self) -> Floats:
        """Standard errors of the means, (sites,)."""
        drawn = len(self.residuals)
        return np.sqrt((1 - self.share) / drawn * self.residuals.var(0, ddof=1))

    def intervals(self, confidence: float = 0.95) -> tuple[Floats, Floats]:
        """Student's t intervals with n - 1 degrees of freedom, each end (sites,)."""
        half = student_quantile((1 + confidence) / 2, len(self.residuals) - 1) * self.errors
        return self.means - half, self.means + half


class Agreement(NamedTuple):
    """How well the estimates of a group tell the exact effects, over its sites and the drawn items."""

    correlation: float
    """Within sites: each site's own means are taken off. 0 where either side does not vary."""
    variance_ratio: float
    """Variance of the corrected effects over that of the exact ones: about 1 - r^2; above 1 the correction harms. 1
    where the exact effects do not vary."""


def corrected(exact: Floats, estimates: Floats, drawn: NDArray[np.intp], groups: NDArray[np.intp]) -> Corrected:
    """Estimate every site's mean over all items.

    Args:
        exact: measured effects, (drawn, sites).
        estimates: of all items, (items, sites).
        drawn: which items were measured, distinct, in the order of `exact`.
        groups: of each site, numbers from 0: sites of one group share the prior slope.

    Raises:
        InputError: for fewer than three drawn items.
    """
    count, everything = len(drawn), len(estimates)
    if count < 3:
        raise InputError(f"a corrected mean needs at least three measured items, not {count}")
    here = estimates[drawn]
    slopes = _slopes(exact, here, estimates.var(0), groups)
    residuals = exact - slopes * (here - estimates.mean(0))
    if count == everything:
        return Corrected(exact.mean(0), residuals, 1.0)
    rest = (estimates.sum(0) - here.sum(0)) / (everything - count)
    means = (exact - (1 - count / everything) * slopes * (here - rest)).mean(0)
    return Corrected(means, residuals, count / everything)


def agreement(exact: Floats, estimates: Floats, residuals: Floats, groups: NDArray[np.intp]) -> list[Agreement]:
    """How well the estimates agree with the exact effects, for each group in order.

    Args:
        exact: measured effects, (drawn, sites).
        estimates: of the same items, (drawn, sites).
        residuals: of `corrected`, (drawn, sites).
        groups: of each site, numbers from 0.
    """
    y, g, e = (each - each.mean(0) for each in (exact, estimates, residuals))
    found: list[Agreement] = []
    for group in range(int(groups.max()) + 1):
        own = groups == group
        yy, gg, ee = (float((each[:, own] ** 2).sum()) for each in (y, g, e))
        r = float((y[:, own] * g[:, own]).sum()) / np.sqrt(yy * gg) if yy > 0 and gg > 0 else 0.0
        found.append(Agreement(float(r), ee / yy if yy > 0 else 1.0))
    return found


def _slopes(exact: Floats, estimates: Floats, spread: Floats, groups: NDArray[np.intp]) -> Floats:
    """The slope for each item and site, fitted without the item, (drawn, sites); `spread` is g's variance, (sites,)."""
    count = len(exact)
    y, g = exact - exact.mean(0), estimates - estimates.mean(0)
    # Sums about the mean without item i: the whole sum less n / (n - 1) times its own term.
    both = (g * y).sum(0) - count / (count - 1) * g * y
    alone = np.maximum((g * g).sum(0) - count / (count - 1) * g * g, 0.0)
    member = np.eye(int(groups.max()) + 1)[groups]
    prior = _ratio(both @ member, alone @ member)[:, groups]
    return _ratio(both + PSEUDO * spread * prior, alone + PSEUDO * spread)


def _ratio(over: Floats, under: Floats) -> Floats:
    return np.divide(over, under, out=np.zeros_like(over), where=under > 0)
