"""What a study found: the last verdict of every family member, the positive control, the claims, and the scenario."""

from collections.abc import Iterable
from typing import Any

from pydantic import Field

from lesion.identity import Document
from lesion.stats.dissociation.question import CellEffect, Dissociation
from lesion.stats.meta_analysis import Pooled, Predicted
from lesion.stats.specificity.companion import Companion
from lesion.stats.specificity.contrast import Specificity
from lesion.stats.specificity.rank import RankSpecificity, Within
from lesion.stats.verdict.cell_verdict import CellVerdict
from lesion.stats.verdict.rule import Verdict
from lesion.stats.verdict.scenario import scenario
from lesion.study.claims import Ablation
from lesion.study.gates.gate_verdict import GateVerdict, LookEvidence, SpecificityEvidence
from lesion.study.plan import Configuration, Plan, StageName, is_control
from lesion.study.stages.replication import Answer, answered, pooled_over
from lesion.tasks.answers import Reading


def _empty(value: Any) -> bool:
    return not value


class CellResults(Document):
    """What was decided about the cells of a family, each by the cell's id. A part that a study has not is left out."""

    cells: dict[str, CellVerdict] = {}
    """The last verdict of every cell."""
    specific: dict[str, RankSpecificity | Specificity] = Field(default={}, exclude_if=_empty)
    """The target among its matched sets, for the cells that ask (format 1: against one random set)."""
    sets: dict[str, tuple[tuple[str, ...], ...]] = Field(default={}, exclude_if=_empty)
    """Their matched sets, in the order of the rank's effects (format 2)."""
    within: dict[str, Within] = Field(default={}, exclude_if=_empty)
    """The target among sets of its own layers, where its rank is one in the whole model (format 2)."""
    ablations: dict[str, dict[Ablation, CellVerdict]] = Field(default={}, exclude_if=_empty)
    """Ablation -> verdict by the same rule, for the cells that ablate (format 2)."""
    chance: dict[str, float] = Field(default={}, exclude_if=_empty)
    """`pair_name(model, tier)` -> what guessing scores (format 2)."""
    companions: dict[str, dict[str, Companion]] = Field(default={}, exclude_if=_empty)
    """Mean and resample ablation beside zero (format 1)."""
    readings: dict[str, dict[str, Reading]] = Field(default={}, exclude_if=_empty)
    """`baseline` and `edited` -> how written answers could be read, for the cells of decoded tiers."""

    @property
    def ranks(self) -> dict[str, RankSpecificity]:
        """The target among its matched sets; empty in format 1."""
        return {name: each for name, each in self.specific.items() if isinstance(each, RankSpecificity)}

    @property
    def contrasts(self) -> dict[str, Specificity]:
        """Target against one matched random set; empty in format 2."""
        return {name: each for name, each in self.specific.items() if isinstance(each, Specificity)}


class PositiveControl(Document):
    """Was ablating the target Harm on the tier that must show it? Without it no claim names the target."""

    tier: str
    verdicts: dict[str, Verdict | None]
    """Model -> verdict of that cell; null where it was not measured."""
    holds: dict[str, bool]
    """Model -> whether it was Harm."""


class ReplicatedConfiguration(Configuration):
    """What came of one configuration on other models."""

    source: str
    """Id of the source's cell."""
    replicas: tuple[str, ...]
    """Ids of the other models' cells."""
    answer: Answer | None
    """Null where no other model was tried."""
    pooled: Predicted | Pooled | None
    """Mean over the models, where there are enough of them."""


class ReplicationResults(CellResults):
    """What the replication found; its cells are those of the other models."""

    source: str
    """The study's first model."""
    configurations: tuple[ReplicatedConfiguration, ...]
    unmapped: dict[str, str]
    """Model -> why nothing could be tried on it."""


class Results(CellResults):
    """What a study found; cells are in the family's order, and empty when no confirmation was reached."""

    scenario: str
    invalid: tuple[str, ...]
    """Ids of cells that the scenario leaves out because they are Invalid."""
    positive_control: PositiveControl | None
    replication: ReplicationResults | None = Field(default=None, exclude_if=_empty)
    dissociations: dict[str, dict[str, Dissociation]] = Field(default={}, exclude_if=_empty)
    """Model -> question about a double dissociation -> its verdict."""
    matrix: dict[str, tuple[CellEffect, ...]] = Field(default={}, exclude_if=_empty)
    """Model -> what every target does to every task of these questions, on the items of the first look."""

    def every_cell(self) -> dict[str, CellVerdict]:
        """Cell -> its verdict, those of the replication included."""
        return self.cells | (self.replication.cells if self.replication is not None else {})

    def words(self) -> dict[str, Verdict]:
        """Cell -> the word of its verdict, those of the replication included."""
        return {name: cell.verdict for name, cell in self.every_cell().items()}


