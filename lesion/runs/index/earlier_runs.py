"""What was run before: earlier runs of a study and of similar studies, finished or cut off, in every known ledger.

Renaming a study does not make its data unseen: a study with the same models and task types counts as already run.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lesion.errors import InputError
from lesion.outside.files import read_bytes
from lesion.runs.folder.run_folder import Begun, read_begun
from lesion.runs.index.ledger import known
from lesion.runs.manifest.base import raw_manifest
from lesion.study.format.load import parse_document
from lesion.study.format.yaml_reader import MOST_BYTES as MOST_STUDY_BYTES
from lesion.study.registration.registration import akin
from lesion.study.study import Study

NAMED = 5
"""So many runs are named; the others are counted."""


def unfinished(home: Path) -> list[tuple[str, Begun]]:
    """Name and beginning of every run that was cut off: its rows are on disk and may have been looked at."""
    started: list[tuple[str, Begun]] = []
    for path in sorted((home / "runs").glob("*/begun.json")):
        begun = read_begun(path)
        if begun.status != "dry-run" and not (path.parent / "manifest.json").exists():
            started.append((path.parent.name, begun))
    return started


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


class Earlier(NamedTuple):
    """What was found in the ledgers."""

    runs: tuple[str, ...]
    """Names of runs, each once."""
    ledgers: int
    """Ledgers that were searched."""


def earlier(home: Path, study: Study, ledgers: Sequence[Path] = ()) -> Earlier:
    """Every earlier run that may have shown something of this study's models and tasks.

    Args:
        home: the home folder in which the study is registered.
        study: which study.
        ledgers: other home folders that are known or named.
    """
    places = list(dict.fromkeys(place.resolve() for place in (home, *ledgers)))
    runs = [run for place in places for run in (*runs_of(place, study.name), *runs_akin(place, study))]
    runs += [run for place in places for run in commands_on(place, study)]
    return Earlier(tuple(dict.fromkeys(runs)), len(places))


def commands_on(home: Path, study: Study) -> tuple[str, ...]:
    """Every command, other than a study's run, that opened one of the study's models."""
    others = [entry.run for entry in known(home) if not entry.study]
    return tuple(run for run in others if _opened(home / "runs" / run, study))


def _opened(folder: Path, study: Study) -> bool:
    """Whether a command opened a model of the study; a record that cannot be read any more is taken to have done so."""
    try:
        manifest = raw_manifest(folder)
        return not {model["name"] for model in manifest["models"]}.isdisjoint(study.models)
    except (OSError, ValueError, KeyError, TypeError, InputError):
        return True


def told_earlier(before: Earlier) -> str:
    """What the search of the ledgers found, in a sentence; it never says that nothing was seen."""
    where = f"{before.ledgers} ledger{'' if before.ledgers == 1 else 's'}"
    if not before.runs:
        return f"The program searched {where} and found no earlier run on these models. It cannot search other places."
    many = f"{len(before.runs)} earlier run(s) on these models: {_named(before.runs)}"
    return f"The program searched {where} and found {many}."


def _akin(folder: Path, study: Study) -> bool:
    """Whether a run's study is akin to this one; a study that cannot be read any more is taken to be."""
    try:
        if (folder / "manifest.json").exists():
            manifest = raw_manifest(folder)
            return akin(study, Study.model_validate_json(json.dumps(manifest["study"])))
        return akin(study, parse_document(read_bytes(folder / "study.yaml", MOST_STUDY_BYTES), "study.yaml", Study))
    except (OSError, ValueError, KeyError, InputError):
        return True


def told_of_name(runs: tuple[str, ...]) -> list[str]:
    """A sentence about earlier runs of a study of this name, or nothing."""
    return [f"Made before: {len(runs)} run(s) of a study of this name ({_named(runs)})."] if runs else []


def told_akin(runs: tuple[str, ...]) -> list[str]:
    """A sentence about earlier runs under other names, or nothing."""
    sentence = (
        f"Made before, under other names, on the same models and kinds of task: {len(runs)} run(s) ({_named(runs)})."
    )
    return [sentence] if runs else []


def _named(runs: tuple[str, ...]) -> str:
    left = len(runs) - NAMED
    return ", ".join(runs[:NAMED]) + (f" and {left} more" if left > 0 else "")
