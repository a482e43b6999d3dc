"""Work for workers of the tests on processes: say who you are, then sleep. Imports nothing heavy."""

import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

from lesion.runs.execute.executors import Processes


def nothing() -> None:
    """Prepare nothing."""


def nap(place: Path, cell: float) -> float:
    """Leave a file named by this process, and sleep."""
    (place / str(os.getpid())).touch()
    time.sleep(cell)
    return cell


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job is started without
    with Processes(2, nothing) as processes:
        print("started", flush=True)
        list(processes(partial(nap, Path(sys.argv[1])), [60.0, 61.0, 62.0]))  # pyright: ignore[reportArgumentType]
