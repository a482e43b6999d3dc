"""What people say of a run after it was sealed: tags, and which run takes its place.

Marks stand beside the run folder, in `NAME.marks.json`, because the folder itself is sealed; so the ledger can be
rebuilt with them. That a run is complete is not said but shown: by its certificate, `NAME.certificate.json`.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from lesion.errors import InputError
from lesion.identity import Document
from lesion.runs.folder.atomic_io import write_text
from lesion.runs.folder.find import beside, small_text

TAG = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}", re.ASCII)
MOST_MARK_BYTES = 100_000


class Marks(Document):
    """Version 1 of the marks of a run."""

    format: Literal[1] = 1
    run: str
    """Name of the run folder."""
    tags: tuple[str, ...] = ()
    """In alphabetical order."""
    superseded_by: str | None = None
    """Name of the run that takes its place."""
    reason: str = ""
    """Why it was superseded."""


def marks_path(home: Path, run: str) -> Path:
    """Where a run's marks stand."""
    return beside(home, run, "marks.json")


def read_marks(home: Path, run: str) -> Marks:
    """The marks of a run; none when nobody made any.

    Raises:
        InputError: when the file is no document of marks, or that of another run.
    """
    path = marks_path(home, run)
    if not path.exists():
        return Marks(run=run)
    try:
        marks = Marks.model_validate_json(small_text(path, MOST_MARK_BYTES))
    except ValidationError as error:
        raise InputError(f"{path}: not the marks of a run: {error.errors()[0]['msg']}") from error
    if marks.run != run:
        raise InputError(f"{path}: holds the marks of another run, {marks.run[:100]}")
    return marks


def mark(
    home: Path,
    run: str,
    add: Iterable[str] = (),
    remove: Iterable[str] = (),
    superseded_by: str | None = None,
    reason: str = "",
) -> Marks:
    """Change the marks of a run and write them down.

    Args:
        home: where `runs/` is.
        run: name of the run.
        add: tags: small letters, digits, dots, hyphens; at most 40 characters.
        remove: tags to take away.
        superseded_by: name of the run that takes its place; empty takes the mark away, None leaves it.
        reason: why it was superseded.

    Raises:
        InputError: for a tag that is none, a tag to take away that is not there, or a supersession without a reason.
    """
    old, new = read_marks(home, run), {*add}
    for tag in new:
        if not TAG.fullmatch(tag):
            raise InputError(f"tag '{tag[:60]}': small letters, digits, dots and hyphens only, at most 40")
    if lacking := sorted({*remove} - {*old.tags}):
        raise InputError(f"{run} has no tag {', '.join(lacking)}; it has {', '.join(old.tags) or 'none'}")
    if superseded_by == run:
        raise InputError(f"{run}: a run cannot take its own place")
    if superseded_by and not reason:
        raise InputError("a run is superseded for a reason; say it with --reason")
    marks = old.model_copy(update={"tags": tuple(sorted({*old.tags} - {*remove} | new))})
    if superseded_by is not None:
        marks = marks.model_copy(update={"superseded_by": superseded_by or None, "reason": reason})
    write_text(marks_path(home, run), marks.model_dump_json(indent=1) + "\n")
    return marks
