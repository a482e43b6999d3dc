"""The ledger: an index of all runs in `ledger.sqlite`. The folders are the truth; it can be rebuilt at any time."""

import os
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from lesion.errors import InputError, LesionError, Tampered
from lesion.runs.check.certificate import certified
from lesion.runs.check.status import checked_status, claim, uncertified, unrepeated
from lesion.runs.folder.atomic_io import DiskError
from lesion.runs.folder.homes import remember_home
from lesion.runs.index.tags import read_marks
from lesion.runs.manifest.base import REPRODUCED
from lesion.runs.manifest.command import Entered, read_entered
from lesion.runs.manifest.run import Manifest

_TABLE = """
create table if not exists runs (
    run text primary key, seal text not null, command text not null, study text not null, status text not null,
    outcome text not null, scenario text not null, started text not null, cpu_seconds real not null,
    rows_hash text not null, key text not null, replay_of text, match text,
    gpu_seconds real not null, wall_seconds real not null, flop real not null, processor text not null,
    models text not null
)
"""
_CHAIN = "create table if not exists registrations (number integer primary key, hash text not null)"
_MARKS = "create table if not exists marks (run text primary key, tags text not null, superseded_by text, complete int)"
_COLUMNS = (
    "run", "seal", "command", "study", "status", "outcome", "scenario", "started", "cpu_seconds", "rows_hash",
    "key", "replay_of", "match", "gpu_seconds", "wall_seconds", "flop", "processor", "models",
)  # fmt: skip


class Entry(NamedTuple):
    """One run as the ledger knows it."""

    run: str
    seal: str
    command: str
    study: str
    """Name of the study; empty for a command that is none."""
    status: str
    outcome: str
    scenario: str
    started: str
    cpu_seconds: float
    rows_hash: str
    """Of all rows; of a command that is no study, of its result."""
    key: str
    """What ordered its confirmation items."""
    replay_of: str | None
    match: str | None
    gpu_seconds: float
    wall_seconds: float
    flop: float
    """Arithmetic of its rows had each been a whole forward pass; 0 when that was not counted."""
    processor: str
    models: str
    """Names of a study's models, a line each; empty for a command that is none."""
    replayed: bool
    """Whether another run repeated it, bit for bit or within the noise floor."""
    tags: tuple[str, ...] = ()
    superseded_by: str | None = None
    """Name of the run that takes its place."""
    complete: bool = False
    """Whether it was repeated from its manifest alone, in an environment of its own: by a certificate whose replay is
    here."""
    told: str = ""
    """The status that its row tells; `status` is what can be checked."""
    claimed: tuple[str, ...] = ()
    """What row or certificate say beyond what can be checked here, and why."""

    @property
    def standings(self) -> tuple[str, ...]:
        """All that `--status` finds it by, the last one being how it stands: `exploratory`, …, `superseded`."""
        repeated = ["replay"] if self.replay_of else []
        standings: list[str] = list(dict.fromkeys([self.status, self.command, *repeated]))
        others = {"stopped": self.outcome == "stopped", "complete": self.complete, "superseded": self.superseded_by}
        return (*reversed(standings), *(name for name, holds in others.items() if holds))


@contextmanager
def _open(home: Path) -> Generator[sqlite3.Connection]:
    try:
        home.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(home / "ledger.sqlite", timeout=30)) as connection, connection:
            _make(connection, home)
            yield connection
    except (OSError, sqlite3.OperationalError) as error:
        raise DiskError(
            f"{home / 'ledger.sqlite'}: cannot be used ({error}); the run folders are untouched. "
            "Make room or allow writing there"
        ) from error
    except sqlite3.Error as error:
        raise Tampered(
            f"{home / 'ledger.sqlite'}: is no ledger ({error}); the run folders are untouched. "
            "Take the file away: the next command makes it anew from them"
        ) from error


