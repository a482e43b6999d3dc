"""How much every head writes: the mean length of what it adds to the residual stream.

With z the head's mix of values and W_O its rows of the output projection, what it writes at a position is z W_O; its
length is sqrt(z G z) with G = W_O W_O^T, so that only matrices as wide as a head are multiplied. The mean runs over all
read positions. It matches a random head to a selected one by how loud both are, and looks at no answer.
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


def head_norms(model: Model, batches: Iterable[Batch]) -> Float[Tensor, "layers heads"]:
    """Mean ||z W_O|| of every query head over all read positions of the unedited model, float64, >= 0.

    Raises:
        InputError: without a batch.
    """
    heads, width = model.sizes.n_heads, model.sizes.d_head
    paths = [f"{model.block_path(layer)}.{model.family.attention_out}" for layer in range(model.sizes.n_layers)]
    weights = [weight_and_bias(model.submodule(path))[0].detach().double() for path in paths]
    grams = torch.stack([(w := weight.reshape(heads, width, -1)) @ w.mT for weight in weights])
    total, seen = torch.zeros(len(paths), heads, dtype=torch.float64), 0
    for batch in batches:
        with recorded(model, paths) as given, torch.inference_mode():
            model.module(batch.inputs, use_cache=False)
        for layer, path in enumerate(paths):
            z = given[path].input.detach().double().reshape(-1, heads, width)
            squares = torch.einsum("phi,hij,phj->ph", z, grams[layer], z)
            total[layer] += squares.clamp(min=0).sqrt().sum(0)
        seen += batch.inputs.numel()
    if not seen:
        raise InputError("no item keeps the prompt contract, so no head can be measured")
    return total / seen
