"""The distributions that the statistics need, from scipy, with plain types. The only module here that calls scipy."""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false

from functools import lru_cache

import numpy as np
import scipy  # scipy.special is loaded when a function first asks for it: a quarter of a second
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def normal_cdf(x: ArrayLike) -> Floats:
    """P(Z <= x) of a standard normal Z, elementwise."""
    return np.asarray(scipy.special.ndtr(x))


def normal_quantile(level: ArrayLike) -> Floats:
    """The x with P(Z <= x) = level, elementwise; level in 0 … 1."""
    return np.asarray(scipy.special.ndtri(level))


def z(level: float) -> float:
    """`normal_quantile` of one level."""
    return float(scipy.special.ndtri(level))


def student_cdf(x: float, freedom: int) -> float:
    """P(T <= x) of Student's t with `freedom` degrees of freedom."""
    return float(scipy.special.stdtr(freedom, x))


def student_quantile(level: float, freedom: int) -> float:
    """The x with P(T <= x) = level, level in 0 … 1."""
    return float(scipy.special.stdtrit(freedom, level))


def student_tail(x: ArrayLike, freedom: ArrayLike) -> Floats:
    """P(T >= x) of Student's t, elementwise; degrees of freedom need not be whole."""
    return np.asarray(scipy.special.stdtr(np.asarray(freedom, dtype=np.float64), -np.asarray(x, dtype=np.float64)))


def student_width(confidence: float, freedom: ArrayLike) -> Floats:
    """The t with P(|T| <= t) = confidence, elementwise; degrees of freedom need not be whole."""
    return np.asarray(scipy.special.stdtrit(np.asarray(freedom, dtype=np.float64), (1 + confidence) / 2))


def chi_square_tail(x: float, freedom: int) -> float:
    """P(X >= x) of a chi-square with `freedom` degrees of freedom."""
    return float(scipy.special.chdtrc(freedom, x))


def fair_coin_cdf(heads: ArrayLike, tosses: ArrayLike) -> Floats:
    """P(at most `heads` heads in `tosses` fair tosses), elementwise."""
    return np.asarray(scipy.special.bdtr(np.asarray(heads, dtype=np.float64), np.asarray(tosses, dtype=np.int64), 0.5))


def trinomial(gained: ArrayLike, lost: ArrayLike, n: int, up: float, down: float) -> Floats:
    """Probability of b gains and c losses among n items that gain with probability `up` and lose with `down`."""
    special = scipy.special
    b, c = np.asarray(gained, dtype=np.float64), np.asarray(lost, dtype=np.float64)
    ways = special.gammaln(n + 1) - special.gammaln(b + 1) - special.gammaln(c + 1) - special.gammaln(n - b - c + 1)
    return np.exp(ways + special.xlogy(b, up) + special.xlogy(c, down) + special.xlogy(n - b - c, 1 - up - down))


def beta_quantile(level: float, a: float, b: float) -> float:
    """The level-quantile of a Beta(a, b) variable; level in 0 … 1."""
    return float(scipy.special.betaincinv(a, b, level))


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(160)
_REACH = 9.0
"""Standard normals lie within it but for 1e-18."""


def range_cdf(width: float, draws: int) -> float:
    """P(max - min <= width) of independent standard normals.

    draws times the integral of phi(x) (Phi(x + width) - Phi(x))^(draws - 1), by Gauss and Legendre's rule. scipy's
    studentized range with infinite freedom is the same; importing it takes half a second.
    """
    x = _REACH * _NODES
    density = np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi)
    inside = scipy.special.ndtr(x + width) - scipy.special.ndtr(x)
    return float(draws * _REACH * np.sum(_WEIGHTS * density * inside ** (draws - 1)))


@lru_cache(maxsize=256)
def range_quantile(level: float, draws: int = 3) -> float:
    """The level-quantile of max - min of independent standard normals: 3.3145 at .95 of three."""
    low, high = 0.0, 2 * _REACH
    while high - low > 1e-12 * high:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if range_cdf(middle, draws) < level else (low, middle)
    return 0.5 * (low + high)


def signed_rank_p(differences: Floats) -> float:
    """Wilcoxon's signed-rank p, two-sided, zeros ranked and then dropped (Pratt 1959); not all differences may be 0."""
    from scipy import stats  # noqa: PLC0415  (half a second that most commands need not wait)

    return float(stats.wilcoxon(differences, zero_method="pratt", method="auto").pvalue)
