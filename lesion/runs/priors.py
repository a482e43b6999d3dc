"""What was run before: earlier runs of a study and of studies akin to it, finished or cut off.

A study under a new name that asks the same models the same kinds of task is not a study that nobody has looked at.
"""

import json
from pathlib import Path

from lesion.errors import InputError
from lesion.runs.ledger import known
from lesion.runs.store import Begun, read_begun
from lesion.study.load import parse_document
from lesion.study.register import akin
from lesion.study.study import Study

NAMED = 5
"""So many runs are named; the others are counted."""


def unfinished(home: Path) -> list[tuple[str, Begun]]:
    """Name and beginning of every run that was cut off: its rows are on disk and may have been looked at."""
    found: list[tuple[str, Begun]] = []
    for path in sorted((home / "runs").glob("*/begun.json")):
        begun = read_begun(path)
        if begun.status != "dry-run" and not (path.parent / "manifest.json").exists():
            found.append((path.parent.name, begun))
    return found


def runs_of(home: Path, study: str) -> tuple[str, ...]:
    """Every run of studies of this name, replays among them, the cut-off ones last."""
    ended = [entry.run for entry in known(home) if entry.study == study and entry.status != "dry-run"]
    cut_off = [run for run, begun in unfinished(home) if begun.study == study]
    return tuple(dict.fromkeys([*ended, *cut_off]))


def runs_akin(home: Path, study: Study) -> tuple[str, ...]:
    """Every run of a study of another name that shares a model and a kind of task; one whose folder is gone counts."""
    others = [
        entry.run
        for entry in known(home)
        if entry.study != study.name and entry.status != "dry-run" and entry.command == "run"
    ]
    others += [run for run, begun in unfinished(home) if begun.study != study.name and begun.command == "run"]
    return tuple(run for run in dict.fromkeys(others) if _akin(home / "runs" / run, study))


def _akin(folder: Path, study: Study) -> bool:
    """Whether a run's study is akin to this one; a study that cannot be read any more is taken to be."""
    try:
        if (folder / "manifest.json").exists():
            manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
            return akin(study, Study.model_validate_json(json.dumps(manifest["study"])))
        return akin(study, parse_document((folder / "study.yaml").read_bytes(), "study.yaml", Study))
    except (OSError, ValueError, KeyError, InputError):
        return True


def told_of_name(runs: tuple[str, ...]) -> list[str]:
    """A sentence about earlier runs of a study of this name, or nothing."""
    return [f"Made before: {len(runs)} run(s) of a study of this name ({_named(runs)})."] if runs else []


def told_akin(runs: tuple[str, ...]) -> list[str]:
    """A sentence about earlier runs under other names, or nothing."""
    said = f"Made before, under other names, on the same models and kinds of task: {len(runs)} run(s) ({_named(runs)})."
    return [said] if runs else []


def _named(runs: tuple[str, ...]) -> str:
    left = len(runs) - NAMED
    return ", ".join(runs[:NAMED]) + (f" and {left} more" if left > 0 else "")
