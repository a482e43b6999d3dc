"""Ctrl-C: once, and a command closes what it holds and says how to go on; twice, and the process ends at once."""

import signal
from collections.abc import Generator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType


@contextmanager
def second_interrupt_ends() -> Generator[None]:
    """While this is entered, the second Ctrl-C ends the process without waiting for anything.

    Nothing changes in another thread than the main one, or where the program has its own answer to Ctrl-C.
    """
    if current_thread() is not main_thread() or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _first)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is _first:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _first(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.default_int_handler(number, frame)
