"""What a worker process holds: its numerics, and the models and engines that it has opened and proved."""

from functools import lru_cache

import torch

from lesion.device import wanted
from lesion.engine.proof.cache import engine_for
from lesion.engine.proof.device_fixture import require_fixture
from lesion.engine.select_engine import Engine, choose
from lesion.models.device import settle
from lesion.models.model import Dtype, Model, open_model

THREADS = 1
"""Threads of a worker. The last bits of a result depend on it, so it is fixed and recorded."""


@lru_cache(maxsize=4)
def opened(name: str, dtype: Dtype = "float32") -> Model:
    """The model, opened once per worker."""
    return open_model(name, dtype=dtype, threads=THREADS)


@lru_cache(maxsize=4)
def chosen(name: str, memory: int | None = None, dtype: Dtype = "float32") -> Engine:
    """The engine of a model, checked against float64 once per machine; `memory` limits its passes, bytes."""
    return engine_for(opened(name, dtype), memory=memory)


@lru_cache(maxsize=4)
def plain(name: str, dtype: Dtype = "float32") -> Engine:
    """The reference as an engine."""
    return choose(opened(name, dtype), "reference")


def prepare() -> None:
    """Fix the numerics of this process; must come before the first model is opened.

    Raises:
        InputError: when the device that was asked for is not there.
        InterventionError: when it does not give the reference fixture's numbers.
    """
    torch.set_num_threads(THREADS)
    settle(wanted())
    torch.use_deterministic_algorithms(True)
    torch.set_float32_matmul_precision("highest")
    if wanted() != "cpu":
        require_fixture()
