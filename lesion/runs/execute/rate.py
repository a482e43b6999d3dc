"""This machine's rate: arithmetic per processor second, from an earlier run of the same models or a matrix product."""

from collections.abc import Collection
from functools import cache
from pathlib import Path
from time import process_time
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits  # pyright: ignore[reportMissingTypeStubs]

from lesion.device import processor, wanted
from lesion.runs.index.ledger import Entry, known
from lesion.study.forecast.forecast import ASSUMED_DEVICE_RATE

ENOUGH_SECONDS = 30.0
"""Runs that took less processor time say nothing about the rate."""
WIDE = 512
"""Models at least so wide spend most of their time in matrix products."""
SHARE_WIDE, SHARE_NARROW = 0.4, 0.2
"""Share of a product's rate that a run reaches, counted as a forecast counts. Measured: .41 and .90 of two studies of
SmolLM2 (width 576; the second shares long examples), .24 and .62 of two studies of embedded models (width 128)."""
_ROWS, _TIMES = 256, 8


class Rate(NamedTuple):
    """Arithmetic per processor second, and where it is known from."""

    flop_per_second: float
    source: str


def rate_of(home: Path, widths: dict[str, int]) -> Rate:
    """The rate of the newest long enough run of the same models on this processor, or one estimated from a product.

    Args:
        home: whose ledger is read.
        widths: model -> width of its residual stream.
    """
    if wanted() != "cpu":
        return _device_rate(home)
    for entry in reversed(known(home)):
        if _tells(entry, widths) and entry.gpu_seconds == 0 and entry.cpu_seconds >= ENOUGH_SECONDS:
            return Rate(entry.flop / entry.cpu_seconds, f"measured: {entry.run}")
    width = min(widths.values())
    share = SHARE_WIDE if width >= WIDE else SHARE_NARROW
    return Rate(share * product_rate(width), f"estimated: {share:g} of what a matrix product makes on this processor")


def _tells(entry: Entry, models: Collection[str]) -> bool:
    """Whether a run was on this processor and of these models."""
    return entry.flop > 0 and entry.processor == processor() and {*entry.models.splitlines()} == {*models}


@cache
def product_rate(width: int) -> float:
    """FLOP per second of one core in the product of 256 rows with a matrix of width x 4 width, float32.

    The fastest of eight products counts: others are slowed down by what else the machine does.
    """
    rows = np.ones((_ROWS, width), dtype=np.float32)
    weights = np.ones((width, 4 * width), dtype=np.float32)
    out = np.empty((_ROWS, 4 * width), dtype=np.float32)
    taken: list[float] = []
    with threadpool_limits(1):
        for _ in range(1 + _TIMES):
            began = process_time()
            np.matmul(rows, weights, out=out)
            taken.append(process_time() - began)
    return 2 * _ROWS * width * 4 * width / max(min(taken[1:]), 1e-9)


def _device_rate(home: Path) -> Rate:
    """The same of a device; which one an earlier run was on, the ledger does not say."""
    for entry in reversed(known(home)):
        if entry.flop > 0 and entry.gpu_seconds >= ENOUGH_SECONDS:
            return Rate(entry.flop / entry.gpu_seconds, f"measured: {entry.run}")
    return Rate(ASSUMED_DEVICE_RATE, f"assumed; no run of 30 seconds or more on {wanted()} is in the ledger")
