"""Would the same sites be found again? The Jaccard index of the chosen set with sets chosen from resampled items.

J(A, B) = |A and B| / |A or B|. Items (or sequences) are resampled with replacement, and the sites are chosen from each
resample by the same rule. A mean below `FLOOR` means that the list would look different on other items, so no site of
it should be named by itself (the floor was proposed in arXiv:2510.00845).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

FLOOR = 0.8
"""Mean Jaccard index from which on a set counts as stable."""
RESAMPLES = 500
Numbers = NDArray[np.float64]
Choose = Callable[[Numbers], frozenset[int]]
"""From the mean score of every site to the places of those that are chosen."""


@dataclass(frozen=True)
class Stability:
    """How much of a chosen set is found again."""

    over: str
    """What is resampled: `sequences`, `items`, `word maps`."""
    units: int
    """How many of them there are."""
    chosen: int
    """Sites that all of them together choose."""
    jaccard: float
    """Mean Jaccard index of that set with the sets of the resamples, 0 to 1."""
    low: float
    """2.5 % quantile over the resamples."""
    high: float
    """97.5 % quantile."""
    left_out: dict[str, float] = field(default_factory=dict[str, float])
    """Template -> Jaccard index with the set that is chosen without it; empty where there are fewer than two."""
    again: float | None = None
    """Jaccard index with the set of a second draw (another seed); null where there is none."""

    @property
    def stable(self) -> bool:
        """Whether the mean, every template left out, and the second draw reach the floor."""
        beside = [*self.left_out.values(), *([] if self.again is None else [self.again])]
        return min([self.jaccard, *beside]) >= FLOOR


def jaccard(one: frozenset[int], other: frozenset[int]) -> float:
    """Shared members over all members; 1 for two empty sets.

    >>> jaccard(frozenset({1, 2}), frozenset({2, 3})), jaccard(frozenset(), frozenset())
    (0.3333333333333333, 1.0)
    """
    return len(one & other) / len(one | other) if one | other else 1.0


def highest(most: int, least: float = -np.inf) -> Choose:
    """The rule that takes the `most` highest scores of at least `least`."""

    def choose(scores: Numbers) -> frozenset[int]:
        order = np.argpartition(-scores, most - 1)[:most] if most < len(scores) else np.arange(len(scores))
        return frozenset(int(place) for place in order if scores[place] >= least)

    return choose


def largest(most: int) -> Choose:
    """The rule that takes the `most` scores that are furthest from 0."""
    choose = highest(most)
    return lambda scores: choose(np.abs(scores))


def stability(
    scores: Numbers,
    choose: Choose,
    rng: np.random.Generator,
    over: str = "items",
    templates: Sequence[str] = (),
    again: Numbers | None = None,
) -> Stability | None:
    """The stability of a chosen set; nothing where no site is chosen.

    Args:
        scores: of every unit and site, (units, sites); a site's score is the mean over units.
        choose: the rule.
        rng: draws the resamples.
        over: what the units are.
        templates: of each unit; none where units have no template.
        again: mean scores of a second draw, (sites,).
    """
    units, whole = len(scores), choose(scores.mean(0))
    if not whole:
        return None
    counts = rng.multinomial(units, np.full(units, 1 / units), RESAMPLES)
    found = np.array([jaccard(whole, choose(count @ scores / units)) for count in counts.astype(np.float64)])
    low, high = np.quantile(found, (0.025, 0.975))
    return Stability(
        over=over, units=units, chosen=len(whole), jaccard=float(found.mean()), low=float(low), high=float(high),
        left_out=_left_out(scores, choose, whole, templates),
        again=None if again is None else jaccard(whole, choose(again)),
    )  # fmt: skip


def _left_out(scores: Numbers, choose: Choose, whole: frozenset[int], templates: Sequence[str]) -> dict[str, float]:
    """Template -> Jaccard index of the set with that of all units of other templates."""
    names, labels = sorted(set(templates)), np.array(templates)
    if len(names) < 2:
        return {}
    return {name: jaccard(whole, choose(scores[labels != name].mean(0))) for name in names}
