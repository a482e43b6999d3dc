"""Numbers per MLP neuron: how much it writes, and how long what it writes is.

A neuron is one column of the *input* of the MLP's down projection (in gated MLPs the product act(gate x) * up x), and
w_out,i is the row of that projection that it drives. Its write score is mean |h_i| * ||w_out,i|| over positions and
items: the mean length of what it adds to the residual stream. It says who speaks, not who is heard; that is what the
intervention asks.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from lesion.engine.batch import Batch
from lesion.engine.batched.linear_kernels import weight_and_bias
from lesion.engine.hooks import recorded
from lesion.errors import InputError
from lesion.models.model import Model

TENTHS = 10


def write_norms(model: Model) -> Float[Tensor, "layers neurons"]:
    """||w_out,i|| of every neuron, float64, >= 0."""
    weights = [weight_and_bias(model.submodule(path))[0] for path in _paths(model)]
    return torch.stack([weight.detach().double().norm(dim=1) for weight in weights])


def write_scores(model: Model, batches: Iterable[Batch]) -> Float[Tensor, "layers neurons"]:
    """Mean |h_i| * ||w_out,i|| over all read positions of the unedited model, float64, >= 0.

    Raises:
        InputError: without a batch.
    """
    paths = _paths(model)
    total, seen = torch.zeros(len(paths), model.sizes.d_mlp, dtype=torch.float64), 0
    for batch in batches:
        with recorded(model, paths) as given, torch.inference_mode():
            model.module(batch.inputs, use_cache=False)
        total += torch.stack([given[path].input.detach().double().abs().flatten(0, -2).sum(0) for path in paths])
        seen += batch.inputs.numel()
    if not seen:
        raise InputError("no item keeps the prompt contract, so no neuron can be scored")
    return total / seen * write_norms(model)


def norm_tenths(model: Model) -> tuple[str, ...]:
    """By layer, one digit per neuron: in which tenth of its layer's norms ||w_out,i|| lies, 0 the smallest."""
    ranks = write_norms(model).argsort(dim=1).argsort(dim=1)
    tenths = ranks * TENTHS // ranks.shape[1]
    return tuple("".join(map(str, layer.tolist())) for layer in tenths)


def highest(scores: Float[Tensor, "layers neurons"], most: int) -> list[tuple[str, float]]:
    """The `most` neurons with the highest scores, as (site, score); ties go to the lower layer and number."""
    values, places = scores.flatten().sort(descending=True, stable=True)
    return [
        (f"L{place // scores.shape[1]}N{place % scores.shape[1]}", value)
        for value, place in zip(values[:most].tolist(), places[:most].tolist(), strict=True)
    ]


def _paths(model: Model) -> list[str]:
    return [f"{model.block_path(layer)}.{model.family.mlp_out}" for layer in range(model.sizes.n_layers)]