def _make(connection: sqlite3.Connection, home: Path) -> None:
    """The tables, and in them every finished run that the index missed, for instance because its process was killed."""
    if _outdated(connection):
        connection.execute("drop table runs")
    for table in (_TABLE, _CHAIN, _MARKS):
        connection.execute(table)
    indexed = {row[0] for row in connection.execute("select run from runs")}
    for name in sorted(_names(home) - indexed):
        with suppress(LesionError):  # named by `rebuild` and `verify`; it must not stop the others
            _insert(connection, home, own_manifest(home / "runs" / name))


def own_manifest(folder: Path) -> Entered:
    """The manifest of a folder that bears its run's name: a copy elsewhere never stands for the run itself."""
    manifest = read_entered(folder)
    if manifest.run != folder.name:
        raise InputError(f"{folder}: its manifest is that of {manifest.run[:100]}")
    return manifest


def _names(home: Path) -> set[str]:
    """Names of the folders that hold a manifest."""
    folder = str(home / "runs")
    if not os.path.isdir(folder):
        return set()
    return {name for name in os.listdir(folder) if os.path.exists(f"{folder}/{name}/manifest.json")}


def _outdated(connection: sqlite3.Connection) -> bool:
    """Whether the index was written by a version with other columns."""
    columns = {row[1] for row in connection.execute("pragma table_info(runs)")}
    return bool(columns) and columns != {*_COLUMNS}


def _manifests(home: Path) -> tuple[list[Entered], list[str]]:
    """Every manifest that can be trusted, and the names of the folders of the others."""
    good: list[Entered] = []
    bad: list[str] = []
    for path in sorted((home / "runs").glob("*/manifest.json")):
        try:
            good.append(own_manifest(path.parent))
        except LesionError:
            bad.append(path.parent.name)
    return good, bad


def _values(manifest: Entered) -> tuple[Any, ...]:
    """The row of a run, by `_COLUMNS`."""
    cost = manifest.cost
    if isinstance(manifest, Manifest):
        study, scenario = manifest.study.name, manifest.results.scenario
        rows_hash, key = manifest.rows_hash, manifest.key
        models = "\n".join(manifest.study.subjects)
    else:
        study, scenario, rows_hash, key, models = "", "", manifest.result_hash, "", ""
    return (
        manifest.run, manifest.seal, manifest.command, study, manifest.status, manifest.outcome,
        scenario, cost.started, cost.cpu_seconds, rows_hash, key,
        manifest.replay_of, manifest.match, cost.gpu_seconds, cost.wall_seconds, cost.flop,
        manifest.environment.processor, models,
    )  # fmt: skip


def _insert(connection: sqlite3.Connection, home: Path, manifest: Entered) -> None:
    places = ", ".join("?" * len(_COLUMNS))
    connection.execute(f"insert or replace into runs ({', '.join(_COLUMNS)}) values ({places})", _values(manifest))
    marks = read_marks(home, manifest.run)
    row = (manifest.run, " ".join(marks.tags), marks.superseded_by, certified(home, manifest))
    connection.execute("insert or replace into marks values (?, ?, ?, ?)", row)


def enter(home: Path, manifest: Entered) -> None:
    """Write a finished run down, with its marks and whether it is certified."""
    with _open(home) as connection:
        _insert(connection, home, manifest)
    remember_home(home)


def finish(home: Path, manifest: Manifest) -> None:
    """Enter a run that was closed just now; where that fails, the run counts as unfinished again.

    So the same command finishes it when there is room, and no second run of the same study begins.

    Raises:
        DiskError: when the ledger cannot be written.
    """
    try:
        enter(home, manifest)
    except DiskError as error:
        (home / "runs" / manifest.run / "manifest.json").unlink(missing_ok=True)
        raise DiskError(
            f"{error}. All units of {manifest.run} are kept: make room, and the same command finishes it"
        ) from error


def missed(home: Path) -> set[str]:
    """Finished runs that the ledger does not have, without entering them: their process was killed before it did."""
    path = home / "ledger.sqlite"
    if not path.exists():
        return _names(home)
    try:
        with closing(sqlite3.connect(path, timeout=30)) as connection:
            return _names(home) - {row[0] for row in connection.execute("select run from runs")}
    except sqlite3.Error:  # half made; whoever opens it next makes the tables
        return _names(home)