def findings(plan: Plan, gates: Iterable[GateVerdict]) -> Results:
    """The results of a plan at its end.

    Args:
        plan: as it stands at the end.
        gates: every gate's verdict, in order.
    """
    gates = list(gates)
    own = _decided(gates, "confirm", "specificity")
    cells = own.cells
    settled: dict[str, Verdict] = {name: cell.verdict for name, cell in cells.items() if cell.verdict != "Ambiguous"}
    controls = {c.id for c in plan.family if is_control(plan.study, c)} if plan.study.claims is not None else set[str]()
    counted: dict[str, Verdict] = {name: said for name, said in settled.items() if name not in controls}
    reached = scenario(counted) if counted and len(settled) == len(plan.family) else None
    parts = {name: getattr(own, name) for name in CellResults.model_fields if name != "cells"}
    first = next((gate.saw(LookEvidence) for gate in gates if gate.stage == "confirm"), None)
    return Results(
        dissociations={} if first is None else first.dissociations,
        matrix={} if first is None else first.matrix,
        cells={chosen.id: cells[chosen.id] for chosen in plan.family if chosen.id in cells},
        **parts,
        scenario=reached.name if reached else "Inconclusive",
        invalid=tuple(reached.invalid) if reached else (),
        positive_control=_positive_control(plan, settled),
        replication=_replication(plan, own, _decided(gates, "replicate", "replicate_specificity")),
    )


def _decided(gates: Iterable[GateVerdict], looks: StageName, ranked: StageName) -> CellResults:
    """What the gates of two stages saw; later looks replace earlier ones."""
    found = CellResults()
    for gate in gates:
        if gate.stage == looks:
            seen = gate.saw(LookEvidence)
            found = _joined(
                found, cells=seen.verdicts, ablations=seen.ablations, chance=seen.chance, specific=seen.specific,
                companions=seen.companions, readings=seen.readings,
            )  # fmt: skip
        elif gate.stage == ranked:
            ranks = gate.saw(SpecificityEvidence)
            found = _joined(found, specific=ranks.specific, sets=ranks.sets, within=ranks.within)
    return found


def _joined(found: CellResults, **parts: dict[str, Any]) -> CellResults:
    return found.model_copy(update={name: getattr(found, name) | part for name, part in parts.items()})


def _positive_control(plan: Plan, settled: dict[str, Verdict]) -> PositiveControl | None:
    """Per model, the verdict of the ablation on the tier that must show it."""
    tier = plan.study.positive_control
    if tier is None:
        return None
    ablated = {(c.model, c.tier): c.id for c in plan.family if c.alpha == 0}
    verdicts: dict[str, Verdict | None] = {m: settled.get(ablated.get((m, tier), "")) for m in plan.study.models}
    return PositiveControl(tier=tier, verdicts=verdicts, holds={m: said == "Harm" for m, said in verdicts.items()})


def _replication(plan: Plan, own: CellResults, others: CellResults) -> ReplicationResults | None:
    if plan.study.replication is None:
        return None
    source, found = plan.study.models[0], list[ReplicatedConfiguration]()
    for each in plan.configurations:
        first = next(c.id for c in plan.family if (c.model, c.tier, c.alpha) == (source, each.tier, each.alpha))
        named = [c.id for c in plan.replicas if (c.tier, c.alpha) == (each.tier, each.alpha) and c.id in others.cells]
        cell, replicas = own.cells[first], {name: others.cells[name] for name in named}
        found.append(
            ReplicatedConfiguration(
                **each.model_dump(),
                source=first,
                replicas=tuple(named),
                answer=answered(plan, first, cell, replicas),
                pooled=pooled_over(plan, [cell, *replicas.values()]),
            )
        )
    parts = {name: getattr(others, name) for name in CellResults.model_fields}
    return ReplicationResults(source=source, configurations=tuple(found), unmapped=dict(plan.unmapped), **parts)
