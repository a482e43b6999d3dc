"""Which runs of the ledger are meant: by study, standing, tag, date and whether they were replayed."""

import os
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from lesion.errors import InputError, nearest
from lesion.runs.index.ledger import Entry

STANDINGS = ("exploratory", "confirmatory", "dry-run", "run", "replay", "stopped", "complete", "superseded")


class Wanted(NamedTuple):
    """What a run must be to be listed; an empty value asks for nothing."""

    study: str = ""
    """Name of the study; * and ? stand for any letters."""
    status: Sequence[str] = ()
    """Standings, all of which it must have."""
    tags: Sequence[str] = ()
    """Tags, all of which it must bear."""
    since: str = ""
    """First day or moment, ISO 8601, UTC."""
    until: str = ""
    """Last day or moment, ISO 8601, UTC."""
    replayed: bool = False
    """Only runs that were repeated."""
    last: int = 0
    """Only so many of the newest; 0 is all."""
    command: str = ""
    """The command; * and ? stand for any letters."""


def select(entries: Iterable[Entry], wanted: Wanted) -> list[Entry]:
    """The runs that are wanted, the oldest first.

    Raises:
        InputError: for a status that there is not.
    """
    for name in wanted.status:
        if name not in STANDINGS:
            raise InputError(f"--status '{name}': {nearest(name, STANDINGS)}")
    found = [entry for entry in entries if _fits(entry, wanted)]
    return found[-wanted.last :] if wanted.last else found


def _fits(entry: Entry, wanted: Wanted) -> bool:
    return (
        fnmatchcase(entry.study, wanted.study or "*")
        and fnmatchcase(entry.command, wanted.command or "*")
        and set(wanted.status) <= {*entry.standings}
        and set(wanted.tags) <= {*entry.tags}
        and entry.started >= wanted.since
        and entry.started[: len(wanted.until)] <= wanted.until
        and (entry.replayed or not wanted.replayed)
    )


def unfinished(home: Path) -> list[str]:
    """Names of the run folders that were begun and have no manifest: still running, or cut off."""
    folder = str(home / "runs")
    if not os.path.isdir(folder):
        return []
    begun = (name for name in os.listdir(folder) if not os.path.exists(f"{folder}/{name}/manifest.json"))
    return sorted(name for name in begun if os.path.exists(f"{folder}/{name}/begun.json"))
