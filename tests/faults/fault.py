"""A deliberate fault, and what catching it means."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import pytest

from lesion.runs.manifest.run import Manifest


class Caught(NamedTuple):
    """Which shipped defence spoke, and what it said."""

    defence: str
    words: str


class Finished(NamedTuple):
    """A finished run that a fault may spoil: a copy of its own."""

    home: Path
    folder: Path
    manifest: Manifest
    call: Path
    """The folder of a command's record, in the same home."""


Battery = Literal["model", "run", "record", "call"]
"""What is asked: the instrument on an opened model, then a whole run; a whole run; a finished run folder; the record of
a command."""


class Fault(NamedTuple):
    """One fault, put in by itself."""

    name: str
    """What is wrong, in words."""
    where: str
    """Which shipped function or file it is put into."""
    battery: Battery
    put: Callable[[pytest.MonkeyPatch], None] | Callable[[Finished], None]
    """Puts it in; stays in while every defence is asked."""
    model: str = "tiny:llama"
    """On which model the instrument is asked."""
    cheap: bool = False
    """Whether it is part of the quick subset."""
