"""The audit: every run of a study, whatever came of it, with what a sceptic asks of each.

Failed, stopped, superseded, exploratory and repeated runs stand beside those that the paper rests on; so do folders
that were begun and not finished, and those whose manifest cannot be trusted.
"""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import polars as pl

from lesion.errors import InputError, LesionError
from lesion.runs.check.certificate import certificate_path, read_certificate
from lesion.runs.index.ledger import Entry, known, untrusted
from lesion.runs.index.selection import unfinished
from lesion.runs.index.tags import read_marks
from lesion.runs.manifest.run import Manifest, read_manifest

COLUMNS: dict[str, Any] = {
    "run": pl.String,
    "started": pl.String,
    "command": pl.String,
    "status": pl.String,
    "outcome": pl.String,
    "reason": pl.String,
    "scenario": pl.String,
    "standing": pl.String,
    "commit": pl.String,
    "dirty": pl.Boolean,
    "manifest": pl.String,
    "study_hash": pl.String,
    "registration": pl.String,
    "registration_number": pl.Int64,
    "replay": pl.String,
    "deviations": pl.List(pl.String),
    "gates": pl.List(pl.String),
    "cpu_seconds": pl.Float64,
    "gpu_seconds": pl.Float64,
    "wall_seconds": pl.Float64,
    "rows_hash": pl.String,
}
"""`standing` is `used`, `superseded by NAME: why`, `passed over: why`, `unfinished`, `untrusted` or `folder gone`."""
_NOTHING: dict[str, Any] = {
    **dict.fromkeys(COLUMNS, ""), "dirty": None, "registration_number": None, "deviations": [], "gates": [],
    "cpu_seconds": None, "gpu_seconds": None, "wall_seconds": None,
}  # fmt: skip


def audit(home: Path, studies: Iterable[str], used: Mapping[str, str]) -> pl.DataFrame:
    """One row per run of these studies, the oldest first.

    Args:
        home: where `runs/` is.
        studies: names of studies.
        used: run -> how it stands towards the paper; runs without an entry are `passed over`.
    """
    names = set(studies)
    entries = [entry for entry in known(home) if entry.study in names]
    rows = [_row(home, entry, used.get(entry.run, "passed over")) for entry in entries]
    listed = {entry.run for entry in entries}
    bad = untrusted(home) if (home / "runs").is_dir() else []
    rows += [_bare(name, "untrusted") for name in bad if _of(name, names) and name not in listed]
    rows += [_bare(name, "unfinished") for name in unfinished(home) if _of(name, names)]
    return pl.DataFrame(rows, schema=COLUMNS).sort("started", "run")


def _of(folder: str, studies: set[str]) -> bool:
    """Whether a folder's name says that it is of one of the studies."""
    return any(fnmatchcase(folder, f"????????_????_{study}_*") for study in studies)


def _bare(run: str, standing: str) -> dict[str, Any]:
    started = f"{run[:4]}-{run[4:6]}-{run[6:8]}T{run[9:11]}:{run[11:13]}"
    return _NOTHING | {"run": run, "started": started, "standing": standing}


def _row(home: Path, entry: Entry, standing: str) -> dict[str, Any]:
    row = _NOTHING | {
        "run": entry.run, "started": entry.started, "command": entry.command, "status": entry.status,
        "outcome": entry.outcome, "scenario": entry.scenario if entry.outcome == "complete" else "",
        "manifest": entry.seal, "cpu_seconds": entry.cpu_seconds, "gpu_seconds": entry.gpu_seconds,
        "wall_seconds": entry.wall_seconds, "rows_hash": entry.rows_hash,
    }  # fmt: skip
    try:
        manifest = read_manifest(home / "runs" / entry.run)
    except InputError:
        return row | {"standing": "folder gone", "replay": _replayed(entry)}
    except LesionError:
        return row | {"standing": "untrusted"}
    if manifest.seal != entry.seal:
        return row | {"standing": "untrusted"}
    return row | _facts(manifest) | {"standing": _standing(home, entry, standing), "replay": replayed(home, entry)}


def _facts(manifest: Manifest) -> dict[str, Any]:
    registration = manifest.registration
    return {
        "reason": manifest.ending.reason,
        "commit": manifest.code.commit or "",
        "dirty": manifest.code.dirty,
        "study_hash": manifest.study_hash,
        "registration": registration.hash() if registration else "",
        "registration_number": registration.number if registration else None,
        "deviations": list(manifest.deviations),
        "gates": [f"{gate.stage} {gate.outcome}" for gate in manifest.gates],
    }


def _standing(home: Path, entry: Entry, standing: str) -> str:
    if entry.superseded_by is None or standing == "used":
        return standing
    return f"superseded by {entry.superseded_by}: {read_marks(home, entry.run).reason}"


def replayed(home: Path, entry: Entry) -> str:
    """Whether and how it was repeated: by certificate, in the same environment only, or not at all."""
    path = certificate_path(home, entry.run)
    if path.exists():
        try:
            certificate = read_certificate(path)
        except LesionError:
            return "certificate cannot be trusted"
        if certificate.run_seal == entry.seal:
            return f"{'certified' if entry.complete else 'repeated afresh, NOT reproduced'}, {certificate.match}"
    return _replayed(entry)


def _replayed(entry: Entry) -> str:
    if entry.replay_of:
        return f"repeats {entry.replay_of[:12]}, {entry.match}"
    return "repeated, not certified" if entry.replayed else "not repeated"
