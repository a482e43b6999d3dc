"""What a gate said of a stage, and the evidence that it saw: one type of evidence for each kind of stage.

Evidence goes from the gate to the manifest and to the report as itself. A manifest stores it without a tag, since the
stage names its type.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Self, TypeVar, cast

from pydantic import Field, model_validator

from lesion.errors import InputError
from lesion.identity import Document
from lesion.stats.baseline_gate import BaselineCell
from lesion.stats.dissociation.question import CellEffect, Dissociation
from lesion.stats.specificity.companion import Companion
from lesion.stats.specificity.contrast import Specificity
from lesion.stats.specificity.rank import RankSpecificity, Within
from lesion.stats.verdict.cell_verdict import CellVerdict
from lesion.study.claims import Ablation
from lesion.study.gates.checks import Check
from lesion.study.gates.evidence.model_answers import InstrumentAnswer, Measured, TargetAnswer
from lesion.study.plan import Chosen, Outcome, StageName
from lesion.study.stages.replication import Stand
from lesion.tasks.answers import Reading


class GateEvidence(Document):
    """What a gate saw; the subclasses are the kinds of it."""

    checks: tuple[Check, ...] = ()
    """Every check that was made."""


class InstrumentEvidence(GateEvidence):
    """The proof of every model."""

    models: dict[str, Annotated[InstrumentAnswer, Measured]]


class BaselineEvidence(GateEvidence):
    """The unedited model, by model and tier."""

    cells: dict[str, BaselineCell] = {}
    """`pair_name(model, tier)` -> what the gate saw."""
    excluded: tuple[str, ...] = ()
    """Model and tier pairs whose prompts break the contract too often, in words."""
    final: bool = False
    """Whether more items cannot help."""


class DetectionEvidence(GateEvidence):
    """Which sites every model's target has."""

    picked: dict[str, tuple[str, ...]]
    """`aim(model, target)` -> sites of the target."""
    passing: dict[str, tuple[str, ...]]
    """`aim(model, target)` -> every site that passes the threshold, the highest score first."""
    answers: dict[str, TargetAnswer]
    """`aim(model, target)` -> its scores."""
    ranking: dict[str, tuple[str, ...]] = {}
    """Model -> heads in the order of their scores, as many as are ablated cumulatively."""
    mapped: dict[str, tuple[Stand, ...]] = {}
    """Model of the replication -> its heads that stand for the source's."""
    excluded: dict[str, tuple[str, ...]] = Field(default={}, exclude_if=lambda sites: not sites)
    """`aim(model, target)` -> heads that pass and that the study's `exclude` leaves out."""


class DiscoveryRow(Document):
    """What one arm did on the discovery items of a model and tier."""

    model: str
    tier: str
    arm: str
    n: int
    accuracy: float
    delta: float
    """Mean of edited minus baseline, a share."""
    psi: float
    """Share of items whose answer changed."""
    gained: int
    lost: int
    outcome: float | None = None
    """Mean of a continuous outcome, nats."""
    outcome_delta: float | None = None
    """Mean of its change, nats."""


class FamilyEvidence(GateEvidence):
    """The confirmatory family that discovery proposes, or the replication's."""

    table: tuple[DiscoveryRow, ...]
    family: tuple[Chosen, ...]
    dropped: tuple[str, ...]
    """Why cells were left out, in words."""


class LookEvidence(GateEvidence):
    """The verdicts of one look at the confirmation items."""

    look: int
    verdicts: dict[str, CellVerdict]
    """Cell -> its verdict."""
    ablations: dict[str, dict[Ablation, CellVerdict]] = {}
    """Cell that ablates -> ablation -> verdict (format 2)."""
    chance: dict[str, float] = {}
    """`pair_name(model, tier)` -> what guessing scores (format 2)."""
    margins: dict[str, float] = {}
    """`pair_name(model, tier)` -> the margin, a share or nats (format 2)."""
    readings: dict[str, dict[str, Reading]] = {}
    """Cell of a decoded tier -> `baseline` and `edited` -> how the answers could be read."""
    specific: dict[str, Specificity] = {}
    """Cell -> contrast with one matched random set (format 1)."""
    companions: dict[str, dict[str, Companion]] = {}
    """Cell -> mean and resample ablation beside its zeroing (format 1)."""
    dissociations: dict[str, dict[str, Dissociation]] = Field(default={}, exclude_if=lambda found: not found)
    """Model -> question -> its verdict; at the first look of a study that asks."""
    matrix: dict[str, tuple[CellEffect, ...]] = Field(default={}, exclude_if=lambda found: not found)
    """Model -> what every target does to every task of the questions."""


class SpecificityEvidence(GateEvidence):
    """The rank of every target with a detected effect among its matched sets."""

    specific: dict[str, RankSpecificity]
    sets: dict[str, tuple[tuple[str, ...], ...]]
    """Cell -> its matched sets, in the order of their effects."""
    within: dict[str, Within] = {}
    """Cell -> the target among sets of its own layers."""
    inert: dict[str, tuple[int, ...]] = {}
    """Cell -> numbers of the sets in which nothing changed."""
    spoiled: dict[str, str] = {}
    """Cell -> why its rows cannot be trusted."""


Evidence = (
    InstrumentEvidence | BaselineEvidence | DetectionEvidence | FamilyEvidence | LookEvidence | SpecificityEvidence
)
EVIDENCE: Mapping[StageName, type[Evidence]] = {
    "instrument": InstrumentEvidence,
    "baseline": BaselineEvidence,
    "detect": DetectionEvidence,
    "discovery": FamilyEvidence,
    "confirm": LookEvidence,
    "specificity": SpecificityEvidence,
    "transfer": FamilyEvidence,
    "replicate": LookEvidence,
    "replicate_specificity": SpecificityEvidence,
}
"""Stage -> what its gate sees."""
E = TypeVar("E", bound=GateEvidence)


class GateVerdict(Document):
    """What a gate said of a stage, and what it saw."""

    stage: StageName
    attempt: int
    outcome: Outcome
    reason: str
    """In a sentence."""
    evidence: Evidence
    """The numbers that it read; its type is that of the stage."""

    @model_validator(mode="before")
    @classmethod
    def _typed(cls, raw: Any) -> Any:
        """Evidence read from a file, as the type of its stage."""
        if not isinstance(raw, dict):
            return raw
        given = cast("dict[str, Any]", raw)
        kind = EVIDENCE.get(given.get("stage", ""))
        if kind is not None and isinstance(given.get("evidence"), dict):
            return {**given, "evidence": kind.model_validate(given["evidence"])}
        return given

    @model_validator(mode="after")
    def _of_its_stage(self) -> Self:
        if type(self.evidence) is not EVIDENCE[self.stage]:
            raise ValueError(f"the evidence of {self.stage} is a {EVIDENCE[self.stage].__name__}")
        return self

    def saw(self, kind: type[E]) -> E:
        """The evidence, as the type that its reader needs.

        Raises:
            InputError: when the gate is of another stage.
        """
        if not isinstance(self.evidence, kind):
            raise InputError(f"the gate of {self.stage} has no {kind.__name__}")
        return self.evidence


def last_evidence(gates: Iterable[GateVerdict], stage: StageName, kind: type[E]) -> E | None:
    """What the last gate of a stage saw; nothing when the run did not reach it."""
    seen = [gate.saw(kind) for gate in gates if gate.stage == stage]
    return seen[-1] if seen else None
