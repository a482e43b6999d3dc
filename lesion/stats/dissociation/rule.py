"""When two sets of sites are doubly dissociated over two tasks, as a pure function over arrays.

Target A belongs to task 1, target B to task 2. *Harm* is what an edit takes from the outcome. Five things must be so:

1. A harms task 1, and B harms task 2.
2. **Within tasks**: on the same items of task 1 A harms more than B, by over the margin; on those of task 2 B does.
3. **Between tasks**: A takes a larger share of the headroom of task 1 than of task 2, and B the reverse.
4. No task is at its floor.
5. Every seed shows the differences of 2 in the same direction.

The second decides. If both targets weakened one shared mechanism, and each task were any monotone function of it, the
stronger one would harm more on *both* tasks, whatever the tasks' difficulty and headroom (Shallice 1988, *From
Neuropsychology to Mental Structure*, chapter 10; Dunn & Kirsner 1988, Psychological Review 95, 91). A difference
between tasks alone shows no such thing: units, headroom and items differ. It is asked because the words claim it, in
shares of (baseline - chance). The interaction is the sum of the differences of 2, so it needs no test of its own.

All tests are one-sided, and all must hold: the largest p decides (Berger 1982), Holm over every question asked.

The simulation runs this code; rows come to it through judge.py.
"""

from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from lesion.stats.distributions import student_tail
from lesion.stats.multiplicity import holm
from lesion.stats.paired.one_sided import Sample
from lesion.stats.verdict.rule import Rule

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
DissociationWord = Literal["Double dissociation", "No double dissociation", "Inconclusive", "Invalid"]
WORDS: tuple[DissociationWord, ...] = get_args(DissociationWord)


class Share(NamedTuple):
    """Harm as a share of the headroom; every array is [...]."""

    share: Floats
    """Harm / (baseline - chance); NaN where the baseline is not above chance."""
    error: Floats
    """Its standard error over items or clusters, that of the headroom included."""
    freedom: Floats
    """Effective number of clusters less one."""


def share_of(harm: NDArray[np.number], room: NDArray[np.number], sizes: NDArray[np.number]) -> Share:
    """The share of headroom lost, a ratio of means with its linearised standard error.

    Args:
        harm: sum of the harm of each item or cluster, [..., G].
        room: sum of (baseline - chance), [..., G].
        sizes: items, [..., G] or anything that broadcasts to it.
    """
    whole = room.sum(-1, dtype=np.float64)
    able = whole > 0
    total = np.where(able, whole, 1.0)
    share = np.where(able, harm.sum(-1) / total, np.nan)
    count = harm.shape[-1]
    rest = ((harm - np.nan_to_num(share)[..., None] * room) ** 2).sum(-1)
    error = np.sqrt(count / max(count - 1, 1) * rest) / total
    n = np.broadcast_to(sizes, harm.shape)
    freedom = np.maximum(n.sum(-1) ** 2 / (n.astype(np.float64) ** 2).sum(-1) - 1, 1e-3)
    return Share(share, error, freedom)


class Side(NamedTuple):
    """One task of many questions: the harm of its own target and of the other one; every array is [...]."""

    own: Sample
    """Harm of its own target."""
    lead: Sample
    """Harm of its own target minus harm of the other one, item by item."""
    own_share: Share
    other_share: Share
    margin: Floats
    """What a lead must exceed (share or nats)."""


class Tests(NamedTuple):
    """The one-sided p-values of many questions; every array is [...]."""

    harm: tuple[Floats, Floats]
    """Each target harms its own task."""
    lead: tuple[Floats, Floats]
    """On its own task it harms more than the other target by over the margin."""
    between: tuple[Floats, Floats]
    """It takes a larger share of its own task's headroom than of the other's."""
    p: Floats
    """The largest of the six."""
    p_none: Floats
    """At least one lead is below the margin: twice the smaller of two p-values (Bonferroni)."""


def evidence(sides: tuple[Side, Side]) -> Tests:
    """The p-values of the questions."""
    first, second = sides
    harm = first.own.p_above(0.0), second.own.p_above(0.0)
    lead = first.lead.p_above(first.margin), second.lead.p_above(second.margin)
    between = _larger(first.own_share, second.other_share), _larger(second.own_share, first.other_share)
    below = np.minimum(first.lead.p_below(first.margin), second.lead.p_below(second.margin))
    largest = np.maximum.reduce(np.broadcast_arrays(*harm, *lead, *between))
    return Tests(harm, lead, between, np.asarray(largest), np.minimum(1.0, 2 * below))


def decided(found: Tests, able: Bools, stable: Bools, rule: Rule, family_size: int) -> Ints:
    """The word of every question as index into WORDS, [..., questions]; Holm along the last axis.

    Questions are judged once, on a fixed number of items, at `rule.alpha_look`.

    Args:
        found: their p-values.
        able: neither task is at its floor.
        stable: both leads are above 0 in every seed.
        rule: the level.
        family_size: how many questions the study asks.
    """
    double = (holm(found.p, family_size) <= rule.alpha_look) & able & stable
    none = (holm(found.p_none, family_size) <= rule.alpha_look) & able
    codes = [np.int64(WORDS.index(name)) for name in ("Double dissociation", "No double dissociation")]
    return np.select([double, none], codes, default=np.int64(WORDS.index("Inconclusive")))


def _larger(one: Share, other: Share) -> Floats:
    """One-sided p that a share on one task is larger than on the other, whose items are other ones (Welch 1947)."""
    parts = one.error**2, other.error**2
    variance = parts[0] + parts[1]
    known = np.isfinite(one.share) & np.isfinite(other.share)
    gap = np.where(known, one.share - other.share, 0.0)
    noisy = variance > 1e-30
    error = np.sqrt(np.where(noisy, variance, 1.0))
    freedom = variance**2 / np.where(noisy, parts[0] ** 2 / one.freedom + parts[1] ** 2 / other.freedom, 1.0)
    tail = student_tail(gap / error, np.maximum(freedom, 1e-3))
    return np.where(known, np.where(noisy, tail, np.where(gap > 0, 0.0, 1.0)), 1.0)
