"""Notes: rationale, anomalies and follow-ups, one timestamped file each, with front matter that links to runs."""

import re
from datetime import datetime
from pathlib import Path

import yaml

from lesion.runs.clock import iso, stamp
from lesion.runs.durable import new_folder, write_text

NOTE_KINDS = ("rationale", "anomaly", "follow-up")


def slug(text: str) -> str:
    """The first words of a text as part of a file name.

    >>> slug("The baseline is not stable!")
    'the-baseline-is-not-stable'
    """
    words = re.findall(r"[a-z0-9]+", text.lower())
    return "-".join(words[:6])[:48] or "note"


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
