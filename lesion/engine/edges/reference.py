"""One edge patched by plain hooks on the untouched model: two forward passes, slow and obviously right.

The first pass adds the sender's difference to the stream that the reader's block reads, and keeps what the reader
computes from it: the queries of the head, the keys or values of the group, or the output of the MLP. The second pass
is a clean run in which that alone is put in place, so that everything downstream recomputes. It is the oracle of
`lesion.engine.edges.batched`, and what runs where the batched engine cannot.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lesion.engine.batch import Batch
from lesion.engine.edges.contributions import path_of
from lesion.engine.edges.graph import Reader
from lesion.engine.hooks import edited, recorded, replaced
from lesion.interventions.site import Site
from lesion.models.model import Model


def patched(
    model: Model, batch: Batch, reader: Reader, difference: Float[Tensor, "batch pos d_model"]
) -> Float[Tensor, "batch pos d_model"]:
    """The stream that leaves the last block when one reader reads a stream to which a difference is added.

    Args:
        model: the model.
        batch: the clean prompts.
        reader: whose input is changed.
        difference: what is added to it; the sender's corrupted contribution minus its clean one.
    """
    if reader.letter == "logits":
        return leaving(model, batch.inputs) + difference
    path, put = _computed(model, batch, reader, difference)
    with replaced({model.submodule(path): put}):
        return leaving(model, batch.inputs)


def _computed(model: Model, batch: Batch, reader: Reader, difference: Tensor) -> tuple[str, Callable[[Tensor], Tensor]]:
    """The module that the reader is part of, and what puts its value there into a clean run."""

    def add(stream: Tensor) -> Tensor:
        return stream + difference

    block = model.block(reader.layer)
    if reader.letter in ("q", "k", "v"):
        place = model.place(Site(kind=reader.letter, layer=reader.layer, index=reader.unit))
        with edited(block, add), recorded(model, [place.path]) as seen:
            leaving(model, batch.inputs)
        found = seen[place.path].output

        def put(output: Tensor) -> Tensor:
            changed = output.unflatten(-1, (place.units, -1)).clone()
            changed[..., place.index, :] = found.unflatten(-1, (place.units, -1))[..., place.index, :]
            return changed.flatten(-2)

        return place.path, put
    path = path_of(model, "mlp_out", reader.layer)
    attention = model.submodule(path_of(model, "attn_out", reader.layer))
    changing = replaced({attention: add}) if model.residual == "sequential" else edited(block, add)
    with changing, recorded(model, [path]) as seen:
        leaving(model, batch.inputs)
    whole = seen[path].output
    return path, lambda _: whole


def leaving(model: Model, ids: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_model"]:
    """The stream that leaves the last block, under the hooks that stand on the model."""
    with recorded(model, [model.family.final_norm]) as seen, torch.inference_mode():
        model.module(ids, use_cache=False, logits_to_keep=1)
    return seen[model.family.final_norm].input
