"""Where cells are computed: in this process or in several of one thread each; `cluster.py` has other machines.

The rows are the same whichever it is: a cell's batches are part of the plan, and every worker has the same number of
threads. Results are yielded as they finish. A worker that dies costs what it had in hand, which is computed again.
Workers end with the process that started them, however that one ends.
"""

import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing.process import BaseProcess
from threading import Thread

from lesion.errors import LesionError
from lesion.runs.execute.logs import LOGGER
from lesion.runs.folder.run_folder import Result
from lesion.study.plan import Cell

Work = Callable[[Cell], Result]
MOST_LOSSES = 3
"""Times that workers may die within a stage; more often, something kills them each time (mostly want of memory)."""


def run_here(work: Work, cells: Sequence[Cell]) -> Iterator[tuple[Cell, Result]]:
    """One after another, in this process."""
    for cell in cells:
        yield cell, work(cell)


class Processes:
    """A pool of worker processes that stay warm between stages; use it as a context manager."""

    def __init__(self, workers: int, prepare: Callable[[], None]) -> None:
        self._start = partial(
            ProcessPoolExecutor,
            workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=partial(_start_worker, pickle.dumps(prepare)),
        )
        self._pool = self._start()

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:  # results in flight would be thrown away, so nobody waits for them
            self._kill()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _kill(self) -> None:
        started: Mapping[int, BaseProcess] | None = self._pool._processes  # pyright: ignore[reportPrivateUsage]
        for process in list((started or {}).values()):
            process.kill()

    def __call__(self, work: Work, cells: Sequence[Cell]) -> Iterator[tuple[Cell, Result]]:
        """Results in the order in which they finish.

        Raises:
            LesionError: when workers died more than `MOST_LOSSES` times.
        """
        left, losses = dict.fromkeys(cells), 0
        while left:
            try:
                for cell, result in self._round(work, list(left)):
                    del left[cell]
                    yield cell, result
            except BrokenProcessPool as error:
                losses += 1
                if losses > MOST_LOSSES:
                    raise LesionError(too_many(losses)) from error
                LOGGER.warning("a worker process died; the units that it had in hand are computed again")
                self._pool.shutdown(wait=True, cancel_futures=True)
                self._pool = self._start()

    def _round(self, work: Work, cells: Sequence[Cell]) -> Iterator[tuple[Cell, Result]]:
        with _without_interrupts():  # workers start here
            futures = {self._pool.submit(work, cell): cell for cell in cells}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            for future in futures:
                future.cancel()


def too_many(losses: int) -> str:
    """The sentence for workers that keep dying."""
    return (
        f"workers died {losses} times in one stage, so something kills them each time, mostly want of memory: "
        "use fewer --workers or a smaller --memory; what is finished is kept, and the same command goes on from there"
    )


@contextmanager
def _without_interrupts() -> Generator[None]:
    """Keep Ctrl-C waiting, also in the processes that are started meanwhile: Ctrl-C belongs to the driver alone."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(prepare: bytes) -> None:
    """Watch the parent, then prepare: what prepares is still pickled, for unpickling it imports torch, in seconds."""
    Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()
    pickle.loads(prepare)()


def _end_with_parent() -> None:
    """End this worker when the process that started it is gone, also by kill -9, which can tell nobody."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)
