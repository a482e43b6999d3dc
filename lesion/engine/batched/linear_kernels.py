"""Which code multiplies matrices and applies activations in the batched engine: a fixed rule, checked.

The rule reads the processor, the numbers and the module's class, never a clock; a replay therefore takes the same code.
oneDNN's linear with weights packed once is reached through a private operator of torch, so it is compared with the
default on every weight when it is packed, and refused where it is missing or differs.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from lesion.errors import InterventionError

Kernel = Literal["onednn", "default"]
Activation = tuple[Literal["none", "gelu"], Literal["", "none", "tanh"]]

_GELUS: dict[str, Activation] = {
    "NewGELUActivation": ("gelu", "tanh"),
    "GELUTanh": ("gelu", "tanh"),
    "GELUActivation": ("gelu", "none"),
}
"""Activation classes of transformers that are a GELU, and which form."""
_FUSED = {
    "GPT2MLP": ("c_fc", "act"),
    "GPTNeoMLP": ("c_fc", "act"),
    "GPTJMLP": ("fc_in", "act"),
    "GPTNeoXMLP": ("dense_h_to_4h", "act"),
    "PhiMLP": ("fc1", "activation_fn"),
}
"""MLP classes whose first projection is followed by an activation and nothing else."""


def kernel_rule(module: nn.Module) -> Kernel:
    """Packed oneDNN for float32 on a processor whose torch has it, otherwise torch's own choice."""
    first = next(module.parameters())
    packed = first.device.type == "cpu" and first.dtype == torch.float32 and torch.backends.mkldnn.is_available()
    return "onednn" if packed and hasattr(torch.ops.mkldnn, "_reorder_linear_weight") else "default"


def weight_and_bias(projection: nn.Module) -> tuple[Tensor, Tensor | None]:
    """A linear map's weight as (inputs, outputs), and its bias.

    Raises:
        InterventionError: for a module that is not a plain linear map, such as a quantised one.
    """
    weight, bias = getattr(projection, "weight", None), getattr(projection, "bias", None)
    if not isinstance(weight, Tensor) or weight.ndim != 2 or not weight.is_floating_point():
        raise InterventionError(f"a projection of type {type(projection).__name__} has no plain weight")
    return (weight if is_conv1d(projection) else weight.T), (bias if isinstance(bias, Tensor) else None)


def is_conv1d(projection: nn.Module) -> bool:
    """Whether the weight is stored as (inputs, outputs), as transformers' Conv1D does."""
    return type(projection).__name__ == "Conv1D"


def is_map(part: nn.Module) -> bool:
    """Whether a module is a linear map and nothing more: torch's, or one of transformers' own that are no different."""
    return type(part) is nn.Linear or type(part).__name__ in ("Conv1D", "FalconLinear")


LONG, PIECE = 1024, 512
"""Inputs of a product beyond which it is added up from pieces, and inputs of a piece at most. oneDNN adds up to 1,024
products in one run; pieces halve the rounding of SmolLM2 and cost about 5 % of a sweep."""


class PackedLinear(nn.Module):
    """x @ W + b through oneDNN, W packed once, with a GELU behind it where asked; (…, inputs) to (…, outputs)."""

    def __init__(self, projection: nn.Module, activation: Activation = ("none", "")) -> None:
        super().__init__()
        self.activation: Activation = ("none", "")
        weight, self.bias = weight_and_bias(projection)
        inputs = weight.shape[0]
        number = 1 if inputs <= LONG else -(-inputs // PIECE)
        ends = [inputs * piece // number for piece in range(number + 1)]
        self.pieces: list[tuple[slice, Any]] = [
            (slice(start, end), torch.ops.mkldnn._reorder_linear_weight(weight[start:end].T.contiguous()))
            for start, end in pairwise(ends)
        ]
        probe = torch.linspace(-1, 1, weight.shape[0]).repeat(2, 1).mul_(torch.tensor([[1.0], [-0.5]]))
        expected = projection(probe)
        error = float((self(probe) - expected).abs().max())
        if not error <= 1e-4 * max(1.0, float(expected.abs().max())):
            raise InterventionError(f"oneDNN's packed linear differs from the default by {error:g} on this machine")
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """The linear map, and what follows it."""
        rows, (name, form) = x.reshape(-1, x.shape[-1]), self.activation
        if len(self.pieces) == 1:
            y: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self.pieces[0][1], self.bias, name, [], form)
        else:
            y = self.bend_(self._added(rows, self.bias))
        return y.view(*x.shape[:-1], -1)

    def linear(self, x: Tensor) -> Tensor:
        """X @ W alone; (rows, inputs) to (rows, outputs)."""
        return self._added(x, None)

    def _added(self, x: Tensor, bias: Tensor | None) -> Tensor:
        (first, packed), *others = self.pieces
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x[:, first], packed, bias, "none", [], "")
        for columns, packed in others:
            y += torch.ops.mkldnn._linear_pointwise(x[:, columns], packed, None, "none", [], "")
        return y

    def bend_(self, y: Tensor) -> Tensor:
        """What follows the linear map, in place."""
        name, form = self.activation
        return torch.ops.aten.gelu_(y, approximate=form) if name == "gelu" else y


class TanhGelu(nn.Module):
    """gelu_new in one pass over the numbers instead of eight; equal to transformers' formula up to rounding."""

    def forward(self, x: Tensor) -> Tensor:
        """0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))."""
        return functional.gelu(x, approximate="tanh")


def kernels(module: nn.Module) -> tuple[Kernel, ...]:
    """The kernels to try, in this order: the rule's, then torch's own, which rounds less."""
    return tuple(dict.fromkeys((kernel_rule(module), "default")))


def quicken(module: nn.Module, kernel: Kernel) -> None:
    """Put a kernel's code into a module tree that nobody else uses."""
    if kernel == "onednn":
        _fuse_activations(module)
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if type(child).__name__ in ("NewGELUActivation", "GELUTanh"):
                setattr(parent, name, TanhGelu())
            elif kernel == "onednn" and is_map(child):
                setattr(parent, name, PackedLinear(child))


def _fuse_activations(module: nn.Module) -> None:
    """Let the first projection of an MLP do its GELU in the same pass over the numbers."""
    for mlp in list(module.modules()):
        if type(mlp).__name__ not in _FUSED:
            continue
        linear, activation = _FUSED[type(mlp).__name__]
        form = _GELUS.get(type(getattr(mlp, activation)).__name__)
        if form is not None:
            setattr(mlp, linear, PackedLinear(getattr(mlp, linear), form))
            setattr(mlp, activation, nn.Identity())
