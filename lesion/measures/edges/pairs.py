"""Pairs of a clean and a corrupted prompt in parts whose nodes' outputs fit into memory, and what is read from them."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from lesion.engine.batch import Batch, in_parts
from lesion.engine.edges.graph import Graph
from lesion.errors import InputError
from lesion.measures.attribution.target import Target, places
from lesion.measures.prompt_set import Asked
from lesion.models.model import Model

MOST_BYTES = 2**28
"""What the outputs of all nodes may take for one part of a batch, in float32."""


def parts(model: Model, graph: Graph, asked: Asked) -> Iterator[tuple[Batch, Tensor]]:
    """Batches in parts, each with the tokens of its corrupted prompts, shaped as `inputs`.

    Raises:
        InputError: when an item has no corrupted prompt that aligns.
    """
    for batch in asked.batches:
        if batch.twins is None:
            raise InputError("an item has no corrupted prompt that aligns; choose the paired items: with_twins(asked)")
        row = 4 * len(graph.senders) * batch.inputs.shape[1] * model.sizes.d_model
        for part in in_parts(batch, max(1, MOST_BYTES // row)):
            assert part.twins is not None
            yield part, part.twins[:, :-1]


def target_from(
    model: Model, batch: Batch, streams: Float[Tensor, "*sets rows answer d_model"], target: Target
) -> Float[Tensor, "*sets rows"]:
    """The target of each row, from streams that leave the last block at the answer positions; gradients can pass."""
    row, place = torch.arange(len(batch.rows)), places(batch, target)
    tokens = torch.stack([batch.answer[row, place], batch.wrong[row, place]], -1)
    right, wrong = model.logits_of(streams[..., row, place, :], tokens).unbind(-1)
    return right if target == "answer" else right - wrong


def as_numbers(values: Tensor) -> NDArray[np.float64]:
    """A tensor as float64 numbers."""
    return values.double().numpy(force=True)
