"""The manifest of a study's run: everything that is needed to repeat it, and the hashes of all that it left behind.

Its `seal` is the hash of all its other fields, so that a changed digit shows; the ledger keeps the seal as well.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from lesion.identity import Document
from lesion.runs.manifest.base import (
    REPRODUCED,
    Code,
    Cost,
    DatasetFacts,
    Environment,
    Match,
    ModelFacts,
    Sealed,
    Status,
    read_sealed,
)
from lesion.study.gates.evidence.model_answers import InstrumentAnswer
from lesion.study.gates.gate_verdict import GateVerdict, InstrumentEvidence, last_evidence
from lesion.study.plan import Ending, Plan
from lesion.study.registration.registration import Registration
from lesion.study.results import Results
from lesion.study.study import Study

__all__ = [
    "REPRODUCED", "Code", "Cost", "DatasetFacts", "Environment", "Manifest", "Match", "ModelFacts", "Status",
    "UnitFacts", "read_manifest",
]  # fmt: skip


class UnitFacts(Document):
    """One finished unit of work."""

    key: str
    """Content hash of its cell."""
    stage: str
    rows_hash: str
    """Hash of its rows, or of its answer."""


class Manifest(Sealed):
    """The record of a study's run."""

    format: Literal[2, 3] = 3
    kind: Literal["run"] = "run"
    ending: Ending
    """Why it ended, and where."""
    study: Study
    """With every default written out."""
    study_text: str
    """The file as it was given."""
    study_hash: str
    registration: Registration | None
    """The registration, whole, when the study was registered."""
    deviations: tuple[str, ...]
    """Amendments, and why a registered study's run is not confirmatory, in sentences."""
    key: str
    """What the confirmation items are ordered by."""
    plan: Plan
    """As it stood at the end."""
    plan_hashes: tuple[str, ...]
    """Hash of the plan before each stage and at the end."""
    gates: tuple[GateVerdict, ...]
    """Every gate in order, with what it saw."""
    results: Results
    """Verdicts of the family and the scenario."""
    units: tuple[UnitFacts, ...]
    rows_hash: str
    """Hash of all item rows in canonical order."""
    slim_hash: str = Field(default="", exclude_if=lambda digest: not digest)
    """Hash of the slim rows and questions that a publication keeps; empty in runs from before it was sealed."""

    def proofs(self) -> dict[str, InstrumentAnswer]:
        """Model -> what its instrument stage measured; empty where the run did not reach that gate."""
        seen = last_evidence(self.gates, "instrument", InstrumentEvidence)
        return seen.models if seen is not None else {}


def read_manifest(path: Path) -> Manifest:
    """Read a run's manifest and check its seal.

    Args:
        path: the run folder, or its manifest.json; of any format.

    Raises:
        InputError: when there is no such file, or it is not the manifest of a run.
        Tampered: when its content does not fit its seal.
    """
    return read_sealed(path, Manifest, "run", _upgraded)


def _upgraded(raw: dict[str, Any]) -> dict[str, Any]:
    """A document of format 3. Format 2 added kind, parameters and the study's seed by name; format 3 only types."""
    if raw["format"] == 1:
        return {**raw, "format": 3, "kind": "run", "parameters": {}, "seeds": {"study": raw["study"]["seed"]}}
    return {**raw, "format": 3}
