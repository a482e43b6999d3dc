"""Faithfulness of a set of edges: these stay clean, every other edge carries the corrupted contribution.

f(C) = (m(C) - m(∅)) / (m(M) - m(∅)), m being the mean target over items, C the set, M all edges (the clean run) and ∅
none (the corrupted run): the definition of Hanna et al. 2024 (arXiv:2403.17806) and of MIB (Mueller et al. 2025,
arXiv:2504.13151). CPR and CMD are the areas under f and |1 - f| over the fraction of edges that is kept, best first,
as in `lesion.measures.circuits.size_curve`.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from lesion.engine.edges.graph import Edge, graph_of
from lesion.engine.edges.kept import Keeper
from lesion.identity import Document
from lesion.measures.attribution.target import Target, require_target
from lesion.measures.circuits.faithfulness import ends, shares_of
from lesion.measures.circuits.size_curve import FRACTIONS, areas
from lesion.measures.edges.effects import Effects, masked
from lesion.measures.edges.pairs import as_numbers, parts, target_from
from lesion.measures.prompt_set import Asked, templates_of
from lesion.models.model import Model
from lesion.progress import stage

Ranking = Literal["signed", "absolute"]


class EdgeFaithfulness(Document):
    """How much of the answer a set of edges carries."""

    target: str
    """What is read."""
    items: int
    """Items."""
    edges: tuple[str, ...]
    """The set."""
    of: int
    """Edges of the model."""
    model: float
    """m(M), mean target of the clean run, logits."""
    empty: float
    """m(∅), mean target of the corrupted run with the clean prompt's answer."""
    circuit: float
    """m(C), mean target with the set alone."""
    faithfulness: float
    """(m(C) - m(∅)) / (m(M) - m(∅))."""
    low: float | None
    """Lower end of its 95 % bootstrap interval over items, or templates; null where the whole way may be 0."""
    high: float | None
    """Upper end."""


class EdgePoint(Document):
    """One size of a curve."""

    fraction: float
    """Share of edges that is asked for."""
    edges: int
    """Edges that are kept: the fraction of all, rounded down."""
    faithfulness: float
    """f of the kept edges."""
    low: float | None
    """Lower end of its 95 % bootstrap interval; null where the whole way may be 0."""
    high: float | None
    """Upper end."""


class EdgeCurve(Document):
    """Faithfulness against the number of edges."""

    target: str
    """What is read."""
    items: int
    """Items that were measured."""
    method: str
    """What ranked the edges: `exact`, or an estimate."""
    ranking: Ranking
    """`signed`: the most helpful first; `absolute`: the strongest first."""
    of: int
    """Edges of the model."""
    points: tuple[EdgePoint, ...]
    """From the smallest set to all edges."""
    cpr: float
    """Area under f."""
    cmd: float
    """Area under |1 - f|."""


def kept_edge_values(
    model: Model, asked: Asked, sets: Sequence[NDArray[np.bool_]], target: Target
) -> NDArray[np.float64]:
    """The target of every item when one set of edges alone stays; (sets, items).

    Args:
        model: the model.
        asked: items, each with a corrupted prompt that aligns.
        sets: tables of edges, (senders, readers).
        target: what is read.

    Raises:
        InputError: for an item without a corrupted prompt.
        InterventionError: where the model's nodes do not add up in the stream.
    """
    graph = graph_of(model)
    found = np.zeros((len(sets), len(asked.compiled)))
    with stage("keeping edges", found.size) as advance:
        for batch, twins in parts(model, graph, asked):
            keeper = Keeper(model, graph, batch.inputs, twins)
            for number, edges in enumerate(sets):
                with torch.inference_mode():
                    streams = keeper.kept(torch.from_numpy(edges).to(batch.ids.device))[:, batch.first :]
                    found[number, list(batch.rows)] = as_numbers(target_from(model, batch, streams, target))
                advance(len(batch.rows))
    return found


def faithful_edges(
    model: Model, asked: Asked, edges: Sequence[Edge], target: Target = "logit_diff", seed: int = 0
) -> EdgeFaithfulness:
    """Keep a set of edges, corrupt all others, and compare with the clean and the corrupted run.

    Args:
        model: the model.
        asked: items, each with a corrupted prompt that aligns.
        edges: the set.
        target: what is read.
        seed: draws the bootstrap.

    Raises:
        InputError: when clean and corrupted run do not differ, or an item has no corrupted prompt.
        InterventionError: where the model's nodes do not add up in the stream.
    """
    require_target(target)
    graph = graph_of(model)
    table = masked(graph, edges)
    numbers = kept_edge_values(model, asked, [graph.there, np.zeros_like(table), table], target)
    shares, draws = shares_of(numbers, seed, templates_of(asked))
    low, high = ends(draws[2])
    means = numbers.mean(1)
    return EdgeFaithfulness(
        target=target,
        items=numbers.shape[1],
        edges=tuple(graph.name(edge) for edge in graph.edges if table[edge]),
        of=graph.size,
        model=float(means[0]),
        empty=float(means[1]),
        circuit=float(means[2]),
        faithfulness=float(shares[2]),
        low=low,
        high=high,
    )


def edge_curve(
    model: Model,
    asked: Asked,
    effects: Effects,
    target: Target = "logit_diff",
    ranking: Ranking = "signed",
    seed: int = 0,
) -> EdgeCurve:
    """Keep the best fractions of all edges, one after another.

    Args:
        model: the model.
        asked: the items, others than those that ranked the edges.
        effects: what ranks them; an edge helps as much as corrupting it lowers the target.
        target: what is read.
        ranking: `signed` or `absolute`.
        seed: draws the bootstrap.

    Raises:
        InputError: when clean and corrupted run do not differ, or an item has no corrupted prompt.
    """
    graph, ranked = effects.graph, effects.ranked(signed=ranking == "signed")
    counts = [int(fraction * graph.size + 1e-9) for fraction in FRACTIONS]
    sets = [graph.there, np.zeros_like(graph.there), *(masked(graph, ranked[:count]) for count in counts[:-1])]
    numbers = kept_edge_values(model, asked, sets, target)
    shares, draws = shares_of(numbers, seed, templates_of(asked))
    places = [*range(2, len(sets)), 0]  # the last fraction keeps all edges: the first set
    points = tuple(
        _point(fraction, count, float(shares[place]), draws[place])
        for fraction, count, place in zip(FRACTIONS, counts, places, strict=True)
    )
    cpr, cmd = areas(FRACTIONS, [point.faithfulness for point in points])
    return EdgeCurve(
        target=target,
        items=numbers.shape[1],
        method=effects.method,
        ranking=ranking,
        of=graph.size,
        points=points,
        cpr=cpr,
        cmd=cmd,
    )


def _point(fraction: float, count: int, share: float, draws: NDArray[np.float64]) -> EdgePoint:
    low, high = ends(draws)
    return EdgePoint(fraction=fraction, edges=count, faithfulness=share, low=low, high=high)
