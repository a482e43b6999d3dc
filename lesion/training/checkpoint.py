"""A training's state on disk: one safetensors file, written to a temporary name, fsynced and renamed.

It holds the weights, both moments of AdamW and, in its header, how far the training is. A kill at any moment leaves
either the old file or the new one.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

from lesion.errors import InputError
from lesion.identity import Document
from lesion.outside.documents import parse_json
from lesion.outside.files import require_regular

FILE = "checkpoint.safetensors"
Parameters = Mapping[str, nn.Parameter]
"""A network's parameters by name, tied ones once; named before any gate stands in the network."""


class Measurement(Document):
    """What was measured during or after a training."""

    step: int
    """Steps done."""
    loss: float
    """Mean cross-entropy per graded token since the last measurement, in nats."""
    accuracy: dict[str, float]
    """Share of exactly right answers per tier, on a few hundred items."""
    induction: tuple[tuple[float, ...], ...]
    """Robust induction score of each head, by layer."""


class State(Document):
    """How far a training is."""

    recipe: str
    """Hash of the recipe."""
    step: int = 0
    """Steps done."""
    stage_end: int | None = None
    """Step at which the first stage ended; none while it goes on or where there is none."""
    loss_sum: float = 0.0
    """Summed loss of the steps since the last measurement."""
    cpu_seconds: float = 0.0
    """Processor time so far."""
    history: tuple[Measurement, ...] = ()
    """All measurements so far."""


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a crash leaves the old one or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def save_checkpoint(folder: Path, parameters: Parameters, optimiser: Optimizer, state: State) -> None:
    """Write weights, moments and state."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in parameters.items():
        tensors[f"weight.{name}"] = parameter.detach()
        for moment in ("exp_avg", "exp_avg_sq"):
            tensors[f"{moment}.{name}"] = optimiser.state[parameter][moment]
    write_atomically(folder / FILE, save(tensors, metadata={"state": state.model_dump_json()}))


def load_checkpoint(folder: Path, parameters: Parameters, optimiser: Optimizer, recipe_hash: str) -> State | None:
    """Read the state back into parameters and optimiser; None when there is no checkpoint.

    Raises:
        InputError: when the checkpoint is damaged or belongs to another recipe.
    """
    path = folder / FILE
    if not path.exists():
        return None
    require_regular(path)
    try:
        opened: Any = cast("Any", safe_open)(path, framework="pt")
        with opened as stored:
            state = State.model_validate(parse_json(stored.metadata()["state"], str(path)))
            if state.recipe != recipe_hash:
                raise InputError(f"{path} belongs to another recipe; give another folder, or start afresh")
            _restore(stored, parameters, optimiser, state.step)
    except (SafetensorError, ValidationError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error}); delete it, or start afresh") from error
    return state


def _restore(stored: Any, parameters: Parameters, optimiser: Optimizer, step: int) -> None:
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(stored.get_tensor(f"weight.{name}"))
            optimiser.state[parameter] = {
                "step": torch.tensor(float(step)),
                "exp_avg": stored.get_tensor(f"exp_avg.{name}"),
                "exp_avg_sq": stored.get_tensor(f"exp_avg_sq.{name}"),
            }
