"""What a study found: the last verdict of every family member, the positive control, the claims, and the scenario."""

from collections.abc import Iterable
from typing import Any

from lesion.stats.scenario import scenario
from lesion.study.plan import Plan, Verdict


def findings(plan: Plan, gates: Iterable[Verdict]) -> dict[str, Any]:
    """The results as plain data; cells are in the family's order. Empty cells when no confirmation was reached."""
    cells: dict[str, Any] = {}
    specific: dict[str, Any] = {}
    companions: dict[str, Any] = {}
    readings: dict[str, Any] = {}
    for gate in gates:
        if gate.stage == "confirm":
            verdicts: Any = gate.evidence["verdicts"]
            arms: Any = gate.evidence["specific"]
            cells |= verdicts
            specific |= arms
            beside: Any = gate.evidence.get("companions", {})
            companions |= beside
            texts: Any = gate.evidence.get("readings", {})
            readings |= texts
    decided = {name: cell["verdict"] for name, cell in cells.items() if cell["verdict"] != "Ambiguous"}
    reached = scenario(decided) if decided and len(decided) == len(plan.family) else None
    return {
        "cells": {chosen.id: cells[chosen.id] for chosen in plan.family if chosen.id in cells},
        "specific": specific,
        "companions": companions,
        **({"readings": readings} if plan.study.decoded else {}),
        "scenario": reached.name if reached else "Inconclusive",
        "invalid": list(reached.invalid) if reached else [],
        "positive_control": _positive_control(plan, decided),
    }


def _positive_control(plan: Plan, decided: dict[str, str]) -> dict[str, Any] | None:
    """Per model: was zeroing the target Harm on the tier that must show it? Without it no claim names the target."""
    tier = plan.study.positive_control
    if tier is None:
        return None
    found = {model: decided.get(f"{model}|{tier}|target@0") for model in plan.study.models}
    return {"tier": tier, "verdicts": found, "holds": {m: verdict == "Harm" for m, verdict in found.items()}}
