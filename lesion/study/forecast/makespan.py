"""How long a forecast takes on N workers, and where more of them stop helping. Pure; a prediction, never a measurement.

A stage ends before the next begins (its gate must speak), and a cell is never divided, so a stage of c cells lasts
ceil(c / N) times its mean cell: workers beyond c wait. Starting workers and writing rows are not counted.
"""

from collections.abc import Sequence
from typing import NamedTuple

from lesion.study.forecast.forecast import Costed

WORTH = 0.1
"""Doubling the workers that saves a smaller share of the time is not worth it."""
MOST_WORKERS = 1024


class Scaling(NamedTuple):
    """A forecast on some workers."""

    workers: int
    minutes: float
    """From the first cell to the last."""
    worker_hours: float
    """What is paid for: workers times time, idle or not."""
    busy: float
    """Share of the paid time in which a worker computes, 0 … 1."""


def makespan(stages: Sequence[Costed], rate: float, workers: int) -> float:
    """Seconds from the first cell to the last.

    Args:
        stages: of a forecast, in order.
        rate: FLOP per second of one worker.
        workers: at least 1, alike.
    """
    return sum(-(-each.cells // workers) * each.flop / each.cells / rate for each in stages if each.cells)


def scaling(stages: Sequence[Costed], rate: float) -> tuple[Scaling, ...]:
    """The forecast on 1, 2, 4, … workers, up to the first number whose doubling is not worth it."""
    alone = makespan(stages, rate, 1)
    found: list[Scaling] = []
    workers, seconds = 1, alone
    while True:
        paid = workers * seconds
        found.append(Scaling(workers, seconds / 60, paid / 3600, alone / paid if paid else 1.0))
        further = makespan(stages, rate, 2 * workers)
        if further > (1 - WORTH) * seconds or 2 * workers > MOST_WORKERS:
            return tuple(found)
        workers, seconds = 2 * workers, further
