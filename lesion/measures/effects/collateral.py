"""Collateral damage: what an intervention does where it should do nothing.

The neutral sequences are random ordinary tokens without any repetition: there is no pattern to continue and nothing to
calculate, so a model can do no better than its prior. A change of loss or of the distribution there is damage beside
the target. It is said per sequence, with the KL from the unedited run, which also sees what leaves the loss alone.
Natural text tells the same for what a model is used for, window by window, where its vocabulary can write it.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lesion.engine.attach import Source
from lesion.engine.hooks import applied
from lesion.identity import generator
from lesion.interventions.intervention import Intervention
from lesion.measures.effects.neutral_text import windows
from lesion.measures.heads.qk_ov_circuits import run
from lesion.measures.heads.repeated_sequences import ordinary_tokens, repeats
from lesion.models.model import Model

SEQUENCES = 32
TOKENS = 24
"""Longest neutral sequence; shorter where the vocabulary or the model is."""
ROWS = 8
"""Sequences that are run together; the logits of all tokens of all of them are held at once."""

Numbers = NDArray[np.float64]


def neutral(
    model: Model, do: Intervention, source: Source | None = None, seed: int = 0
) -> tuple[Numbers, Numbers, Numbers]:
    """Mean loss of each neutral sequence, unedited and edited, and mean KL(unedited || edited); nats, (sequences,).

    Raises:
        InterventionError: when a site does not exist, or the intervention did not act as it must.
    """
    ordinary = ordinary_tokens(model.tokenizer)
    room = (model.sizes.max_positions or TOKENS + 1) - 1
    length = min(TOKENS, len(ordinary), room)
    group = repeats(ordinary, model.bos, length, 0, SEQUENCES, generator("neutral", seed))
    return _compared(model, do, source, group.ids[:, : group.start + length])


def neutral_text(
    model: Model, do: Intervention, text: str, source: Source | None = None
) -> tuple[Numbers, Numbers, Numbers]:
    """The same for each window of a text, the model's beginning mark in front; nats, (windows,).

    Raises:
        InputError: when the model's vocabulary cannot write the text, or it is too short.
        InterventionError: when a site does not exist, or the intervention did not act as it must.
    """
    start = [] if model.bos is None else [model.bos]
    rows = windows(model.tokenizer, text, (model.sizes.max_positions or 10**6) - len(start))
    return _compared(model, do, source, torch.tensor([[*start, *row] for row in rows]))


def _compared(model: Model, do: Intervention, source: Source | None, ids: Tensor) -> tuple[Numbers, Numbers, Numbers]:
    """Mean loss of every row unedited and edited, and mean KL between them; (rows,)."""
    parts = [_compared_rows(model, do, source, some) for some in ids.split(ROWS)]
    before, after, distance = (np.concatenate(numbers) for numbers in zip(*parts, strict=True))
    return before, after, distance


def _compared_rows(
    model: Model, do: Intervention, source: Source | None, ids: Tensor
) -> tuple[Numbers, Numbers, Numbers]:
    clean = run(model, ids)[:, :-1]
    with applied(model, do, torch.ones(ids.shape, dtype=torch.bool), source):
        edited = run(model, ids)[:, :-1]
    losses: list[tuple[float, float, float]] = []
    for row, plain, other in zip(
        ids, clean, edited, strict=True
    ):  # float64 of one row at a time: vocabularies are large
        before, after = plain.double().log_softmax(-1), other.double().log_softmax(-1)
        distance = (before.exp() * (before - after)).sum(-1).mean()
        picked = row[1:, None]
        losses.append(
            (float(-before.gather(1, picked).mean()), float(-after.gather(1, picked).mean()), float(distance))
        )
    before, after, distance = np.array(losses).T
    return before, after, distance
