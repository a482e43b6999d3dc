"""Pairs of nodes ablated together: do two heads add up, stand in for each other, or work one behind the other?

h(S) is the harm of ablating the set S together: target unedited minus edited. For a pair, the interaction is

    h(A, B) - h(A) - h(B)

item by item. Above 0 (*super-additive*): together they cost more than one after the other, as backups do. Below 0
(*sub-additive*): they cost less, as two heads on one path do. Near 0: they work apart, or there is too little of either
to tell. p-values are of sign flips over items, or over templates where a task has them, with max-T over all pairs
(Westfall & Young 1993). Sign flips suppose that the interaction is symmetric about 0 where there is none.

Effects on a logit are not additive by nature: a norm or a softmax alone gives interactions. So they are consistent with
backups or a path, and show neither.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import Sequence
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lesion.engine.select_engine import Engine
from lesion.errors import InputError
from lesion.identity import Document, generator
from lesion.interventions.site import Site
from lesion.measures.attribution.target import Target, mean_interval, target_changes
from lesion.measures.circuits.nodes import Numbers, in_order, require_nodes
from lesion.measures.effects.ablation import Ablation
from lesion.measures.prompt_set import Asked, templates_of
from lesion.stats.multiplicity import max_t
from lesion.stats.paired.comparison import totals

LEVEL = 0.05
"""An interaction is named where its adjusted p is at most this."""
MOST = 24
"""Nodes whose pairs are tried in one call: 276 pairs."""


class Harm(Document):
    """What ablating a set costs."""

    nodes: tuple[str, ...]
    """What is ablated together."""
    harm: float
    """Mean fall of the target, logits."""
    low: float
    """Lower end of its 95 % t interval over items."""
    high: float
    """Upper end."""


class Pair(Document):
    """Two nodes, and what ablating both costs beyond ablating each."""

    nodes: tuple[str, str]
    """The two."""
    joint: float
    """Harm of both together, logits."""
    interaction: float
    """Joint harm minus the two single harms."""
    low: float
    """Lower end of its 95 % t interval over items, not adjusted for the number of pairs."""
    high: float
    """Upper end."""
    p: float
    """Two-sided, sign flips over items (templates), max-T over all pairs."""

    kind: Literal["super-additive", "sub-additive", "not told apart"]
    """What the interaction is, where its adjusted p is at most `LEVEL`."""


class Pairs(Document):
    """All pairs of some nodes."""

    ablation: str
    """What is done to the nodes, in words."""
    target: str
    """What is read."""
    items: int
    """Items."""
    singles: tuple[Harm, ...]
    """Each node alone."""
    together: Harm
    """All of them together."""
    excess: float
    """Harm of all together minus the sum of the single harms."""
    excess_low: float
    """Lower end of its 95 % t interval."""
    excess_high: float
    """Upper end."""
    pairs: tuple[Pair, ...]
    """Strongest interaction first."""


def pairwise(
    engine: Engine, asked: Asked, nodes: Sequence[Site], how: Ablation, target: Target = "logit_diff", seed: int = 0
) -> Pairs:
    """Ablate every pair of some nodes, each node alone, and all together.

    Args:
        engine: the model and the way it is run.
        asked: the items, other than those that chose the nodes.
        nodes: two to `MOST` heads or MLPs.
        how: what is done to them; its several draws are averaged.
        target: what is read.
        seed: draws sign flips where there are too many to enumerate.

    Raises:
        InputError: for fewer than two nodes or more than `MOST`, or a site that is none.
        InterventionError: for an item whose activations cannot be replaced so.
    """
    if not 2 <= len(set(nodes)) <= MOST:
        raise InputError(f"pairs are made of 2 to {MOST} nodes, not {len(set(nodes))}; name fewer, or use --top")
    ordered = in_order(engine.model.sizes, require_nodes(engine.model.sizes, nodes))
    both = list(combinations(range(len(ordered)), 2))
    sets = [*((node,) for node in ordered), *((ordered[a], ordered[b]) for a, b in both), tuple(ordered)]
    harms = _harms(engine, asked, sets, how, target)
    single, joint, whole = harms[: len(ordered)], harms[len(ordered) : -1], harms[-1]
    interactions = np.array([joint[place] - single[a] - single[b] for place, (a, b) in enumerate(both)])
    units = templates_of(asked)
    table = interactions if units is None else np.stack([totals(row, units)[0] for row in interactions])
    adjusted = max_t(table.T, generator("pairs", seed))
    pairs = [
        _pair((str(ordered[a]), str(ordered[b])), joint[place], interactions[place], float(adjusted[place]), units)
        for place, (a, b) in enumerate(both)
    ]
    excess, low, high = mean_interval(whole - single.sum(0), units)
    return Pairs(
        ablation=how.words,
        target=target,
        items=harms.shape[1],
        singles=tuple(_harm((str(node),), row, units) for node, row in zip(ordered, single, strict=True)),
        together=_harm(tuple(map(str, ordered)), whole, units),
        excess=excess,
        excess_low=low,
        excess_high=high,
        pairs=tuple(sorted(pairs, key=lambda pair: -abs(pair.interaction))),
    )


def _harms(engine: Engine, asked: Asked, sets: Sequence[tuple[Site, ...]], how: Ablation, target: Target) -> Numbers:
    """Fall of the target when each set is ablated; (sets, items)."""
    made = [how.make(nodes) for nodes in sets]
    flat = [edit for several in made for edit in several]
    changes = iter(target_changes(engine, asked, flat, target, "ablating pairs", how.library))
    return -np.array([np.mean([next(changes) for _ in several], axis=0) for several in made])


def _harm(nodes: tuple[str, ...], numbers: Numbers, units: NDArray[Any] | None) -> Harm:
    mean, low, high = mean_interval(numbers, units)
    return Harm(nodes=nodes, harm=mean, low=low, high=high)


def _pair(nodes: tuple[str, str], joint: Numbers, interaction: Numbers, p: float, units: NDArray[Any] | None) -> Pair:
    mean, low, high = mean_interval(interaction, units)
    kind = "not told apart" if p > LEVEL else "super-additive" if mean > 0 else "sub-additive"
    return Pair(nodes=nodes, joint=float(joint.mean()), interaction=mean, low=low, high=high, p=p, kind=kind)
