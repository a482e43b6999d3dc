"""The ledger: an index of all runs in `ledger.sqlite`. The folders are the truth; it can be rebuilt at any time."""

import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from lesion.errors import LesionError, Tampered
from lesion.runs.manifest import REPRODUCED, Manifest, read_manifest

_TABLE = """
create table if not exists runs (
    run text primary key, seal text not null, command text not null, study text not null, status text not null,
    outcome text not null, scenario text not null, started text not null, cpu_seconds real not null,
    rows_hash text not null, key text not null, replay_of text, match text,
    gpu_seconds real not null, wall_seconds real not null, flop real not null, processor text not null
)
"""
_CHAIN = "create table if not exists registrations (number integer primary key, hash text not null)"
_COLUMNS = (
    "run", "seal", "command", "study", "status", "outcome", "scenario", "started", "cpu_seconds", "rows_hash",
    "key", "replay_of", "match", "gpu_seconds", "wall_seconds", "flop", "processor",
)  # fmt: skip


class Entry(NamedTuple):
    """One run as the ledger knows it."""

    run: str
    seal: str
    command: str
    study: str
    status: str
    outcome: str
    scenario: str
    started: str
    cpu_seconds: float
    rows_hash: str
    key: str
    """What ordered its confirmation items."""
    replay_of: str | None
    match: str | None
    gpu_seconds: float
    wall_seconds: float
    flop: float
    """Arithmetic of its rows had each been a whole forward pass; 0 when that was not counted."""
    processor: str
    replayed: bool
    """Whether another run repeated it, bit for bit or within the noise floor."""


@contextmanager
def _open(home: Path) -> Generator[sqlite3.Connection]:
    home.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(home / "ledger.sqlite", timeout=30)) as connection, connection:
        if _outdated(connection):
            connection.execute("drop table runs")
            connection.execute(_TABLE)
            for manifest in _manifests(home)[0]:
                _insert(connection, manifest)
        connection.execute(_TABLE)
        connection.execute(_CHAIN)
        yield connection


def _outdated(connection: sqlite3.Connection) -> bool:
    """Whether the index was written by a version with other columns."""
    found = {row[1] for row in connection.execute("pragma table_info(runs)")}
    return bool(found) and found != {*_COLUMNS}


def _manifests(home: Path) -> tuple[list[Manifest], list[str]]:
    """Every manifest that can be trusted, and the names of the folders of the others."""
    good: list[Manifest] = []
    bad: list[str] = []
    for path in sorted((home / "runs").glob("*/manifest.json")):
        try:
            good.append(read_manifest(path))
        except LesionError:
            bad.append(path.parent.name)
    return good, bad


def _insert(connection: sqlite3.Connection, manifest: Manifest) -> None:
    cost = manifest.cost
    values = (
        manifest.run, manifest.seal, manifest.command, manifest.study.name, manifest.status, manifest.outcome,
        str(manifest.results.get("scenario", "")), cost.started, cost.cpu_seconds, manifest.rows_hash, manifest.key,
        manifest.replay_of, manifest.match, cost.gpu_seconds, cost.wall_seconds, cost.flop,
        manifest.environment.processor,
    )  # fmt: skip
    marks = ", ".join("?" * len(_COLUMNS))
    connection.execute(f"insert or replace into runs ({', '.join(_COLUMNS)}) values ({marks})", values)


def enter(home: Path, manifest: Manifest) -> None:
    """Write a finished run down."""
    with _open(home) as connection:
        _insert(connection, manifest)


def known(home: Path) -> list[Entry]:
    """Every run of this home; an index that is missing is made anew first, so deleting it hides nothing."""
    if not (home / "ledger.sqlite").exists():
        if not (home / "runs").is_dir():
            return []
        rebuild(home)
    return entries(home)


def remember(home: Path, number: int, digest: str) -> None:
    """Note a registration, so that one that is taken off the end of the chain is missed."""
    with _open(home) as connection:
        connection.execute("insert or replace into registrations values (?, ?)", (number, digest))


def remembered(home: Path) -> dict[int, str]:
    """Number -> hash of every registration that was noted."""
    if not (home / "ledger.sqlite").exists():
        return {}
    with _open(home) as connection:
        return dict(connection.execute("select number, hash from registrations order by number").fetchall())


def entries(home: Path) -> list[Entry]:
    """Every run in the ledger, the oldest first."""
    with _open(home) as connection:
        rows = connection.execute(f"select {', '.join(_COLUMNS)} from runs order by started, run").fetchall()
    proved = {row[11] for row in rows if row[12] in REPRODUCED}
    return [Entry(*row, replayed=row[1] in proved) for row in rows]


def rebuild(home: Path) -> list[str]:
    """Make the ledger anew from the run folders; the names of folders whose manifest cannot be trusted."""
    good, bad = _manifests(home)
    with _open(home) as connection:
        connection.execute("delete from runs")
        for manifest in good:
            _insert(connection, manifest)
    return bad


def sums(home: Path) -> dict[str, dict[str, float]]:
    """Kind of run (its command and status, and `all`) -> runs, processor, accelerator and wall hours."""
    found: dict[str, dict[str, float]] = {}
    for entry in known(home):
        for kind in (f"{entry.command}, {entry.status}", "all"):
            line = found.setdefault(kind, {"runs": 0, "cpu_hours": 0.0, "gpu_hours": 0.0, "wall_hours": 0.0})
            line["runs"] += 1
            line["cpu_hours"] += entry.cpu_seconds / 3600
            line["gpu_hours"] += entry.gpu_seconds / 3600
            line["wall_hours"] += entry.wall_seconds / 3600
    return found


def check_seal(home: Path, manifest: Manifest) -> None:
    """Hold a manifest against the ledger, where it is known there.

    Raises:
        Tampered: when the ledger has another seal for this run.
    """
    known = {entry.run: entry.seal for entry in entries(home)} if (home / "ledger.sqlite").exists() else {}
    if known.get(manifest.run, manifest.seal) != manifest.seal:
        raise Tampered(f"{manifest.run}: the ledger has another seal for this run; its manifest was forged")
