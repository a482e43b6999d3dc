"""Faithfulness of a set of nodes: how much of the model's answer is left when everything outside the set is replaced.

f(C) = (m(C) - m(∅)) / (m(M) - m(∅)), m being the mean target over items, C the set, M the whole model and ∅ the model
with every node replaced. f(M) is 1 and f(∅) is 0 by definition; a set may lie below 0 or above 1. A high f says that
the set is *enough* under this replacement; it says nothing of whether another set is enough as well.

Two further questions (Wang et al. 2022, "Interpretability in the Wild", arXiv:2211.00593). *Completeness*: for subsets
K of C, does taking K out of C do what taking K out of the model does? |f(C without K) - f(M without K)| is near 0 if C
has all that matters, backups included. *Minimality*: how far does f fall when one node is taken out of C? A node that
changes nothing need not be there.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lesion.engine.select_engine import Engine
from lesion.errors import InputError
from lesion.identity import Document, generator
from lesion.interventions.site import Site
from lesion.measures.attribution.target import Target
from lesion.measures.circuits.nodes import Numbers, all_nodes, in_order, kept_values, require_nodes
from lesion.measures.effects.ablation import Ablation
from lesion.measures.prompt_set import Asked, templates_of
from lesion.stats.paired.comparison import totals

RESAMPLES = 2000
"""Bootstrap resamples of items."""
SUBSETS = 8
"""Random subsets K of a set for its completeness; each node is in K with probability one half."""


class NodeEffect(Document):
    """What taking one node out of the set does."""

    node: str
    """The node."""
    fall: float
    """f(C) - f(C without the node)."""
    low: float | None
    """Lower end of its 95 % bootstrap interval; null where the whole way may be 0."""
    high: float | None
    """Upper end."""


class SubsetGap(Document):
    """What taking a subset out of the set does, beside taking it out of the model."""

    without: tuple[str, ...]
    """The subset K."""
    circuit: float
    """f(C without K)."""
    model: float
    """f(M without K)."""

    @property
    def gap(self) -> float:
        """|f(C without K) - f(M without K)|."""
        return abs(self.circuit - self.model)


class Faithfulness(Document):
    """How much of the answer a set of nodes carries."""

    ablation: str
    """What replaces the nodes outside the set, in words."""
    target: str
    """What is read."""
    items: int
    """Items."""
    nodes: tuple[str, ...]
    """The set."""
    of: int
    """Nodes of the model."""
    model: float
    """m(M), mean target of the unedited model, logits."""
    empty: float
    """m(∅), mean target with every node replaced."""
    circuit: float
    """m(C), mean target with the set alone."""
    faithfulness: float
    """(m(C) - m(∅)) / (m(M) - m(∅))."""
    low: float | None
    """Lower end of its 95 % bootstrap interval over items, or templates; null where the whole way may be 0."""
    high: float | None
    """Upper end."""
    minimality: tuple[NodeEffect, ...] = ()
    """Node by node, where it was asked for."""
    completeness: tuple[SubsetGap, ...] = ()
    """Random subset by random subset, where it was asked for."""


def faithful(
    engine: Engine,
    asked: Asked,
    nodes: Sequence[Site],
    how: Ablation,
    target: Target = "logit_diff",
    *,
    each: bool = False,
    subsets: int = 0,
    seed: int = 0,
) -> Faithfulness:
    """Keep a set of nodes, replace all others, and compare with the model and with nothing kept.

    Args:
        engine: the model and the way it is run.
        asked: the items.
        nodes: heads and MLPs of the set.
        how: what replaces the others.
        target: what is read.
        each: whether minimality is asked of every node; one more set for each.
        subsets: random subsets for completeness; two more sets for each.
        seed: draws the subsets and the bootstrap.

    Raises:
        InputError: when a site is no node, or model and empty model do not differ.
        InterventionError: for an item whose activations cannot be replaced so.
    """
    kept, whole = require_nodes(engine.model.sizes, nodes), frozenset(all_nodes(engine.model.sizes))
    ordered = in_order(engine.model.sizes, kept)
    alone = [kept - frozenset((node,)) for node in ordered] if each else []
    taken = _subsets(ordered, subsets, seed)
    sets = [whole, frozenset[Site](), kept, *alone, *(some for k in taken for some in (kept - k, whole - k))]
    numbers = kept_values(engine, asked, sets, how, target, "keeping sets")
    shares, draws = shares_of(numbers, seed, templates_of(asked))
    low, high = ends(draws[2])
    falls = [(shares[2] - shares[3 + place], draws[2] - draws[3 + place]) for place in range(len(alone))]
    pairs = shares[3 + len(alone) :].reshape(-1, 2)
    return Faithfulness(
        ablation=how.words,
        target=target,
        items=numbers.shape[1],
        nodes=tuple(map(str, ordered)),
        of=len(whole),
        model=float(numbers[0].mean()),
        empty=float(numbers[1].mean()),
        circuit=float(numbers[2].mean()),
        faithfulness=float(shares[2]),
        low=low,
        high=high,
        minimality=tuple(_fall(node, fall, some) for node, (fall, some) in zip(ordered, falls, strict=bool(falls))),
        completeness=tuple(
            SubsetGap(without=tuple(sorted(map(str, k))), circuit=float(pair[0]), model=float(pair[1]))
            for k, pair in zip(taken, pairs, strict=True)
        ),
    )


def shares_of(numbers: Numbers, seed: int, clusters: NDArray[Any] | None = None) -> tuple[Numbers, Numbers]:
    """Every set's f, and its bootstrap over items, or over clusters where items have them.

    Args:
        numbers: targets, (sets, items); the first set is the whole model, the second is empty.
        seed: draws the resamples.
        clusters: of each item, its template.

    Returns:
        (sets,) and (sets, `RESAMPLES`). The second is NaN throughout where the way from the empty model to the whole
        one is not told apart from 0 (its own 95 % interval holds 0): a share of such a way has no interval.

    Raises:
        InputError: when the whole model and the empty one do not differ by more than rounding.
    """
    require_way(numbers)
    means = numbers.mean(1)
    units = [totals(row, np.arange(len(row)) if clusters is None else clusters) for row in numbers]
    sums, sizes = np.stack([unit[0] for unit in units]), units[0][1]
    drawn = generator("faithfulness", seed).integers(0, len(sizes), (RESAMPLES, len(sizes)))
    again = np.stack([row[drawn].sum(1) for row in sums]) / sizes[drawn].sum(1)
    ways = again[0] - again[1]
    low, high = np.quantile(ways, (0.025, 0.975))
    if low <= 0 <= high or len(sizes) < 2:
        return (means - means[1]) / (means[0] - means[1]), np.full(again.shape, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):  # a few resamples may have no way at all: their f is infinite
        return (means - means[1]) / (means[0] - means[1]), (again - again[1]) / ways


def require_way(numbers: Numbers) -> None:
    """Refuse where the whole model (first row) and the empty one (second) do not differ by more than rounding.

    Raises:
        InputError: when they do not.
    """
    means = numbers[:2].mean(1)
    way = means[0] - means[1]
    if abs(way) < 1e-6 * max(1.0, float(np.abs(means).max())):
        raise InputError(
            f"replacing every node changes the target by {way:.2g}: there is no way to take a share of; "
            "choose another task or another ablation"
        )


def ends(draws: Numbers) -> tuple[float | None, float | None]:
    """The 95 % interval of a bootstrap; none where it has none."""
    low, high = np.quantile(draws, (0.025, 0.975), method="inverted_cdf")
    return (float(low), float(high)) if np.isfinite([low, high]).all() else (None, None)


def _subsets(nodes: Sequence[Site], many: int, seed: int) -> list[frozenset[Site]]:
    """Subsets of which each node is a member with probability one half; none is empty."""
    rng = generator("completeness", seed)
    drawn: list[frozenset[Site]] = []
    while nodes and len(drawn) < many:
        members = rng.random(len(nodes)) < 0.5
        if members.any():
            drawn.append(frozenset(node for node, inside in zip(nodes, members, strict=True) if inside))
    return drawn


def _fall(node: Site, fall: float, draws: Numbers) -> NodeEffect:
    low, high = ends(draws)
    return NodeEffect(node=str(node), fall=float(fall), low=low, high=high)
