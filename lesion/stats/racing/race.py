"""Which k of many sites have the largest mean effects, from as few measurements as a rule that was fixed allows.

Each round measures the sites that are still in question on more items (first, twice, four times as many, …, all) and
compares them in pairs on the same items. Site a beats site b where s_a mean_a - mean_b and s_a mean_a + mean_b (s_a:
the sign of a's mean) both exceed t times their standard errors, so |mean_a| > |mean_b|. A site that as many others beat
as there are places left is dropped; one that beats all others but for the places left is accepted.

A true top site is lost only where, in some round, one of the sites that are not in the top falsely beats one that is.
There are k (sites - k) such pairs, two signs and a known number of rounds, so with t at the level
error / (2 k (sites - k) rounds) the probability of any loss is at most `error` (Bonferroni), as far as the means of
corrected effects are near normal. Where all items are measured, means are exact and only equal ones stay apart.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lesion.errors import InputError
from lesion.stats.distributions import student_quantile
from lesion.stats.racing.control_variate import Agreement, Corrected, Floats, agreement, corrected

Places = NDArray[np.intp]
Measure = Callable[[Places, Places], Floats]
"""(items, sites) -> exact effects, (items, sites)."""


class RaceRule(NamedTuple):
    """What is fixed before a race."""

    top: int = 10
    """Sites that are looked for."""
    error: float = 0.05
    """Largest probability that a true top site is dropped, or another one accepted."""
    budget: float = 0.2
    """Most measurements, as a share of items times sites."""
    first: int = 8
    """Items that every site is measured on."""


class Round(NamedTuple):
    """One round of a race."""

    items: int
    """Items that each site in question was measured on, from the beginning."""
    sites: int
    """Sites in question before the round was judged."""
    accepted: tuple[int, ...]
    dropped: tuple[int, ...]
    spent: int
    """Measurements from the beginning."""


class Raced(NamedTuple):
    """The outcome of a race; sites are numbers from 0."""

    accepted: tuple[int, ...]
    """Sites that are among the top, the largest mean first."""
    undecided: tuple[int, ...]
    """Sites that could not be told apart within the budget, the largest mean first."""
    places: int
    """How many of the undecided ones are among the top."""
    rounds: tuple[Round, ...]
    means: Floats
    """Each site's last estimate, (sites,)."""
    errors: Floats
    """Its standard error, (sites,)."""
    items: Places
    """Items that each site was measured on, (sites,)."""
    order: Places
    """All items in the order in which they were drawn."""
    groups: tuple[Agreement, ...]
    """How well estimates and exact effects agree in each group, in the first round."""

    @property
    def top(self) -> tuple[int, ...]:
        """The accepted sites, and the largest of the undecided ones in the places that are left."""
        return (*self.accepted, *self.undecided[: self.places])

    @property
    def spent(self) -> int:
        """Measurements in all."""
        return self.rounds[-1].spent

    def intervals(self, confidence: float = 0.95) -> tuple[Floats, Floats]:
        """Student's t interval of each site's mean at its last round, each end (sites,)."""
        level = (1 + confidence) / 2
        half = self.errors * np.array([student_quantile(level, int(n) - 1) for n in self.items])
        return self.means - half, self.means + half


def require_race(rule: RaceRule, items: int, sites: int) -> None:
    """Make sure that a race can be run.

    Raises:
        InputError: for a rule without sense, or a budget that the first round exceeds.
    """
    if not 0 < rule.top < sites:
        raise InputError(f"a race for the top {rule.top} of {sites} sites decides nothing: ask for 1 to {sites - 1}")
    if not (0 < rule.error < 1 and 0 < rule.budget <= 1):
        raise InputError(f"error {rule.error:g} and budget {rule.budget:g} must lie between 0 and 1")
    if not 4 <= rule.first <= items:
        raise InputError(f"a race starts with 4 to {items} items (all), not {rule.first}")
    if rule.first > rule.budget * items:
        least = math.ceil(rule.first / rule.budget)
        raise InputError(
            f"a budget of {rule.budget:.0%} of {items} items is less than the {rule.first} items that every site is "
            f"measured on first: ask for at least {least} items, or a budget of {rule.first / items:.2f}"
        )


