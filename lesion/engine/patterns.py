"""Attention patterns as the model itself computes them: read in a pass whose attention code reports them.

The fused kernels give no pattern, so the eager code is switched on for the time of a reading and off again; that the
pattern explains the z of the kernel that is used otherwise, `check` proves.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lesion.engine.hooks import recorded
from lesion.errors import InterventionError
from lesion.models.model import Model


@contextmanager
def eager(model: Model) -> Generator[None]:
    """Attention that reports its pattern, for the time of the body."""
    if model.family.attention == "eager":
        yield
        return
    model.module.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.module.set_attn_implementation(model.family.attention)


def attention_path(model: Model, layer: int) -> str:
    """The attention module of a block: the parent of its output projection."""
    return f"{model.block_path(layer)}.{model.family.attention_out.rpartition('.')[0]}"


def pattern_in(output: Any) -> Float[Tensor, "batch heads query key"]:
    """The attention pattern among an attention module's outputs.

    Raises:
        InterventionError: when there is none.
    """
    found = [part for part in output if torch.is_tensor(part) and part.ndim == 4] if isinstance(output, tuple) else []
    if len(found) != 1:
        raise InterventionError("the parent of the attention output projection reports no attention pattern")
    return found[0]


def patterns(model: Model, ids: Int[Tensor, "batch pos"], layers: list[int]) -> dict[int, Tensor]:
    """The patterns of some layers in an unedited pass: layer -> (batch, heads, query, key), rows summing to 1."""
    with (
        eager(model),
        recorded(model, [attention_path(model, layer) for layer in layers]) as seen,
        torch.inference_mode(),
    ):
        model.module(ids, use_cache=False)
    return {layer: pattern_in(seen[attention_path(model, layer)].output) for layer in layers}
