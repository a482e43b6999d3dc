"""A run folder as the report reads it: the manifest with its results typed, and the tables."""

from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from pydantic import TypeAdapter

from lesion.runs.manifest import Manifest
from lesion.runs.store import RunFolder, Unit
from lesion.stats.companion import Companion
from lesion.stats.specific import Specificity
from lesion.stats.verdict import CellVerdict
from lesion.study.plan import Chosen
from lesion.study.reading import Reading
from lesion.study.study import DetectedHeads

_CELLS = TypeAdapter(dict[str, CellVerdict])
_SPECIFIC = TypeAdapter(dict[str, Specificity])
_BESIDE = TypeAdapter(dict[str, dict[str, Companion]])
_READ = TypeAdapter(dict[str, dict[str, Reading]])


class Finding(NamedTuple):
    """One member of the confirmatory family with all that was decided about it."""

    chosen: Chosen
    verdict: CellVerdict
    specific: Specificity | None
    """Target against matched random set; nothing without control sets."""
    licensed: bool
    """May the claim say what kind of heads they are? Only if the positive control holds, the effect is specific, and it
    does not rest on zero alone."""
    companions: dict[str, Companion]
    """Mean and resample ablation of a zeroed target on the same items, by name; empty for other factors."""
    readings: dict[str, Reading]
    """How the answers of `baseline` and `edited` could be read; empty where none were written out."""


class Record(NamedTuple):
    """One run."""

    manifest: Manifest
    items: pl.DataFrame
    prompts: pl.DataFrame
    units: tuple[Unit, ...]
    findings: tuple[Finding, ...]
    """In the family's order; empty when no confirmation was reached."""


class PositiveControl(NamedTuple):
    """Was zeroing the target Harm on the tier that must show it?"""

    tier: str
    verdicts: dict[str, str | None]
    """Model -> verdict of that cell."""
    holds: dict[str, bool]
    """Model -> whether it was Harm."""


def read_record(folder: Path, manifest: Manifest) -> Record:
    """Read a run folder; the manifest may be a draft that is not sealed yet.

    Raises:
        ValidationError: when the manifest's results are not verdicts.
    """
    run = RunFolder(folder)
    return Record(manifest, run.items(), run.prompts(), tuple(run.units()), findings_of(manifest))


def findings_of(manifest: Manifest) -> tuple[Finding, ...]:
    """The verdicts of a manifest, in the family's order."""
    cells = _CELLS.validate_python(manifest.results.get("cells", {}))
    specific = _SPECIFIC.validate_python(manifest.results.get("specific", {}))
    beside = _BESIDE.validate_python(manifest.results.get("companions", {}))
    readings = _READ.validate_python(manifest.results.get("readings", {}))
    control = positive_control(manifest)
    found: list[Finding] = []
    for chosen in manifest.plan.family:
        if chosen.id in cells:
            against = specific.get(chosen.id)
            holds = control is not None and control.holds.get(chosen.model, False)
            cell = cells[chosen.id]
            licensed = holds and against is not None and against.holds and "zero_only" not in cell.tags
            found.append(
                Finding(chosen, cell, against, licensed, beside.get(chosen.id, {}), readings.get(chosen.id, {}))
            )
    return tuple(found)


def positive_control(manifest: Manifest) -> PositiveControl | None:
    """The study's positive control, or nothing when it has none or the run did not reach it."""
    told: Any = manifest.results.get("positive_control")
    return PositiveControl(**told) if told else None


def detector_of(manifest: Manifest) -> str | None:
    """Name of the detector that picked the heads; nothing when the study named its sites."""
    target = manifest.study.sweep.target
    return target.detector if isinstance(target, DetectedHeads) else None


def gate_evidence(manifest: Manifest, stage: str) -> dict[str, Any]:
    """What the last gate of a stage saw; empty when the run did not reach it."""
    seen: list[dict[str, Any]] = [dict(gate.evidence) for gate in manifest.gates if gate.stage == stage]
    return seen[-1] if seen else {}
