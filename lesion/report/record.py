"""A run folder as the report reads it: the manifest with its results typed, and the tables."""

from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from pydantic import TypeAdapter

from lesion.runs.manifest import Manifest
from lesion.runs.store import RunFolder, Unit
from lesion.stats.companion import Companion
from lesion.stats.rank_specificity import RankSpecificity
from lesion.stats.specific import Specificity
from lesion.stats.verdict import CellVerdict
from lesion.study.plan import Chosen
from lesion.study.reading import Reading
from lesion.study.specificity import Within
from lesion.study.study import DetectedHeads

_CELLS = TypeAdapter(dict[str, CellVerdict])
_SPECIFIC = TypeAdapter(dict[str, Specificity])
_BESIDE = TypeAdapter(dict[str, dict[str, Companion]])
_READ = TypeAdapter(dict[str, dict[str, Reading]])
_ABLATIONS = TypeAdapter(dict[str, dict[str, CellVerdict]])
_RANKS = TypeAdapter(dict[str, RankSpecificity])
_SETS = TypeAdapter(dict[str, tuple[tuple[str, ...], ...]])
_WITHIN = TypeAdapter(dict[str, Within])
_CHANCE = TypeAdapter(dict[str, float])


class Finding(NamedTuple):
    """One member of the confirmatory family with all that was decided about it."""

    chosen: Chosen
    verdict: CellVerdict
    specific: Specificity | None
    """Target against matched random set; nothing without control sets."""
    licensed: bool
    """May the claim say what kind of heads they are? Only if the positive control holds, the effect is specific, and
    all ablations agree (format 1: and it does not rest on zero alone)."""
    companions: dict[str, Companion]
    """Mean and resample ablation of a zeroed target on the same items, by name; empty for other factors."""
    readings: dict[str, Reading]
    """How the answers of `baseline` and `edited` could be read; empty where none were written out."""
    ablations: dict[str, CellVerdict] = {}
    """Zero, mean and resample -> verdict by the same rule; empty where a factor scales the target, and in format 1."""
    rank: RankSpecificity | None = None
    """The target among matched sets; nothing where the cell did not ask, and in format 1."""
    within: Within | None = None
    """The target among sets of its own layers, where its rank is one in the whole model."""
    sets: tuple[tuple[str, ...], ...] = ()
    """The matched sets, in the order of the rank's effects."""
    chance: float | None = None
    """What the best constant answer scores on this tier; nothing in format 1."""

    @property
    def primary(self) -> str | None:
        """The ablation that decides this cell, where it is one."""
        return self.chosen.ablation

    @property
    def dependent(self) -> bool:
        """Whether the other ablations give another verdict, or none."""
        return "ablation_dependent" in self.verdict.tags


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
    readings = _READ.validate_python(manifest.results.get("readings", {}))
    if manifest.study.claims is not None:
        return _claimed(manifest, cells, readings)
    specific = _SPECIFIC.validate_python(manifest.results.get("specific", {}))
    beside = _BESIDE.validate_python(manifest.results.get("companions", {}))
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


def _claimed(
    manifest: Manifest, cells: dict[str, CellVerdict], readings: dict[str, dict[str, Reading]]
) -> tuple[Finding, ...]:
    """The verdicts of a study of format 2, each with its ablations, its rank and chance."""
    ablations = _ABLATIONS.validate_python(manifest.results.get("ablations", {}))
    ranks = _RANKS.validate_python(manifest.results.get("specific", {}))
    near = _WITHIN.validate_python(manifest.results.get("within", {}))
    sets = _SETS.validate_python(manifest.results.get("sets", {}))
    chance = _CHANCE.validate_python(manifest.results.get("chance", {}))
    control = positive_control(manifest)
    found: list[Finding] = []
    for chosen in manifest.plan.family:
        if chosen.id in cells:
            name, cell, rank = chosen.id, cells[chosen.id], ranks.get(chosen.id)
            holds = control is not None and control.holds.get(chosen.model, False)
            finding = Finding(
                chosen, cell, None, False, {}, readings.get(name, {}), ablations.get(name, {}), rank,
                near.get(name), sets.get(name, ()), chance.get(f"{chosen.model}|{chosen.tier}"),
            )  # fmt: skip
            agree = chosen.ablation is not None and not finding.dependent
            specific = rank is not None and rank.status == "specific"
            found.append(finding._replace(licensed=holds and agree and specific))
    return tuple(found)


def own(record: Record) -> tuple[Finding, ...]:
    """The study's own cells: all but those of its positive control, which are reported as a control (format 2)."""
    control = positive_control(record.manifest)
    if control is None or record.manifest.study.claims is None:
        return record.findings
    return tuple(f for f in record.findings if f.chosen.tier != control.tier or f.chosen.ablation is None)


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
