"""How many items: for the paired test (Connor 1987), for equivalence by two one-sided tests, for the seed gate.

psi is the share of discordant pairs, (b + c) / n; delta the paired difference, (b - c) / n; so |delta| <= psi.
"""

from math import ceil, sqrt

from lesion.errors import InputError
from lesion.stats.distributions import range_quantile, z
from lesion.stats.verdict.rule import Discovered, Rule

UNREACHABLE = 10**12
"""Items where no number of items would do, because clusters differ too much."""
ITEMS_PER_VARIANCE = 12_200
"""(3.314 / .03)^2 rounded: items per seed and unit of variance at which noise fails a gate of 3 points in 5 % only."""


def connor_n(psi: float, delta: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Items for a two-sided McNemar test: ((z_{alpha/2} sqrt(psi) + z_beta sqrt(psi - delta^2)) / delta)^2, rounded up.

    >>> connor_n(0.2, 0.05)
    626

    Raises:
        InputError: when |delta| exceeds psi, is 0, or a share is not one.
    """
    _check(psi, alpha, power)
    if not 0 < abs(delta) <= psi:
        raise InputError(
            f"a difference of {delta} cannot come from {psi} discordant pairs; 0 < |delta| <= psi is needed"
        )
    root = -z(alpha / 2) * sqrt(psi) + z(power) * sqrt(psi - delta**2)
    return ceil((root / delta) ** 2)


def tost_n(psi: float, margin: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Items to show |Delta| < margin when Delta is 0: (z_alpha + z_{beta/2})^2 psi / margin^2, rounded up.

    >>> tost_n(0.2, 0.03), tost_n(0.2, 0.03, alpha=0.025)
    (1904, 2335)

    Raises:
        InputError: when a share is not one.
    """
    _check(psi, alpha, power)
    if not 0 < margin < 1:
        raise InputError(f"margin {margin} is not strictly between 0 and 1")
    return ceil((-z(alpha) - z((1 - power) / 2)) ** 2 * psi / margin**2)


def gate_n(variance: float, spread: float = 0.03, seeds: int = 3, *, between: float = 0.0, clusters: int = 0) -> int:
    """Items per seed without which the seed gate is NotEvaluable: (q / spread)^2 variance, 12,200 variance by default.

    q is the 95 % quantile of the range of `seeds` standard normals. For three seeds (q / .03)^2 = 12,206 is rounded to
    the preregistered 12,200. Where a seed's items come from `clusters` clusters whose own differences vary by
    `between`, what these alone do to the range is taken off: q^2 variance / (spread^2 - q^2 between^2 / clusters), and
    UNREACHABLE where nothing is left.

    Raises:
        InputError: for a variance below 0 or fewer than two seeds.
    """
    if variance < 0 or seeds < 2:
        raise InputError(
            f"the seed gate needs a variance of 0 or more and two seeds or more; got {variance}, {seeds} seeds"
        )
    per_variance = ITEMS_PER_VARIANCE * 0.03**2 if seeds == 3 else range_quantile(0.95, seeds) ** 2
    room = spread**2 - (per_variance * between**2 / clusters if clusters else 0.0)
    return ceil(round(per_variance * variance / room, 6)) if room > 0 else UNREACHABLE


def needed_numbers_n(
    discovered: Discovered, rule: Rule, family_size: int, seeds: int = 3, clusters: int = 0, *, null: bool = True
) -> int:
    """`needed_n` for a continuous outcome, or for any outcome whose clusters differ: items per seed.

    With the variance sd^2 / (seeds N) + between^2 / (seeds clusters) of the mean, the largest of `gate_n`, what finds
    `rule.effect` with `rule.power` at the strictest Holm step, and with `null` what shows equivalence at a true 0.

    Args:
        discovered: what the discovery split showed.
        rule: margin, effect and spread in the outcome's own unit.
        family_size: declared number of confirmatory cells.
        seeds: how many.
        clusters: clusters of one seed; 0: none.
        null: whether a Null should be within reach.

    Raises:
        InputError: for an empty family.
    """
    if family_size < 1:
        raise InputError(f"a family of {family_size} cells decides nothing")
    alpha = rule.alpha_look / family_size
    found, shown = -z(alpha / 2) + z(rule.power), -z(alpha) - z((1 - rule.power) / 2)
    among = discovered.between**2 / (seeds * clusters) if clusters else 0.0
    rooms = [(rule.effect / found) ** 2 - among, *([(rule.margin / shown) ** 2 - among] if null else [])]
    needs = [ceil(discovered.variance / room / seeds) if room > 0 else UNREACHABLE for room in rooms]
    gate = gate_n(discovered.variance, rule.spread, seeds, between=discovered.between, clusters=clusters)
    return max(gate, *needs, 1)


def needed_n(psi: float, delta: float, rule: Rule, family_size: int, seeds: int = 3) -> int:
    """The rule's N per seed, fixed before look 1 from what discovery saw: enough for the seed gate and for the power.

    The larger of `gate_n(psi - delta^2)` and one seed's share of the items that find `rule.effect` with `rule.power`
    at the strictest Holm step alpha_look / family_size. Equivalence needs no term of its own: for small delta the gate
    asks for about twice what two one-sided tests do. N never shrinks to fit a pool.

    >>> needed_n(0.2, 0.0, Rule(), family_size=10)
    2440

    Raises:
        InputError: for impossible shares or an empty family.
    """
    if family_size < 1:
        raise InputError(f"a family of {family_size} cells decides nothing")
    alpha = rule.alpha_look / family_size
    effect = connor_n(max(psi, rule.effect), rule.effect, alpha, rule.power)
    return max(gate_n(Discovered(psi, delta).variance, rule.spread, seeds), ceil(effect / seeds))


def settling_n(psi: float, delta: float, rule: Rule, family_size: int, seeds: int = 3) -> int:
    """Items per seed that would settle a cell whose psi and delta are as observed: the report of an Inconclusive cell.

    The larger of the gate's floor and the cheaper of two proofs with `rule.power`: that delta is not 0, or that it lies
    inside the margin, (z_alpha + z_{beta/2})^2 (psi - delta^2) / (margin - |delta|)^2.
    """
    alpha, variance = rule.alpha_look / family_size, Discovered(psi, delta).variance
    proofs: list[int] = []
    if delta:
        proofs.append(connor_n(psi, delta, alpha, rule.power))
    if abs(delta) < rule.margin:
        proofs.append(tost_n(variance, rule.margin - abs(delta), alpha, rule.power))
    return max(gate_n(variance, rule.spread, seeds), ceil(min(proofs) / seeds), 1)


def settling_numbers_n(variance: float, delta: float, rule: Rule, family_size: int, seeds: int = 3) -> int:
    """`settling_n` for a continuous outcome whose variance of one paired difference is as observed, nats^2."""
    alpha = rule.alpha_look / family_size
    proofs: list[float] = []
    if delta:
        proofs.append(((-z(alpha / 2) + z(rule.power)) / delta) ** 2)
    if abs(delta) < rule.margin:
        proofs.append(((-z(alpha) - z((1 - rule.power) / 2)) / (rule.margin - abs(delta))) ** 2)
    settled = ceil(min(proofs) * variance / seeds) if proofs else 1
    return max(gate_n(variance, rule.spread, seeds), settled, 1)


def _check(psi: float, alpha: float, power: float) -> None:
    if not 0 <= psi <= 1:
        raise InputError(f"psi = {psi} is not a share of discordant pairs")
    if not (0 < alpha < 1 and 0 < power < 1):
        raise InputError(f"alpha = {alpha} and power = {power} must lie strictly between 0 and 1")
