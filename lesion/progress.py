"""How far a long computation is. Library code reports it here; a command (or nobody) shows it.

    with stage("heads", total=len(parts)) as advance:
        for part in parts:
            ...
            advance()

    for batch in track(batches, "attribution"):
        ...

Without a display nothing is shown and nothing is paid. The command line's display is `lesion.report.terminal.progress`.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sized
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
Advance = Callable[[float], None]
"""Called with how many units are done in addition."""
Display = Callable[[str, float], AbstractContextManager[Advance]]
"""Shows one stage: its name, and its number of units."""

_DISPLAY: ContextVar[Display | None] = ContextVar("display", default=None)


class Stage:
    """A running stage; calling it says that `units` more are done."""

    def __init__(self, advance: Advance | None) -> None:
        self._advance = advance

    def __call__(self, units: float = 1) -> None:
        """Count `units` more as done."""
        if self._advance is not None:
            self._advance(units)


@contextmanager
def stage(what: str, total: float) -> Generator[Stage]:
    """A part of a computation with a known number of units, all of one cost.

    Args:
        what: its name, a few words.
        total: units, of any kind: batches, sequences, edits.
    """
    display = _DISPLAY.get()
    if display is None:
        yield Stage(None)
        return
    with display(what, total) as advance:
        yield Stage(advance)


@contextmanager
def unshown() -> Generator[None]:
    """Stages inside are not shown: they are parts of a stage that is."""
    token = _DISPLAY.set(None)
    try:
        yield
    finally:
        _DISPLAY.reset(token)


def track(things: Iterable[T], what: str, total: float | None = None) -> Iterator[T]:
    """The things one by one; each counts as done when the next is asked for.

    Args:
        things: what is worked through.
        what: name of the stage, a few words.
        total: how many there are, where `things` does not know its length.
    """
    if total is None and isinstance(things, Sized):
        total = len(things)
    with stage(what, total or 0) as advance:
        for thing in things:
            yield thing
            advance()


@contextmanager
def shown_by(display: Display | None) -> Generator[None]:
    """Show the stages of the body by a display; None shows none."""
    token = _DISPLAY.set(display)
    try:
        yield
    finally:
        _DISPLAY.reset(token)


def displayed() -> bool:
    """Whether somebody shows the stages here."""
    return _DISPLAY.get() is not None
