"""A finished run, or a recorded command, as its page shows it: from the sealed manifest, in words for the template."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lesion.report.figures.parts.palette import VERDICT_SIGNS
from lesion.report.findings import Finding, findings_of
from lesion.report.record import Record, read_record
from lesion.report.wording.claims import status_words
from lesion.report.wording.evidence import ranks
from lesion.report.wording.headline import headline
from lesion.report.wording.last_words import how_sure
from lesion.report.wording.words import labelled, model_name, tier_name, unit_of
from lesion.runs.check.status import claim, counted, unrepeated
from lesion.runs.folder.published import LEFT_OUT
from lesion.runs.manifest.base import REPRODUCED
from lesion.runs.manifest.command import Call
from lesion.runs.manifest.run import Manifest
from lesion.study.rows import PROMPTS, empty, shape_of

ENTRY_FILES = ("report.html", "README.md", "manifest.json")
"""The files that a page names first."""


class VerdictRow(NamedTuple):
    """One line of the verdict table."""

    sign: str
    verdict: str
    model: str
    tier: str
    edit: str
    change: str
    interval: str
    n: str
    specific: str


class Finished(NamedTuple):
    """A finished run of a study."""

    manifest: Manifest
    status: str
    """As what it counts here."""
    status_words: str
    claimed: tuple[str, ...]
    headline: str
    how_sure: str
    unit: str
    models: tuple[str, ...]
    verdicts: tuple[VerdictRow, ...]
    repeats: str
    """The run that it repeats, and how it compares; empty where it repeats none that can be checked here."""
    entry_files: tuple[str, ...]
    figures: tuple[str, ...]
    files: tuple[str, ...]
    """All other files but the tables and records of single units, which are many."""


def finished(home: Path, folder: Path, manifest: Manifest, names: dict[str, str]) -> Finished:
    """The page of a finished run.

    Args:
        home: where `runs/` is.
        folder: the run folder.
        manifest: its manifest, checked.
        names: seal -> name of every run of this home.
    """
    standing = counted(folder, manifest)
    manifest = manifest.model_copy(update={"status": standing.status})
    record = _record(folder, manifest)
    repeats, claimed = _repeats(home, manifest, names)
    files = sorted({*manifest.files, "manifest.json"})
    figures = tuple(name for name in files if name.startswith("figures/") and name.endswith(".svg"))
    first = tuple(name for name in ENTRY_FILES if name in files)
    return Finished(
        manifest=manifest,
        status=standing.status,
        status_words=status_words(manifest),
        claimed=(*standing.claimed, *claimed),
        headline=headline(record),
        how_sure=how_sure(record),
        unit=unit_of(manifest.study).name,
        models=tuple(map(model_name, manifest.study.models)),
        verdicts=tuple(_row(record, finding) for finding in record.findings),
        repeats=repeats,
        entry_files=first,
        figures=figures,
        files=tuple(name for name in files if name not in (*first, *figures) and not name.startswith(LEFT_OUT)),
    )


def _record(folder: Path, manifest: Manifest) -> Record:
    """The run without its rows, which only a run that stopped before its first verdict is described by."""
    found = findings_of(manifest)
    if manifest.outcome == "stopped" and not found:
        return read_record(folder, manifest)
    return Record(manifest, empty(shape_of(decoded=False)), empty(PROMPTS), (), found)


def _row(record: Record, finding: Finding) -> VerdictRow:
    chosen, verdict, study = finding.chosen, finding.verdict, record.manifest.study
    unit = unit_of(study)
    specific = "–"
    if study.claims is not None:
        specific = ranks.short(record, finding)
    elif finding.specific is not None:
        specific = "yes" if finding.specific.holds else "no"
    return VerdictRow(
        sign=VERDICT_SIGNS[verdict.verdict],
        verdict=verdict.verdict,
        model=model_name(chosen.model),
        tier=tier_name(study, chosen.tier),
        edit=labelled(chosen),
        change=unit.said(verdict.delta),
        interval=unit.span(verdict.ci_low, verdict.ci_high),
        n=f"{verdict.n:,}",
        specific=specific,
    )


def _repeats(home: Path, manifest: Manifest | Call, names: dict[str, str]) -> tuple[str, Sequence[str]]:
    """What a replay repeats, and what it claims beyond what can be checked here."""
    if manifest.match not in REPRODUCED:
        return (f"{names.get(manifest.replay_of, 'a run that is not here')}: {manifest.match}", ()) if (
            manifest.replay_of) else ("", ())  # fmt: skip
    if why := unrepeated(home, manifest.run, names):
        return "", (claim(f"a {manifest.match} replay", why),)
    return f"{names[str(manifest.replay_of)]}: {manifest.match}", ()