def schedule(first: int, items: int) -> list[int]:
    """Items after each round.

    >>> schedule(8, 100)
    [8, 16, 32, 64, 100]
    """
    return [*(first << step for step in range(items.bit_length()) if first << step < items), items]


def race(measure: Measure, estimates: Floats, groups: Places, rule: RaceRule, rng: np.random.Generator) -> Raced:
    """Find the sites with the largest mean effects.

    Args:
        measure: measures the exact effects.
        estimates: of all items and sites, (items, sites): the control variate.
        groups: of each site, numbers from 0; see `corrected`.
        rule: fixed beforehand.
        rng: draws the order of the items.

    Raises:
        InputError: for a rule that does not fit the items and sites.
    """
    items, sites = estimates.shape
    require_race(rule, items, sites)
    order = rng.permutation(items).astype(np.intp)
    known = np.full((items, sites), np.nan)
    means, errors, counts = np.zeros(sites), np.zeros(sites), np.zeros(sites, dtype=np.intp)
    alive, accepted, rounds = np.arange(sites, dtype=np.intp), list[int](), list[Round]()
    quality: tuple[Agreement, ...] = ()
    most, spent, done = int(rule.budget * items * sites), 0, 0
    for planned in schedule(rule.first, items):
        count = min(planned, done + (most - spent) // max(1, len(alive)))  # the last round takes what is left
        if not len(alive) or count <= done:
            break
        fresh, drawn = order[done:count], order[:count]
        known[np.ix_(fresh, alive)] = measure(fresh, alive)
        spent, done = spent + len(fresh) * len(alive), count
        exact = known[np.ix_(drawn, alive)]
        found = corrected(exact, estimates[:, alive], drawn, groups[alive])
        means[alive], errors[alive], counts[alive] = found.means, found.errors, count
        quality = quality or tuple(agreement(exact, estimates[drawn], found.residuals, groups))
        taken, out = judged(beats(found, level(rule, items, sites)), rule.top - len(accepted))
        accepted += alive[taken].tolist()
        rounds.append(Round(count, len(alive), tuple(alive[taken].tolist()), tuple(alive[out].tolist()), spent))
        alive = alive[~taken & ~out]
    by_size = np.argsort(-np.abs(means), kind="stable").tolist()
    chosen, left = (tuple(site for site in by_size if site in members) for members in (set(accepted), set(alive)))
    return Raced(chosen, left, rule.top - len(chosen), tuple(rounds), means, errors, counts, order, quality)


def judged(wins: NDArray[np.bool_], places: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which of the sites in question are accepted and which dropped.

    Args:
        wins: which site (row) beats which other (column).
        places: how many of them are among the top.
    """
    taken, out = wins.sum(1) >= len(wins) - places, wins.sum(0) >= places
    if taken.sum() == places:
        return taken, ~taken
    return (~out, out) if (~out).sum() == places else (taken, out)


def level(rule: RaceRule, items: int, sites: int) -> float:
    """The one-sided level of each comparison."""
    rounds = len(schedule(rule.first, items))
    return rule.error / (2 * rule.top * (sites - rule.top) * rounds)


def beats(found: Corrected, alpha: float) -> NDArray[np.bool_]:
    """Which site (row) has a larger absolute mean than which other (column), at a one-sided level."""
    sign = np.where(found.means < 0, -1.0, 1.0)
    size, both = np.abs(found.means), found.covariance * sign * sign[:, None]
    own = np.diag(both)
    t = student_quantile(1 - alpha, len(found.residuals) - 1)
    apart, summed = (np.sqrt(np.maximum(own[:, None] + own + turn * both, 0.0)) for turn in (-2.0, 2.0))
    return (size[:, None] - size > t * apart) & (size[:, None] + size > t * summed)