def seals(home: Path) -> dict[str, str]:
    """Run -> the seal that the ledger has for it, read without writing; empty where no ledger can be read."""
    path = home / "ledger.sqlite"
    if not path.exists():
        return {}
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            return dict(connection.execute("select run, seal from runs").fetchall())
    except sqlite3.Error:  # half made, or none: whoever opens it next to write says so
        return {}


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
        marks = {row[0]: row[1:] for row in connection.execute("select run, tags, superseded_by, complete from marks")}
    seals = {row[1]: row[0] for row in rows}
    claimed = [_entry(row, *marks.get(row[0], ("", None, 0))) for row in rows]
    checked = [_checked(home, entry, seals) for entry in claimed]
    proved = {entry.replay_of for entry in checked if entry.match in REPRODUCED}
    return [entry._replace(replayed=entry.seal in proved) for entry in checked]


def _checked(home: Path, entry: Entry, seals: dict[str, str]) -> Entry:
    """An entry that says no more than can be checked here."""
    claimed: list[str] = []
    if entry.status == "confirmatory" and (why := checked_status(home, entry.run, entry.told, entry.seal)):
        claimed.append(claim("confirmatory", why))
        entry = entry._replace(status="exploratory")
    if entry.match in REPRODUCED and (why := unrepeated(home, entry.run, seals)):
        claimed.append(claim(f"a {entry.match} replay", why))
        entry = entry._replace(match=None)
    if entry.complete and (why := uncertified(home, entry.run, seals)):
        claimed.append(claim("complete", why))
        entry = entry._replace(complete=False)
    return entry._replace(claimed=tuple(claimed))


def _entry(row: tuple[Any, ...], tags: str, superseded_by: str | None, complete: int) -> Entry:
    marks = {"tags": tuple(tags.split()), "superseded_by": superseded_by, "complete": bool(complete)}
    entry = Entry(*row, replayed=False)
    return entry._replace(told=entry.status, **marks)


def rebuild(home: Path) -> list[str]:
    """Make the ledger anew from the run folders; the names of folders whose manifest cannot be trusted."""
    good, bad = _manifests(home)
    with _open(home) as connection:
        connection.execute("delete from runs")
        connection.execute("delete from marks")
        for manifest in good:
            _insert(connection, home, manifest)
    return bad


def untrusted(home: Path) -> list[str]:
    """Names of the run folders whose manifest cannot be trusted, or does not say what their row in the ledger says."""
    good, bad = _manifests(home)
    with _open(home) as connection:
        rows = connection.execute(f"select {', '.join(_COLUMNS)} from runs").fetchall()
    known = {row[0]: tuple(row) for row in rows}
    return sorted([*bad, *(m.run for m in good if known.get(m.run, _values(m)) != _values(m))])


def sums(home: Path) -> dict[str, dict[str, float]]:
    """Kind of run (its command and status, and `all`) -> runs, processor, accelerator and wall hours."""
    totals: dict[str, dict[str, float]] = {}
    for entry in known(home):
        for kind in (f"{entry.command}, {entry.status}", "all"):
            line = totals.setdefault(kind, {"runs": 0, "cpu_hours": 0.0, "gpu_hours": 0.0, "wall_hours": 0.0})
            line["runs"] += 1
            line["cpu_hours"] += entry.cpu_seconds / 3600
            line["gpu_hours"] += entry.gpu_seconds / 3600
            line["wall_hours"] += entry.wall_seconds / 3600
    return totals


def check_seal(home: Path, manifest: Entered) -> None:
    """Hold a manifest against the ledger, where it is known there.

    Raises:
        Tampered: when the ledger has another seal for this run.
    """
    known = {entry.run: entry.seal for entry in entries(home)} if (home / "ledger.sqlite").exists() else {}
    if known.get(manifest.run, manifest.seal) != manifest.seal:
        raise Tampered(f"{manifest.run}: the ledger has another seal for this run; its manifest was forged")
