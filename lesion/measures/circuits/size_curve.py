"""Faithfulness against size, and the two areas of MIB: CPR and CMD.

Nodes are ranked by what ablating each alone does, on other items than those that are measured. The best `fraction` of
them is kept, the rest replaced, and f is read (`faithfulness`). CPR is the area under f, CMD the area under |1 - f|,
both by trapezoids over the fraction of nodes on a linear axis from .001 to 1 (Mueller et al. 2025, "MIB",
arXiv:2504.13151; there the fraction is one of edges). f = 1 everywhere gives CPR .999 and CMD 0. For CPR nodes are
ranked by signed effect (those that help most come first), for CMD by its absolute value.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from lesion.engine.select_engine import Engine
from lesion.identity import Document
from lesion.interventions.site import Site
from lesion.measures.attribution.target import Target, target_changes
from lesion.measures.circuits.faithfulness import ends, shares_of
from lesion.measures.circuits.nodes import Numbers, all_nodes, kept_values
from lesion.measures.effects.ablation import Ablation
from lesion.measures.prompt_set import Asked, templates_of

FRACTIONS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Fractions of nodes that MIB keeps."""
Ranking = Literal["signed", "absolute"]


class SizePoint(Document):
    """One size of a curve."""

    fraction: float
    """Share of nodes that is asked for."""
    nodes: int
    """Nodes that are kept: the fraction of all, rounded down."""
    faithfulness: float
    """f of the kept nodes."""
    low: float | None
    """Lower end of its 95 % bootstrap interval over items, or templates; null where the whole way may be 0."""
    high: float | None
    """Upper end."""


class SizeCurve(Document):
    """Faithfulness against size."""

    ablation: str
    """What replaces the nodes outside the set, in words."""
    target: str
    """What is read."""
    items: int
    """Items that were measured; others ranked the nodes."""
    ranking: Ranking
    """`signed`: the most helpful first; `absolute`: the strongest first, helpful or not."""
    of: int
    """Nodes of the model."""
    ranked: tuple[str, ...]
    """All nodes, best first."""
    points: tuple[SizePoint, ...]
    """From the smallest set to the whole model."""
    cpr: float
    """Area under f."""
    cmd: float
    """Area under |1 - f|."""


def areas(fractions: Sequence[float], shares: Sequence[float]) -> tuple[float, float]:
    """CPR and CMD of a curve.

    >>> [round(area, 6) for area in areas(FRACTIONS, [1.0] * 10)]
    [0.999, 0.0]
    >>> [round(area, 6) for area in areas(FRACTIONS, [0.0] * 10)]
    [0.0, 0.999]
    """
    f = np.asarray(shares)
    return float(np.trapezoid(f, fractions)), float(np.trapezoid(np.abs(1 - f), fractions))


def single_effects(engine: Engine, asked: Asked, how: Ablation, target: Target = "logit_diff") -> dict[Site, float]:
    """What each node contributes alone: minus the mean change of the target when it is ablated, logits.

    Raises:
        InterventionError: for an item whose activations cannot be replaced so.
    """
    nodes = all_nodes(engine.model.sizes)
    made = [how.make((node,)) for node in nodes]
    changes = iter(
        target_changes(engine, asked, [e for several in made for e in several], target, "single nodes", how.library)
    )
    return {node: -float(np.mean([next(changes) for _ in several])) for node, several in zip(nodes, made, strict=True)}


def size_curve(
    engine: Engine,
    asked: Asked,
    effects: Mapping[Site, float],
    how: Ablation,
    target: Target = "logit_diff",
    ranking: Ranking = "signed",
    seed: int = 0,
) -> SizeCurve:
    """Keep the best fractions of all nodes, one after another.

    Args:
        engine: the model and the way it is run.
        asked: the items, others than those that ranked the nodes.
        effects: what ranks the nodes, from `single_effects`.
        how: what replaces the nodes outside.
        target: what is read.
        ranking: `signed` or `absolute`.
        seed: draws the bootstrap.

    Raises:
        InputError: when model and empty model do not differ.
        InterventionError: for an item whose activations cannot be replaced so.
    """
    strength = {node: effect if ranking == "signed" else abs(effect) for node, effect in effects.items()}
    ranked = sorted(all_nodes(engine.model.sizes), key=lambda node: -strength[node])
    counts = [int(fraction * len(ranked) + 1e-9) for fraction in FRACTIONS]
    sizes = sorted({*counts, 0, len(ranked)}, key=lambda count: (count != len(ranked), count))  # all, then none first
    numbers = kept_values(
        engine, asked, [frozenset(ranked[:count]) for count in sizes], how, target, "keeping the best nodes"
    )
    shares, draws = shares_of(numbers, seed, templates_of(asked))
    by_count = {count: place for place, count in enumerate(sizes)}
    points = tuple(
        _point(fraction, count, float(shares[by_count[count]]), draws[by_count[count]])
        for fraction, count in zip(FRACTIONS, counts, strict=True)
    )
    cpr, cmd = areas(FRACTIONS, [point.faithfulness for point in points])
    return SizeCurve(
        ablation=how.words,
        target=target,
        items=numbers.shape[1],
        ranking=ranking,
        of=len(ranked),
        ranked=tuple(map(str, ranked)),
        points=points,
        cpr=cpr,
        cmd=cmd,
    )


def _point(fraction: float, count: int, share: float, draws: Numbers) -> SizePoint:
    low, high = ends(draws)
    return SizePoint(fraction=fraction, nodes=count, faithfulness=share, low=low, high=high)
