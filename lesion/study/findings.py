"""What a study found: the last verdict of every family member, the positive control, the claims, and the scenario."""

from collections.abc import Iterable
from typing import Any

from lesion.stats.scenario import scenario
from lesion.study.plan import Plan, Verdict
from lesion.study.replication import outcome
from lesion.study.specificity import is_control


def findings(plan: Plan, gates: Iterable[Verdict]) -> dict[str, Any]:
    """The results as plain data; cells are in the family's order. Empty cells when no confirmation was reached."""
    told = list(gates)
    cells, specific, companions, readings = _looks(told, "confirm")
    decided = {name: cell["verdict"] for name, cell in cells.items() if cell["verdict"] != "Ambiguous"}
    counted = {name: verdict for name, verdict in decided.items() if name not in _control_cells(plan)}
    reached = scenario(counted) if counted and len(decided) == len(plan.family) else None
    found = {
        "cells": {chosen.id: cells[chosen.id] for chosen in plan.family if chosen.id in cells},
        **_claimed(plan, told, specific, companions),
        **({"readings": readings} if plan.study.decoded else {}),
        "scenario": reached.name if reached else "Inconclusive",
        "invalid": list(reached.invalid) if reached else [],
        "positive_control": _positive_control(plan, decided),
    }
    if plan.study.replication is None:
        return found
    replicas, apart, beside, texts = _looks(told, "replicate")
    more = {**_claimed(plan, told, apart, beside, "replicate"), **({"readings": texts} if plan.study.decoded else {})}
    return found | {"replication": {**outcome(plan, cells, replicas), **more}}


def _looks(gates: Iterable[Verdict], stage: str) -> tuple[dict[str, Any], ...]:
    """The last verdict of every cell that a stage's looks judged, its specificity, companions and readings."""
    return tuple(_parts(gates, stage, ("verdicts", "specific", "companions", "readings")).values())


def _claimed(
    plan: Plan, gates: Iterable[Verdict], specific: dict[str, Any], companions: dict[str, Any], stage: str = "confirm"
) -> dict[str, Any]:
    """What stands beside the verdicts. Format 1: contrasts with random sets, and companions of zero."""
    if plan.study.claims is None:
        return {"specific": specific, "companions": companions}
    ranked = "specificity" if stage == "confirm" else "replicate_specificity"
    looked = _parts(gates, stage, ("ablations", "chance"))
    beside = _parts(gates, ranked, ("specific", "sets", "within"))
    return {**looked, **{name: part for name, part in beside.items() if part or name != "within"}}


def _parts(gates: Iterable[Verdict], stage: str, parts: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """What the gates of a stage saw, by part; later looks replace earlier ones."""
    found: dict[str, dict[str, Any]] = {part: {} for part in parts}
    for gate in gates:
        if gate.stage == stage:
            seen: Any = gate.evidence
            for part in parts:
                found[part] |= seen.get(part, {})
    return found


def _control_cells(plan: Plan) -> set[str]:
    """The cells of the positive control, which are no findings; format 1 counted them."""
    if plan.study.claims is None:
        return set()
    return {each.id for each in plan.family if is_control(plan.study, each)}


def _positive_control(plan: Plan, decided: dict[str, str]) -> dict[str, Any] | None:
    """Per model: was zeroing the target Harm on the tier that must show it? Without it no claim names the target."""
    tier = plan.study.positive_control
    if tier is None:
        return None
    ablated = {(c.model, c.tier): c.id for c in plan.family if c.alpha == 0}
    found = {model: decided.get(ablated.get((model, tier), "")) for model in plan.study.models}
    return {"tier": tier, "verdicts": found, "holds": {m: verdict == "Harm" for m, verdict in found.items()}}
