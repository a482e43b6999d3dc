"""What every node adds to the residual stream, and how that differs between a clean and a corrupted prompt.

A head adds its z times its rows of the output projection; an MLP its output; the embeddings the stream that enters the
first block. Biases of the attention output projection belong to no head; they are the same in both prompts.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lesion.engine.batched.linear_kernels import weight_and_bias
from lesion.engine.edges.graph import Graph
from lesion.engine.hooks import watched
from lesion.interventions.site import Kind, Site
from lesion.models.model import Model


class Written(NamedTuple):
    """What nodes wrote in one run: with it and the weights, what each added to the stream."""

    entering: Float[Tensor, "batch pos d_model"]
    """The stream that enters the first block."""
    heads: tuple[Float[Tensor, "batch pos width"], ...]
    """Per layer z, heads side by side."""
    mlps: tuple[Float[Tensor, "batch pos d_model"], ...]
    """Per layer what the MLP adds."""


def path_of(model: Model, kind: Kind, layer: int) -> str:
    """The module of a kind of site in a layer."""
    return model.place(Site(kind=kind, layer=layer, index=0 if kind in ("head", "q", "k", "v") else None)).path


def written(model: Model, ids: Int[Tensor, "batch pos"]) -> Written:
    """What nodes write in an unedited run."""
    layers = range(model.sizes.n_layers)
    seen: dict[tuple[str, int], Tensor] = {}
    with (
        watched(model, {model.block_path(0): lambda given, _: seen.update({("entering", 0): given.clone()})}),
        watched(model, {path_of(model, "head", layer): _input(seen, layer) for layer in layers}),
        watched(model, {path_of(model, "mlp_out", layer): _output(seen, layer) for layer in layers}),
        torch.inference_mode(),
    ):
        model.module(ids, use_cache=False, logits_to_keep=1)
    return Written(
        seen["entering", 0],
        tuple(seen["heads", layer] for layer in layers),
        tuple(seen["mlps", layer].view(seen["entering", 0].shape) for layer in layers),
    )


def _input(seen: dict[tuple[str, int], Tensor], layer: int) -> Callable[[Tensor, Any], None]:
    return lambda given, _: seen.update({("heads", layer): given.reshape(*given.shape[:2], -1).clone()})


def _output(seen: dict[tuple[str, int], Tensor], layer: int) -> Callable[[Tensor, Any], None]:
    return lambda _, gave: seen.update({("mlps", layer): gave.clone()})


def output_rows(model: Model, layer: int) -> Float[Tensor, "heads d_head d_model"]:
    """The rows of the attention output projection, head by head."""
    weight, _ = weight_and_bias(model.submodule(path_of(model, "head", layer)))
    return weight.unflatten(0, (model.sizes.n_heads, -1))


def differences(
    model: Model, graph: Graph, clean: Int[Tensor, "batch pos"], corrupted: Int[Tensor, "batch pos"]
) -> Float[Tensor, "senders batch pos d_model"]:
    """What every sender adds in the corrupted run minus what it adds in the clean one; exactly 0 before they part."""
    one, other = written(model, clean), written(model, corrupted)
    found = one.entering.new_empty(len(graph.senders), *one.entering.shape)
    found[0] = other.entering - one.entering
    for layer in range(graph.layers):
        at = graph.first(layer)
        found[at : at + graph.heads] = head_parts(model, layer, other.heads[layer] - one.heads[layer])
        if graph.mlps:
            found[at + graph.heads] = other.mlps[layer] - one.mlps[layer]
    return found.mul_(parted(clean, corrupted)[..., None])


def head_parts(
    model: Model, layer: int, z: Float[Tensor, "batch pos width"]
) -> Float[Tensor, "heads batch pos d_model"]:
    """What each head adds for a z, or a difference of two."""
    by_head = z.unflatten(-1, (model.sizes.n_heads, -1)).movedim(2, 0)
    rows = output_rows(model, layer)
    return (by_head.flatten(1, 2) @ rows).unflatten(1, z.shape[:2])


def parted(clean: Int[Tensor, "batch pos"], corrupted: Int[Tensor, "batch pos"]) -> Tensor:
    """From which position on two prompts may differ in what is computed, (batch, pos)."""
    return (clean != corrupted).int().cummax(1).values.bool()


def columns(model: Model, letter: Kind, layer: int = 0) -> Int[Tensor, "units d_head"]:
    """Which outputs of a layer's projection are a unit's queries (by head), keys or values (by group)."""
    units = model.sizes.n_heads if letter == "q" else model.sizes.n_groups
    first = [model.place(Site(kind=letter, layer=layer, index=unit)).index for unit in range(units)]
    return torch.tensor(first)[:, None] * model.sizes.d_head + torch.arange(model.sizes.d_head)
