"""Where cells are computed: in this process, or in several processes of one thread each.

The rows are the same whichever it is: a cell's batches are part of the plan, and every worker has the same number of
threads. Results are yielded as they finish.
"""

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial

from lesion.runs.store import Result
from lesion.study.plan import Cell

Work = Callable[[Cell], Result]


def run_here(work: Work, cells: Sequence[Cell]) -> Iterator[tuple[Cell, Result]]:
    """One after another, in this process."""
    for cell in cells:
        yield cell, work(cell)


class Processes:
    """A pool of worker processes that stay warm between stages; use it as a context manager."""

    def __init__(self, workers: int, prepare: Callable[[], None]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(workers, mp_context=context, initializer=partial(_start_worker, prepare))

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __call__(self, work: Work, cells: Sequence[Cell]) -> Iterator[tuple[Cell, Result]]:
        """Results in the order in which they finish."""
        futures = {self._pool.submit(work, cell): cell for cell in cells}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            for future in futures:
                future.cancel()


def _start_worker(prepare: Callable[[], None]) -> None:
    """Ctrl-C belongs to the driver, which closes the pool; a worker ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    prepare()
