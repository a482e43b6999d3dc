"""The reference engine, the oracle: one intervention, one whole forward pass of the untouched model."""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from lesion.engine.attach import Source
from lesion.engine.batch import Batch
from lesion.engine.hooks import applied
from lesion.errors import InterventionError
from lesion.interventions.intervention import Intervention, KnockOut, Receipt
from lesion.models.model import Model


class Outcome(NamedTuple):
    """What one run of a batch gave."""

    logits: Float[Tensor, "batch answer vocab"]
    """float32; entry [b, t] decides answer token t of row b."""
    receipt: Receipt | None
    """Proof that the intervention acted; none for an unedited run."""
    engine: Literal["fast", "reference"] = "reference"
    """Which way it was run."""


def run(
    model: Model,
    batch: Batch,
    intervention: Intervention | None = None,
    baseline: Float[Tensor, "batch answer vocab"] | None = None,
    source: Source | None = None,
) -> Outcome:
    """Run a batch under one intervention, or none, with teacher forcing on the answer.

    Args:
        model: the model.
        batch: the rows.
        intervention: what is changed.
        baseline: the unedited logits of the same batch, for the receipt's largest change.
        source: what the intervention adds or puts in place, where it needs that.

    Raises:
        InterventionError: when a site does not exist, or the intervention did not act as it must.
    """
    if intervention is None:
        return Outcome(_forward(model, batch), None)
    keys = batch.keys(intervention.keys) if isinstance(intervention, KnockOut) else None
    with applied(model, intervention, batch.mask(intervention.positions), source, keys) as recorder:
        logits = _forward(model, batch)
    change = None if baseline is None else largest_change(logits, baseline)
    return Outcome(logits, recorder.receipt(change))


def largest_change(logits: Float[Tensor, "batch answer vocab"], baseline: Float[Tensor, "batch answer vocab"]) -> float:
    """The largest absolute difference, row by row: what is made on the way then stays in the processor's cache."""
    gaps = [(row - base).abs().max() for row, base in zip(logits, baseline, strict=True)]
    return float(torch.stack(gaps).max())


def own_numbers(model: Model) -> None:
    """Make sure that nobody has told torch to compute in other numbers than the model's.

    Raises:
        InterventionError: under autocast.
    """
    device = next(model.module.parameters()).device.type
    if torch.is_autocast_enabled(device):
        raise InterventionError(
            f"torch.autocast is on for {device}, so {model.name} would not compute in {model.dtype}; leave it, and ask "
            "for bfloat16 by the study's dtype"
        )


def _forward(model: Model, batch: Batch) -> Float[Tensor, "batch answer vocab"]:
    own_numbers(model)
    with torch.inference_mode():
        return model.module(batch.inputs, use_cache=False).logits[:, batch.first :].float()
