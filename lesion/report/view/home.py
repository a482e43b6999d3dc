"""The runs of a home folder as its folders show them: one line for each, and a sentence for a folder that is broken.

The ledger is only asked for the seals that it has, and nothing is written: a viewer must not change what it shows.
"""

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from lesion.errors import InputError, LesionError
from lesion.report.wording.scenario_words import scenario_words
from lesion.report.wording.words import model_name
from lesion.runs.check.status import counted
from lesion.runs.folder.find import beside
from lesion.runs.folder.run_folder import read_begun
from lesion.runs.index.ledger import own_manifest, seals
from lesion.runs.index.tags import read_marks
from lesion.runs.manifest.command import Call, Entered

UNFINISHED = ("running", "interrupted")
"""Outcomes of a run that has no manifest yet."""
NO_STUDY = "-"
"""How a filter names the commands that belong to no study."""


class Line(NamedTuple):
    """One run in the list."""

    run: str
    command: str
    study: str
    """Empty for a command that is no study."""
    status: str
    """As what it counts here; see `lesion.runs.check.status`."""
    outcome: str
    """`complete`, `stopped`, `failed`, `running` or `interrupted`."""
    models: tuple[str, ...]
    started: str
    scenario: str = ""
    seconds: float = 0.0
    """Wall time."""
    seal: str = ""
    claimed: tuple[str, ...] = ()
    """What it says of itself that cannot be checked here."""
    superseded_by: str = ""


class Broken(NamedTuple):
    """A folder that cannot be shown as a run."""

    run: str
    why: str


class Wanted(NamedTuple):
    """Filters of the list; an empty one lets every run through."""

    status: str = ""
    study: str = ""
    model: str = ""
    outcome: str = ""


class Listing(NamedTuple):
    """All runs of a home folder."""

    lines: tuple[Line, ...]
    """The newest first."""
    broken: tuple[Broken, ...]

    def choices(self) -> dict[str, list[str]]:
        """Filter -> the values that it can have here."""
        studies = {line.study or NO_STUDY for line in self.lines}
        return {
            "status": sorted({line.status for line in self.lines}),
            "study": sorted(studies),
            "model": sorted({model for line in self.lines for model in line.models}),
            "outcome": sorted({line.outcome for line in self.lines}),
        }

    def select(self, wanted: Wanted) -> list[Line]:
        """The runs that pass every filter."""
        return [
            line
            for line in self.lines
            if wanted.status in ("", line.status)
            and wanted.study in ("", line.study or NO_STUDY)
            and (not wanted.model or wanted.model in line.models)
            and wanted.outcome in ("", line.outcome)
        ]


def folder_in(home: Path, name: str) -> Path:
    """The folder of a run of this home, by its whole name.

    Raises:
        InputError: when `runs/` has no such folder of its own; a link is none.
    """
    folder = beside(home, name, "x").with_name(name)
    if folder.is_symlink() or not folder.is_dir():
        raise InputError(f"there is no run '{name[:100]}' in this home folder; go back to the list of runs")
    return folder


def listing(home: Path) -> Listing:
    """Every run of a home folder, finished or not."""
    lines: list[Line] = []
    broken: list[Broken] = []
    known = seals(home)
    for folder in _folders(home):
        try:
            line = _line(home, folder)
            if line.seal and known.get(line.run, line.seal) != line.seal:
                raise InputError("the ledger has another seal for this run, so its manifest was changed")
        except (LesionError, OSError) as error:
            broken.append(Broken(folder.name, str(error).removeprefix(f"{folder}: ")[:300]))
        else:
            lines.append(line)
    return Listing(tuple(sorted(lines, key=lambda line: (line.started, line.run), reverse=True)), tuple(broken))


def _folders(home: Path) -> Iterator[Path]:
    """The folders in `runs/`; files beside them, such as marks and certificates, are none."""
    place = home / "runs"
    names = sorted(os.listdir(place)) if place.is_dir() else []
    return (place / name for name in names if not name.startswith(".") and (place / name).is_dir())


def _line(home: Path, folder: Path) -> Line:
    if folder.is_symlink():
        raise InputError("is a symbolic link; only folders that lie in runs/ themselves are shown")
    path = folder / "manifest.json"
    if not path.exists():
        return _unfinished(folder)
    manifest_line = _finished(folder, *_version(path))
    standing = counted(folder, manifest_of(folder)) if manifest_line.status == "confirmatory" else None
    if standing is not None:
        manifest_line = manifest_line._replace(status=standing.status, claimed=standing.claimed)
    return manifest_line._replace(superseded_by=read_marks(home, folder.name).superseded_by or "")


def _version(path: Path) -> tuple[int, int]:
    """What changes when a file does."""
    seen = path.stat()
    return seen.st_mtime_ns, seen.st_size


@lru_cache(maxsize=10_000)
def _finished(folder: Path, changed: int, size: int) -> Line:  # noqa: ARG001  (they tell a changed file)
    manifest = own_manifest(folder)
    study, scenario = ("", "") if isinstance(manifest, Call) else (manifest.study.name, scenario_words(manifest))
    named = [model.name for model in manifest.models] if isinstance(manifest, Call) else manifest.study.models
    return Line(
        run=manifest.run, command=manifest.command, study=study, status=manifest.status, outcome=manifest.outcome,
        models=tuple(dict.fromkeys(map(model_name, named))), started=manifest.cost.started, scenario=scenario,
        seconds=manifest.cost.wall_seconds, seal=manifest.seal,
    )  # fmt: skip


def manifest_of(folder: Path) -> Entered:
    """The manifest of a finished run, its seal checked.

    Raises:
        InputError: when it is none, or that of another folder.
        Tampered: when its content does not fit its seal.
    """
    return _manifest(folder, *_version(folder / "manifest.json"))


@lru_cache(maxsize=8)
def _manifest(folder: Path, changed: int, size: int) -> Entered:  # noqa: ARG001  (they tell a changed file)
    return own_manifest(folder)


def _unfinished(folder: Path) -> Line:
    if not (folder / "begun.json").exists():
        raise InputError("is no run: it holds neither manifest.json nor begun.json")
    begun = read_begun(folder / "begun.json")
    return Line(
        run=folder.name, command=begun.command, study=begun.study, status=begun.status,
        outcome="running" if is_held(folder) else "interrupted", models=(), started=begun.started,
    )  # fmt: skip


def is_held(folder: Path) -> bool:
    """Whether a process on this machine holds the run's lock; looked up in /proc, because trying the lock takes it."""
    try:
        inode = str((folder / ".lock").stat().st_ino)
        lines = Path("/proc/locks").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return False
    fields = (line.split() for line in lines)
    return any("FLOCK" in words and words[-3].rpartition(":")[2] == inode for words in fields if len(words) > 5)
