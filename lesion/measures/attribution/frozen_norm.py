"""A norm as the linear map that it is once its denominator is frozen: x -> (x - mean x) / scale * gain + shift.

Which of the known forms a module has (LayerNorm or RMSNorm, gain w or Gemma's 1 + w) is not believed from its name: the
form is taken that gives back the module's own output, and a module that none gives back is refused.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lesion.errors import InterventionError

TOLERANCE = 1e-4
"""Largest error over the largest value at which a form counts as the module's own; bfloat16 is allowed 100 times it."""


@dataclass(frozen=True, eq=False)
class FrozenNorm:
    """A norm with its denominators of one run; everything in float64."""

    gain: Float[Tensor, "d_model"]
    """What the normed stream is multiplied by."""
    shift: Float[Tensor, "d_model"]
    """What is added; 0 for RMSNorm."""
    centred: bool
    """Whether the mean over the width is taken off first (LayerNorm)."""
    scale: Float[Tensor, "*positions 1"]
    """Denominator at each position of the run."""

    def apply(self, part: Tensor) -> Tensor:
        """What a part of the stream becomes, shift apart: linear, so that parts add up. Shape as `part`."""
        return self.fold(part) / self.scale

    def fold(self, part: Tensor) -> Tensor:
        """The same without the denominator: for weights, where there is no position."""
        centred = part - part.mean(-1, keepdim=True) if self.centred else part
        return centred * self.gain

    def adjoint(self, reader: Tensor) -> Tensor:
        """The direction u with `apply(x) . reader = x . u` for every x; shape as `reader`."""
        pulled = reader * self.gain / self.scale
        return pulled - pulled.mean(-1, keepdim=True) if self.centred else pulled

    def at(self, index: Any) -> "FrozenNorm":
        """The same norm at some of its positions."""
        return FrozenNorm(self.gain, self.shift, self.centred, self.scale[index])


def freeze(module: nn.Module, given: Tensor, gave: Tensor) -> FrozenNorm:
    """The frozen norm of one run, from what the module was given and what it gave, (..., d_model).

    Raises:
        InterventionError: when no known form gives back the module's output.
    """
    x, wanted = given.detach().double(), gave.detach().double()
    epsilon = next((float(getattr(module, n)) for n in ("eps", "variance_epsilon", "epsilon") if hasattr(module, n)), 0)
    weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
    ones = torch.ones(x.shape[-1], dtype=torch.float64)
    gains = [ones] if weight is None else [weight.detach().double(), 1 + weight.detach().double()]
    shift = torch.zeros_like(ones) if bias is None else bias.detach().double()
    tolerance = TOLERANCE * (100 if given.dtype == torch.bfloat16 else 1) * max(1.0, float(wanted.abs().max()))
    for centred, gain in product((False, True), gains):
        middle = x - x.mean(-1, keepdim=True) if centred else x
        scale = (middle.square().mean(-1, keepdim=True) + epsilon).sqrt()
        if float((middle / scale * gain + shift - wanted).abs().max()) <= tolerance:
            return FrozenNorm(gain, shift, centred, scale)
    raise InterventionError(
        f"a norm of type {type(module).__name__} is neither LayerNorm nor RMSNorm with gain w or 1 + w: what passes "
        "through it cannot be split into parts"
    )
