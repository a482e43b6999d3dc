"""The edit itself, as pure tensor functions: what stands at a site, an intervention and a source give what shall stand.

An activation of shape (batch, pos, units * d_unit) is seen as `units` slices: heads (d_unit = d_head), neurons
(d_unit = 1) or a whole stream (units = 1). Everything that is not edited keeps its bits, and so does everything that is
scaled by 1.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lesion.errors import InterventionError
from lesion.interventions.direction import direction_hash
from lesion.interventions.intervention import Intervention, Scale, Steer, replaces


def edit(
    activation: Float[Tensor, "*shape"], intervention: Intervention, source: Tensor | None = None
) -> Float[Tensor, "*shape"]:
    """What takes the place of an activation; the caller's tensor is not touched.

    Args:
        activation: what the model computed.
        intervention: scale, steer, or one that puts the source in its place.
        source: the vector to add, or what takes the activation's place; broadcast to its shape.

    Raises:
        InterventionError: when a source is needed and missing, or of no shape that fits.
    """
    if isinstance(intervention, Scale):
        return activation * intervention.alpha
    if source is None:
        raise InterventionError(f"{intervention}: no source was given for this site; make one with engine/sources.py")
    try:
        given = source.to(activation.dtype).expand_as(activation)
    except RuntimeError as error:
        shapes = f"{tuple(source.shape)} for an activation of {tuple(activation.shape)}"
        raise InterventionError(f"{intervention}: the source has the shape {shapes}") from error
    if isinstance(intervention, Steer):
        return activation + intervention.coefficient * given
    if replaces(intervention):
        return given.clone()
    raise InterventionError(f"{intervention}: it cuts edges and edits no activation")


def rewrite(
    activation: Float[Tensor, "*shape width"],
    mask: Bool[Tensor, "batch pos"],
    units: int,
    chosen: Sequence[int],
    intervention: Intervention,
    source: Float[Tensor, "#batch #pos #chosen d_unit"] | None = None,
) -> tuple[
    Float[Tensor, "*shape width"], Float[Tensor, "written chosen d_unit"], Float[Tensor, "written chosen d_unit"]
]:
    """A new activation whose chosen units are edited where the mask holds, and what was written: before and after.

    The activation is (batch, pos, width), or (batch * pos, width) as some families flatten it; width is a multiple of
    the number of units.
    """
    whole = activation.reshape(*mask.shape, units, -1).clone()
    before = whole[:, :, list(chosen)]
    if source is not None:
        source = source.expand(*mask.shape, len(chosen), -1)[mask]
    old = before[mask]
    new = edit(old, intervention, source)
    before[mask] = new
    whole[:, :, list(chosen)] = before
    return whole.reshape(activation.shape), old, new


def vector_hash(vector: Float[Tensor, " width"]) -> str:
    """The name of a steering vector: SHA-256 of its numbers as little-endian float32, 64 hexadecimal digits."""
    return direction_hash(vector.detach().cpu().to(torch.float32).contiguous().numpy())
