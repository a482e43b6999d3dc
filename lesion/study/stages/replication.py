"""Replication on other models: which configurations, which heads stand for the source's, and what came of it.

Everything here is fixed by the study before its data. The source is the study's first model. Its configurations (tier
and factor) are chosen when its family is decided; its heads are mapped by detector rank and relative depth, never by
their index; each configuration is then confirmed on the other models like any cell, with a family of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

from lesion.interventions.site import parse_site
from lesion.stats.distributions import z
from lesion.stats.meta_analysis import Estimate, Pooled, Predicted, pooled, predicted, variance
from lesion.stats.verdict.cell_verdict import CellVerdict
from lesion.study.plan import Chosen, Configuration, Plan, Shape, Why

REACH = 2
"""Candidates are the first so many times the source's number of heads, in the detector's order."""

Answer = Literal["replicated", "partly replicated", "not replicated", "contradicted"]


@dataclass(frozen=True)
class Stand:
    """A head of the source and the one that stands for it."""

    source: str
    """The source's head."""
    site: str
    """The other model's head."""
    rank: int
    """Its place in the other model's detector order, from 1."""
    source_depth: float
    """Relative depth of the source's head, 0 … 1."""
    depth: float
    """Relative depth of the other model's head, 0 … 1."""


def depth(site: str, shape: Shape) -> float:
    """Relative depth: the middle of the site's layer, in layers, over their number; 0 … 1."""
    return (parse_site(site).layer + 0.5) / shape.layers


def mapped(source: Sequence[str], ranked: Sequence[str], own: Shape, other: Shape) -> tuple[Stand, ...]:
    """Which of another model's heads stand for the source's.

    Args:
        source: the source's heads, in its detector's order.
        ranked: the other model's heads that pass the detector, in its order.
        own: shape of the source.
        other: shape of the other model.

    Returns:
        For each head of the source, in turn, the unused candidate whose relative depth is nearest (ties: the higher
        rank); candidates are the first `REACH` times as many of `ranked`. Fewer, where not as many pass.
    """
    candidates = list(enumerate(ranked[: REACH * len(source)], 1))
    stands: list[Stand] = []
    for site in source:
        if not candidates:
            break
        here = depth(site, own)
        best = min(candidates, key=lambda each: (abs(depth(each[1], other) - here), each[0]))
        candidates.remove(best)
        stands.append(Stand(site, best[1], best[0], here, depth(best[1], other)))
    return tuple(stands)


def configurations(plan: Plan) -> tuple[Configuration, ...]:
    """What is replicated: the positive control, and the source's best cells.

    Those are its Improvements, by change in discovery. Where it has none, cells with the largest |change| in discovery
    and, in turn with them, factors that might improve: those of tiers whose baseline is below the ceiling, the best
    change first (format 1: the largest |change| alone). Only confirmed cells have a number to compare with, so the
    family is what there is to choose from; the positive control's tier is not, since its effect is known beforehand.
    """
    study, found = plan.study, list[Configuration]()
    if study.replication is None:
        return ()
    own = [chosen for chosen in plan.family if chosen.model == study.models[0]]
    if any((chosen.tier, chosen.alpha) == (study.positive_control, 0.0) for chosen in own):
        found.append(Configuration(tier=str(study.positive_control), alpha=0.0, why="positive control"))
    others = [chosen for chosen in own if chosen.tier != study.positive_control]
    improved = sorted((each for each in others if each.id in plan.improved), key=lambda each: -each.delta)
    why: Why = "improvement"
    picked: list[tuple[Chosen, Why]] = [(each, why) for each in improved] or _untold(plan, others)
    return (
        *found,
        *(Configuration(tier=c.tier, alpha=c.alpha, why=why) for c, why in picked[: study.replication.best]),
    )


def _untold(plan: Plan, others: Sequence[Chosen]) -> list[tuple[Chosen, Why]]:
    """Where nothing improved: the largest changes and, in turn with them, factors with room for an improvement."""
    changed = sorted(others, key=lambda each: -abs(each.delta))
    if plan.study.lesion == 1:
        return [(each, "largest change in discovery") for each in changed]
    hopeful = [each for each in others if each.alpha != 0 and each.id not in plan.full]
    hopeful.sort(key=lambda each: -each.delta)
    picked: dict[str, tuple[Chosen, Why]] = {}
    for large, hope in zip_longest(changed, hopeful):
        if large is not None:
            picked.setdefault(large.id, (large, "largest change in discovery"))
        if hope is not None:
            picked.setdefault(hope.id, (hope, "room for an improvement"))
    return list(picked.values())


def answered(plan: Plan, first: str, source: CellVerdict, others: Mapping[str, CellVerdict]) -> Answer | None:
    """What the other models answer to one configuration; nothing where none was tried.

    Replicated: every other model has the source's verdict, and is specific where the source is. Contradicted: one has
    the opposite verdict.

    Args:
        plan: at its end.
        first: id of the source's cell.
        source: its verdict.
        others: id -> verdict of the other models' cells.
    """
    if not others:
        return None
    opposite = {"Improvement": "Harm", "Harm": "Improvement"}.get(source.verdict)
    if opposite is not None and any(other.verdict == opposite for other in others.values()):
        return "contradicted"
    same = [
        other.verdict == source.verdict and (first not in plan.specific or name in plan.specific)
        for name, other in others.items()
    ]
    return "replicated" if all(same) else "partly replicated" if any(same) else "not replicated"


def pooled_over(plan: Plan, cells: Sequence[CellVerdict]) -> Predicted | Pooled | None:
    """Mean and prediction interval over five models or more (format 1: a mean over two or more); else nothing."""
    measured = [(cell, cell.delta) for cell in cells if cell.delta is not None and cell.verdict != "Invalid"]
    if plan.study.lesion == 1:
        estimates = [Estimate(delta, variance(cell.gained, cell.lost, cell.n)) for cell, delta in measured]
        return pooled(estimates) if len(estimates) >= 2 else None
    return predicted([Estimate(delta, _variance(cell)) for cell, delta in measured])


def _variance(cell: CellVerdict) -> float:
    """Of a cell's difference, from the width of its interval: it knows of clusters, and holds for nats as well."""
    half = ((cell.ci_high or 0.0) - (cell.ci_low or 0.0)) / 2
    return (half / z((1 + cell.confidence) / 2)) ** 2
