"""What every head does on one item, unedited or under an intervention: its attention, and its share of the answer.

Each condition is three plain passes of the untouched model: one whose attention code reports its patterns, one in which
direct logit attribution reads the parts, and one for the answer. Pictures are made of these numbers, so they are held
against what must hold: rows of a pattern sum to 1, and the shares add up to the logit difference.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from lesion.engine.batch import Batch, batches
from lesion.engine.hooks import applied
from lesion.engine.patterns import patterns
from lesion.engine.reference import run
from lesion.errors import InterventionError
from lesion.interventions.intervention import Scale
from lesion.measures.attribution.direct_logit import COMPLETE, attribute
from lesion.measures.attribution.target import values
from lesion.models.model import Model
from lesion.tasks.tokenizers.prompt_contract import Compiled

ROWS_SUM = {"float64": 1e-6, "float32": 1e-4, "bfloat16": 5e-2}
"""How far a row of a pattern may be from 1."""


@dataclass(frozen=True, eq=False)
class Look:
    """One item under one condition."""

    patterns: Float[Tensor, "layers heads query key"]
    """Attention of every head, float32; each row sums to 1 over the keys up to the query."""
    direct: Float[Tensor, "layers heads"]
    """Each head's share of the logit difference, through the residual stream alone; logits."""
    logit_diff: float
    """Answer minus wrong answer at the first token where they differ, before any soft cap; logits."""
    predicted: tuple[int, ...]
    """The most likely token at each place of the answer, the right tokens standing before it."""


def look(model: Model, compiled: Compiled, intervention: Scale | None = None) -> Look:
    """Read patterns, shares and answer of one item.

    Args:
        model: the model.
        compiled: the item in its tokens.
        intervention: what is done; nothing reads the unedited model.

    Raises:
        InterventionError: when the model reports no patterns, when a pattern's rows do not sum to 1, when the shares do
            not add up to the logit difference, or when the intervention did not act.
    """
    (batch,) = batches([compiled], 1, model.sizes.max_positions)
    layers = list(range(model.sizes.n_layers))
    with under(model, batch, intervention):
        seen = patterns(model, batch.inputs, layers)
    with under(model, batch, intervention):
        (shares,) = attribute(model, [batch], "logit_diff")
    logits = run(model, batch, intervention).logits
    attention = torch.stack([seen[layer][0].float() for layer in layers])
    _held(model, attention, shares.error)
    return Look(
        patterns=attention,
        direct=shares.heads[0],
        logit_diff=float(values(logits, batch, "logit_diff")[0]),
        predicted=tuple(int(token) for token in logits[0].argmax(-1)),
    )


def under(model: Model, batch: Batch, intervention: Scale | None) -> AbstractContextManager[Any]:
    """One forward pass under the intervention, or as it is."""
    if intervention is None:
        return nullcontext()
    return applied(model, intervention, batch.mask(intervention.positions))


def _held(model: Model, attention: Tensor, error: float) -> None:
    """Hold patterns and shares against what must hold of them."""
    held_rows(model, attention)
    if not error <= COMPLETE[model.dtype]:
        raise InterventionError(f"{model.name}: the heads' shares miss the logit difference by {error:.2g} of it")


def held_rows(model: Model, attention: Tensor) -> None:
    """Make sure that rows of patterns sum to 1 and look at nothing ahead.

    Raises:
        InterventionError: when they do not.
    """
    off = float((attention.sum(-1) - 1).abs().max())
    ahead = float(attention.triu(1).abs().max())
    if not max(off, ahead) <= ROWS_SUM[model.dtype]:
        raise InterventionError(f"{model.name}: rows of an attention pattern sum to 1 ± {off:.2g}; ahead {ahead:.2g}")
