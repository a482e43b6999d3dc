"""Notes: rationale, anomalies and follow-ups, one timestamped file each, with front matter that links to runs."""

import re
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import yaml

from lesion.errors import InputError
from lesion.runs.folder.atomic_io import new_folder, write_text
from lesion.runs.folder.clock import iso, stamp
from lesion.runs.folder.find import small_text
from lesion.study.format.yaml_reader import read_source

NOTE_KINDS = ("rationale", "anomaly", "follow-up")


MOST_NOTE_BYTES = 1_000_000


class Note(NamedTuple):
    """A note as it is listed."""

    path: Path
    time: str
    """When it was noticed, ISO 8601, UTC."""
    kind: str
    topic: str
    runs: tuple[str, ...]
    """Names of the run folders that it is about."""
    text: str


def read_note(path: Path) -> Note:
    """Read a note.

    Raises:
        InputError: when its front matter is missing or not what `lesion note` writes.
    """
    text = small_text(path, MOST_NOTE_BYTES)
    _, mark, rest = text.partition("---\n")
    head, ends, body = rest.partition("\n---\n")
    if not text.startswith("---\n") or not mark or not ends:
        raise InputError(f"{path}: a note begins with front matter between two lines ---")
    front = read_source(head.encode(), str(path)).value
    names = ("time", "kind", "topic", "runs")
    if not isinstance(front, dict) or any(name not in front for name in names):
        raise InputError(f"{path}: its front matter must name {', '.join(names)}")
    runs = front["runs"]
    if not isinstance(runs, list):
        raise InputError(f"{path}: runs must be a list of run folders")
    return Note(path, str(front["time"]), str(front["kind"]), str(front["topic"]), tuple(map(str, runs)), body.strip())


def read_notes(home: Path) -> tuple[list[Note], list[str]]:
    """Every note, the oldest first, and a sentence for each file that is none."""
    good: list[Note] = []
    bad: list[str] = []
    for path in sorted((home / "notes").glob("*.md")):
        try:
            good.append(read_note(path))
        except InputError as error:
            bad.append(str(error))
    return sorted(good, key=lambda note: (note.time, note.path.name)), bad


def slug(text: str) -> str:
    """The first words of a text as part of a file name.

    >>> slug("The baseline is not stable!")
    'the-baseline-is-not-stable'
    """
    words = re.findall(r"[a-z0-9]+", text.lower())
    return "-".join(words[:6])[:48] or "note"


def noted(home: Path, topic: str, text: str, run: str) -> bool:
    """Whether a note of that topic and text about that run is there."""
    for path in sorted((home / "notes").glob(f"*_{slug(topic)}*.md")):
        with suppress(InputError):  # a file that is no note is none
            note = read_note(path)
            if (note.topic, note.text, note.runs) == (topic, text.strip(), (run,)):
                return True
    return False


def write_note(home: Path, moment: datetime, kind: str, topic: str, text: str, run: str | None = None) -> Path:
    """Write `notes/YYYYMMDD_HHMM_topic.md`; a second note of that name gets a number.

    Args:
        home: the laboratory's folder.
        moment: when it was noticed, UTC.
        kind: rationale, anomaly or follow-up.
        topic: a few words; they become the file's name.
        text: Markdown.
        run: name of the run folder that it is about.

    Raises:
        DiskError: when the folder cannot be written.
    """
    folder = home / "notes"
    name = f"{stamp(moment)}_{slug(topic)}"
    front: dict[str, object] = {"time": iso(moment), "kind": kind, "topic": topic, "runs": [run] if run else []}
    head = yaml.safe_dump(front, sort_keys=False, allow_unicode=True)
    lock = new_folder(folder, f".{name}")
    try:
        path = folder / f"{lock.name[1:]}.md"
        number = 2
        while path.exists():
            path, number = folder / f"{name}-{number}.md", number + 1
        write_text(path, f"---\n{head}---\n\n{text.strip()}\n")
    finally:
        lock.rmdir()
    return path
