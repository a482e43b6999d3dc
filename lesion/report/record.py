"""A run folder as the report reads it: the manifest with its results typed, and the tables."""

from pathlib import Path
from typing import NamedTuple

import polars as pl

from lesion.report.findings import Finding, findings_of, positive_control
from lesion.runs.folder.run_folder import RunFolder, Unit
from lesion.runs.manifest.run import Manifest
from lesion.study.arms.targets import DetectedHeads


class Record(NamedTuple):
    """One run."""

    manifest: Manifest
    items: pl.DataFrame
    prompts: pl.DataFrame
    units: tuple[Unit, ...]
    findings: tuple[Finding, ...]
    """In the family's order; empty when no confirmation was reached."""


def read_record(folder: Path, manifest: Manifest) -> Record:
    """Read a run folder; the manifest may be a draft that is not sealed yet.

    Raises:
        ValidationError: when the manifest's results are not verdicts.
    """
    run = RunFolder(folder)
    return Record(manifest, run.items(), run.prompts(), tuple(run.units()), findings_of(manifest))


def own(record: Record) -> tuple[Finding, ...]:
    """The study's own cells: all but those of its positive control, which are reported as a control (format 2)."""
    control = positive_control(record.manifest)
    if control is None or record.manifest.study.claims is None:
        return record.findings
    return tuple(f for f in record.findings if f.chosen.tier != control.tier or f.chosen.ablation is None)


def detector_of(manifest: Manifest) -> str | None:
    """Name of the detector that picked the heads; nothing when there is none, or several targets have others."""
    named = manifest.study.sweep.named.values()
    found = {target.detector if isinstance(target, DetectedHeads) else None for target in named}
    return found.pop() if len(found) == 1 else None
