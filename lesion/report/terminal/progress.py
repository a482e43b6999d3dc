"""Progress of a command or a notebook on standard error: a bar on a terminal, else a line every ten seconds.

With --quiet, and for stages that end at once, nothing is printed. A stage inside another one gets a bar of its own.
"""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from lesion.progress import Advance, Display, displayed, shown_by

P = ParamSpec("P")
R = TypeVar("R")

EVERY = 10.0
"""Seconds between two lines where standard error is no terminal."""


def display_on(console: Console) -> Display:
    """A display of stages on a console; whether it is a terminal or quiet is asked when a stage begins."""
    bars: list[Progress] = []

    @contextmanager
    def display(what: str, total: float) -> Generator[Advance]:
        if console.quiet:
            yield lambda _: None
        elif not console.is_terminal:
            yield _lines(console, what, total)
        elif bars:  # a stage within a stage: one more bar
            with _bar(bars[0], what, total) as advance:
                yield advance
        else:
            with _progress(console) as progress:
                bars.append(progress)
                try:
                    with _bar(progress, what, total) as advance:
                        yield advance
                finally:
                    bars.pop()

    return display


def shown(function: Callable[P, R]) -> Callable[P, R]:
    """The same function; its stages are shown on standard error where nobody shows them yet."""

    @wraps(function)
    def call(*arguments: P.args, **named: P.kwargs) -> R:
        if displayed():
            return function(*arguments, **named)
        with shown_by(display_on(Console(stderr=True, highlight=False, emoji=False))):
            return function(*arguments, **named)

    return call


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
    times = (TimeElapsedColumn(), TextColumn("left", style="dim"), TimeRemainingColumn())
    return Progress(*columns, *times, console=console, transient=True)


@contextmanager
def _bar(progress: Progress, what: str, total: float) -> Generator[Advance]:
    task = progress.add_task(what, total=total or None)
    try:
        yield lambda units: progress.advance(task, units)
    finally:
        progress.remove_task(task)


def _lines(console: Console, what: str, total: float) -> Advance:
    """A plain line every `EVERY` seconds of a stage, with the share done and the time left."""
    start = last = time.monotonic()
    done = 0.0

    def advance(units: float) -> None:
        nonlocal done, last
        done += units
        now = time.monotonic()
        if now - last < EVERY:
            return
        last = now
        share = f"{done / total:.0%}, {left(now - start, done, total)}" if total else f"{done:g} done"
        console.print(f"{what}: {share}", markup=False, soft_wrap=True)

    return advance


def left(elapsed: float, done: float, total: float) -> str:
    """The time left at the pace so far.

    >>> left(30, 1, 4), left(300, 1, 4)
    ('about 90 s left', 'about 15 min left')
    """
    seconds = elapsed * max(0.0, total - done) / done if done else 0.0
    return f"about {seconds:.0f} s left" if seconds < 120 else f"about {seconds / 60:.0f} min left"
