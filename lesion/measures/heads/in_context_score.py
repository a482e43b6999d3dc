"""The in-context-learning score: how much better a model predicts a block of tokens when it comes again.

Olsson et al. 2022 take the loss at token 500 minus the loss at token 50 of natural text; on repeated blocks the two
copies are the two places.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from lesion.identity import Document, generator
from lesion.measures.heads.repeated_sequences import Repeats, StandardProbe, fitted, ordinary_tokens, standard
from lesion.models.model import Model

RESAMPLES = 2000
ROWS = 4
"""Sequences that go through the model together, where nothing else does."""


class InContext(Document):
    """The in-context-learning score on repeated blocks."""

    first: float
    """Mean loss in the first copy, nats."""
    second: float
    """Mean loss on the same tokens in the second copy, nats."""
    low: float
    """Lower end of the 95 % bootstrap interval of the difference."""
    high: float
    """Upper end."""

    @property
    def score(self) -> float:
        """Loss in the second copy minus loss in the first; negative is better late."""
        return self.second - self.first


def token_losses(
    logits: Float[Tensor, "batch pos vocab"], ids: Int[Tensor, "batch pos"]
) -> Float[Tensor, "batch next"]:
    """Loss of every token but the first, nats, float64."""
    rows = [
        cross_entropy(row[:-1].float(), wanted[1:], reduction="none") for row, wanted in zip(logits, ids, strict=True)
    ]
    return torch.stack(rows).double()


def in_context_score(losses: Float[Tensor, "batch next"], group: Repeats, seed: int) -> InContext:
    """The score from the losses of all tokens of repeated blocks; the first token of each copy is left out.

    Args:
        losses: loss of every token but a sequence's first, nats.
        group: the sequences.
        seed: resamples the sequences for the interval.
    """
    places = torch.arange(group.block - 1)
    first, second = (
        losses[:, start + places].mean(1).numpy(force=True) for start in (group.start, group.start + group.period)
    )
    drawn = generator("in context", seed).integers(0, len(first), (RESAMPLES, len(first)))
    low, high = np.quantile((second - first)[drawn].mean(1), (0.025, 0.975))
    return InContext(first=float(first.mean()), second=float(second.mean()), low=float(low), high=float(high))


def in_context(model: Model, seed: int = 0, probe: StandardProbe | None = None) -> InContext:
    """Mean loss on the second copy's tokens minus that on the first copy's, on the standard probe.

    Raises:
        InputError: when the vocabulary or the context is too small for the probe.
    """
    ordinary = ordinary_tokens(model.tokenizer)
    group = standard(ordinary, model.bos, fitted(model, len(ordinary), probe, seed))
    with torch.inference_mode():
        losses = [token_losses(model.module(ids, use_cache=False).logits, ids) for ids in group.ids.split(ROWS)]
    return in_context_score(torch.cat(losses), group, seed)
