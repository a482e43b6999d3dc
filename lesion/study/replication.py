"""Replication on other models: which configurations, which heads stand for the source's, and what came of it.

Everything here is fixed by the study before its data. The source is the study's first model. Its configurations (tier
and factor) are chosen when its family is decided; its heads are mapped by detector rank and relative depth, never by
their index; each configuration is then confirmed on the other models like any cell, with a family of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal, NamedTuple

from lesion.interventions.site import parse_site
from lesion.stats.heterogeneity import Estimate, pooled, variance
from lesion.study.plan import Configuration, Plan, Shape

REACH = 2
"""Candidates are the first so many times the source's number of heads, in the detector's order."""

Answer = Literal["replicated", "partly replicated", "not replicated", "contradicted"]


class Stand(NamedTuple):
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

    Those are its Improvements, by change in discovery; where it has none, the cells of its family with the largest
    |change| in discovery. Only confirmed cells have a number to compare with, so the family is what there is to choose
    from; the positive control's tier is not, since its effect is known beforehand.
    """
    study, found = plan.study, list[Configuration]()
    if study.replication is None:
        return ()
    own = [chosen for chosen in plan.family if chosen.model == study.models[0]]
    if any((chosen.tier, chosen.alpha) == (study.positive_control, 0.0) for chosen in own):
        found.append(Configuration(tier=str(study.positive_control), alpha=0.0, why="positive control"))
    others = [chosen for chosen in own if chosen.tier != study.positive_control]
    improved = [chosen for chosen in others if chosen.id in plan.improved]
    ranked = sorted(improved or others, key=lambda chosen: -(chosen.delta if improved else abs(chosen.delta)))
    why = "improvement" if improved else "largest change in discovery"
    return (
        *found,
        *(Configuration(tier=c.tier, alpha=c.alpha, why=why) for c in ranked[: study.replication.best]),
    )


def outcome(plan: Plan, cells: Mapping[str, Any], replicas: Mapping[str, Any]) -> dict[str, Any]:
    """What the replication found, by configuration.

    Args:
        plan: at its end.
        cells: the family's verdicts, as data.
        replicas: the replication's verdicts, as data.
    """
    source = plan.study.models[0]
    told: list[dict[str, Any]] = []
    for each in plan.configurations:
        first = next(c.id for c in plan.family if (c.model, c.tier, c.alpha) == (source, each.tier, each.alpha))
        others = [c.id for c in plan.replicas if (c.tier, c.alpha) == (each.tier, each.alpha) and c.id in replicas]
        told.append(
            {
                **each.model_dump(),
                "source": first,
                "replicas": others,
                "answer": _answer(cells[first], [replicas[name] for name in others]) if others else None,
                "pooled": _pooled([cells[first], *(replicas[name] for name in others)]),
            }
        )
    return {"source": source, "configurations": told, "unmapped": dict(plan.unmapped), "cells": dict(replicas)}


def _answer(source: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> Answer:
    """Replicated: every other model has the source's verdict. Contradicted: one has the opposite of it."""
    opposite = {"Improvement": "Harm", "Harm": "Improvement"}.get(source["verdict"])
    same = [other["verdict"] == source["verdict"] for other in others]
    if opposite is not None and any(other["verdict"] == opposite for other in others):
        return "contradicted"
    return "replicated" if all(same) else "partly replicated" if any(same) else "not replicated"


def _pooled(cells: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Random effects over the models whose cells have numbers; nothing for fewer than two."""
    estimates = [
        Estimate(cell["delta"], variance(cell["gained"], cell["lost"], cell["n"]))
        for cell in cells
        if cell["delta"] is not None and cell["verdict"] != "Invalid"
    ]
    return asdict(pooled(estimates)) if len(estimates) >= 2 else None
