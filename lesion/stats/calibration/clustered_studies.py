"""Studies whose items share clusters (prefixes, templates), or whose outcome is a number: judged thousands at a time.

`judge_units` is the rule of `judge.judge` on the sums of units; a test holds the two together. A unit is a cluster, or
an item of a continuous outcome.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lesion.stats.distributions import student_width
from lesion.stats.intervals import tango_equivalence, tango_interval
from lesion.stats.multiplicity import holm
from lesion.stats.paired.cluster_mean import Guarded, guarded, p_sign_flip
from lesion.stats.paired.tests import mcnemar_exact
from lesion.stats.verdict.cell_measures import REPRESENTATIVE
from lesion.stats.verdict.decision_rule import Bools, Floats, Ints, Look, first_match, numbers_gate, one_side, seed_gate
from lesion.stats.verdict.rule import Rule

SEEDS = 3


class Units(NamedTuple):
    """Sums over units of many cells, cumulated over the looks so far."""

    sums: NDArray[np.int64] | Floats
    """Sum of the paired differences of each unit, [..., cells, G]."""
    sizes: NDArray[np.int64]
    """Items of each unit, [..., cells, G] or anything that broadcasts to it."""
    seed: Ints | None
    """Seed of each unit, 0 … 2, [G]; none where units hold items of all seeds: then the seed gate is left out."""
    gained: NDArray[np.int64] | None = None
    """Accuracy: gained items, [..., cells, seeds]."""
    lost: NDArray[np.int64] | None = None
    items: Guarded | None = None
    """Continuous outcome in clusters: the guarded mean over items."""


class Judged(NamedTuple):
    """Every array is [..., cells]."""

    codes: Ints
    """Index into VERDICTS."""
    low: Floats
    high: Floats
    delta: Floats


def judge_units(
    units: Units,
    rule: Rule,
    family_size: int,
    needed: int,
    open_: Bools | None = None,
    *,
    clusters: bool = True,
    flips: bool = True,
) -> Judged:
    """The rule at one look.

    Args:
        units: what was seen.
        rule: the thresholds.
        family_size: declared number of cells.
        needed: items per seed without which the seed gate is NotEvaluable.
        open_: cells still in the race, [..., cells]; the others count with p = 1.
        clusters: whether the units are clusters, which may be too few for a Null.
        flips: whether sign flips are computed; without them a claim may come too easily, a Null is the same.
    """
    found = guarded(units.sums, units.sizes)
    p, p_equivalence = found.p_zero(), found.p_equivalence(rule.margin)
    low, high = found.ends(rule.confidence)
    for item_p, item_equivalence, item_low, item_high in _items(units, rule):
        p, p_equivalence = np.maximum(p, item_p), np.maximum(p_equivalence, item_equivalence)
        low, high = np.minimum(low, item_low), np.maximum(high, item_high)
    for place in zip(*np.nonzero(flips & (p <= rule.alpha_look)), strict=True):
        p[place] = max(float(p[place]), p_sign_flip(units.sums[place]))
    shut = np.zeros(p.shape, dtype=np.bool_) if open_ is None else ~open_
    no = np.zeros(p.shape, dtype=np.bool_)
    gate, sided = _seeds(units, rule, needed)
    seen = Look(
        invalid=no,
        conflict=no,
        equivalent=holm(np.where(shut, 1.0, p_equivalence), family_size) < rule.alpha_look,
        detected=holm(np.where(shut, 1.0, p), family_size) <= rule.alpha_look,
        difference=found.delta,
        gate=gate,
        one_side=sided,
        readable=~no,
        floor=no,
        ceiling=no,
        no_null=no | (clusters and units.sums.shape[-1] < REPRESENTATIVE),
    )
    return Judged(first_match(seen), low, high, found.delta)


def _items(units: Units, rule: Rule) -> list[tuple[Floats, Floats, Floats, Floats]]:
    """p, equivalence p and interval of the items alone, where the units are clusters of them."""
    if units.items is not None:
        ends = units.items.ends(rule.confidence)
        return [(units.items.p_zero(), units.items.p_equivalence(rule.margin), *ends)]
    if units.gained is None or units.lost is None:
        return []
    b, c, n = units.gained.sum(-1), units.lost.sum(-1), np.broadcast_to(units.sizes, units.sums.shape).sum(-1)
    ends = tango_interval(b, c, n, rule.confidence)
    return [(mcnemar_exact(b, c), tango_equivalence(b, c, n, rule.margin), *ends)]


def _seeds(units: Units, rule: Rule, needed: int) -> tuple[Ints, Bools]:
    """The seed gate, and whether every seed's own interval lies on the side of the whole."""
    sizes = np.broadcast_to(units.sizes, units.sums.shape)
    if units.seed is None:
        shape = units.sums.shape[:-1]
        return np.zeros(shape, dtype=np.int64), np.ones(shape, dtype=np.bool_)
    parts = [(units.sums[..., units.seed == k], sizes[..., units.seed == k]) for k in range(SEEDS)]
    totals = np.stack([s.sum(-1) for s, _ in parts], -1)
    n = np.stack([m.sum(-1) for _, m in parts], -1)
    floor = np.array(needed)
    if units.gained is None or units.lost is None:
        gate = numbers_gate(totals / n, n, floor, rule.spread)
        by_item = np.ones(gate.shape, dtype=np.bool_)
    else:
        gate = seed_gate(totals, n, floor, rule.spread)
        by_item = one_side(units.gained, units.lost)
    if (gate == 0).all():
        return gate, by_item
    side = np.sign(totals.sum(-1))
    for s, m in parts:
        found = guarded(s, m)
        width = student_width(0.95, found.freedom)
        rises, falls = found.below > width * found.below_error, found.above < -width * found.above_error
        by_item = by_item & np.where(side > 0, rises, falls)
    return gate, by_item
