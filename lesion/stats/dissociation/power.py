"""How many items a double dissociation needs, and which leads a number of items can show."""

from math import ceil, sqrt

from lesion.errors import InputError
from lesion.stats.distributions import z
from lesion.stats.power import UNREACHABLE
from lesion.stats.verdict.rule import Rule


def dissociation_n(
    variance: float, lead: float, rule: Rule, family_size: int = 1, *, between: float = 0.0, clusters: int = 0
) -> int:
    """Items of each task, all seeds together, that show two leads of this size with `rule.power`.

    Both leads must show, so each is given half of the error: (z_alpha + z_{beta/2})^2 variance / (lead - margin)^2 at
    the strictest Holm step alpha_look / family_size. Clusters that differ take their part off:
    variance / ((lead - margin)^2 / z^2 - between^2 / clusters).

    >>> dissociation_n(0.2, 0.10, Rule()), dissociation_n(0.2, 0.10, Rule(), family_size=6)
    (429, 628)

    Args:
        variance: of the difference between both edits of an item: the share of items on which their answers differ,
            minus the lead squared; nats squared for a continuous outcome.
        lead: true difference of the harms of both targets on a task (share or nats).
        rule: margin, level and power.
        family_size: how many questions are asked.
        between: standard deviation over clusters of their own leads.
        clusters: how many; 0: items are independent.

    Raises:
        InputError: for a variance below 0 or an empty family.
    """
    reach = _reach(rule, family_size)
    if variance < 0:
        raise InputError(f"a variance of {variance} is below 0")
    room = ((lead - rule.margin) / reach) ** 2 - (between**2 / clusters if clusters else 0.0)
    return ceil(round(variance / room, 6)) if lead > rule.margin and room > 0 else UNREACHABLE


def least_lead(
    variance: float, items: int, rule: Rule, family_size: int = 1, *, between: float = 0.0, clusters: int = 0
) -> float:
    """The smallest lead on both tasks that so many items of each show with `rule.power` (share or nats).

    >>> round(least_lead(0.2, 429, Rule()), 3)
    0.1
    """
    error = sqrt(variance / items + (between**2 / clusters if clusters else 0.0))
    return rule.margin + _reach(rule, family_size) * error


def _reach(rule: Rule, family_size: int) -> float:
    if family_size < 1:
        raise InputError(f"a family of {family_size} questions decides nothing")
    return -z(rule.alpha_look / family_size) - z((1 - rule.power) / 2)
