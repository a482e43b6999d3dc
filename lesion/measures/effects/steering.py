"""Steering: a vector from contrast pairs, added to the stream with a strength; the dose and what it does.

The vector is the mean stream at the last prompt token over the prompts that show something, minus that over those that
do not (difference in means; Turner et al. 2023, Rimsky et al. 2024). It is made from one set of items and tried on
another. Doses are said in units of the vector and, beside it, of the stream's own norm there, because a dose of several
times the stream breaks any model: read the curve beside that of a random vector of the same norm.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lesion.engine.capture import Read, at, capture
from lesion.engine.replacement_activations import Library
from lesion.engine.select_engine import Engine
from lesion.errors import InputError
from lesion.identity import Document, generator
from lesion.interventions.edit import vector_hash
from lesion.interventions.intervention import Steer
from lesion.interventions.site import Site
from lesion.measures.attribution.target import Target, mean_interval, target_changes
from lesion.measures.prompt_set import Asked, of
from lesion.models.model import Model


class Dose(Document):
    """One strength."""

    coefficient: float
    """Factor on the vector."""
    relative: float
    """Norm of what is added over the mean norm of the stream there."""
    change: float
    """Mean change of the target."""
    low: float
    """Lower end of its 95 % interval over items."""
    high: float
    """Upper end."""
    random: float
    """Mean change under a random vector of the same norm."""


class Response(Document):
    """A dose-response curve."""

    site: str
    """Where the vector is added."""
    positions: str
    """At which positions."""
    vector: str
    """SHA-256 of the vector."""
    norm: float
    """Its length."""
    target: str
    """What was read."""
    items: int
    """Items."""
    doses: tuple[Dose, ...]
    """By strength, in the order given."""


def contrast(model: Model, site: Site, shown: Asked, other: Asked) -> Tensor:
    """Mean stream at the last prompt token over `shown` minus that over `other`, (d_model,) in float32.

    Raises:
        InputError: for a site that is no stream entering a block.
        InterventionError: for a layer that the model does not have.
    """
    means = [streams(model, site, asked).mean(0) for asked in (shown, other)]
    return (means[0] - means[1]).float()


def without(asked: Asked, used: Sequence[Asked]) -> tuple[Asked, int]:
    """The items that a vector was not made from, and how many were left out because it was.

    Raises:
        InputError: when fewer than two are left.
    """
    seen = {one.ids for group in used for one in group.compiled}
    kept = [one for one in asked.compiled if one.ids not in seen]
    if len(kept) < 2:
        raise InputError(
            f"{len(kept)} of {len(asked.compiled)} items are not among those the vector was made from; steering needs "
            "two to try it on: ask for another task, or for more items"
        )
    return of(kept), len(asked.compiled) - len(kept)


def streams(model: Model, site: Site, asked: Asked) -> Tensor:
    """The stream at the last prompt token of each item, (items, d_model), float64.

    Raises:
        InputError: for a site that is no stream entering a block.
        InterventionError: for a layer that the model does not have.
    """
    if site.kind != "resid_pre":
        raise InputError(f"{site}: a contrast is taken in the stream; write L5.resid_pre")
    model.sizes.check(site)
    last = at(lambda batch: torch.full((len(batch.rows),), batch.first))
    read = Read("stream", model.block_path(site.layer), "input", last)
    return torch.cat([seen.kept["stream"].double() for seen in capture(model, asked.batches, [read])])


def dose_response(
    engine: Engine,
    asked: Asked,
    site: Site,
    vector: Tensor,
    coefficients: Sequence[float],
    positions: str = "last",
    target: Target = "logit_diff",
    seed: int = 0,
) -> Response:
    """The change of the target at each strength, beside that of a random vector of the same norm.

    Raises:
        InputError: for no strength, or a vector of another width or without length.
        InterventionError: for a site that the model does not have.
    """
    norm = float(vector.norm())
    if not coefficients or vector.shape != (engine.model.sizes.d_model,) or norm == 0:
        raise InputError(
            f"steering needs a strength and a vector of {engine.model.sizes.d_model} numbers that is not zero, "
            f"not {len(coefficients)} strengths and shape {tuple(vector.shape)}"
        )
    drawn = torch.as_tensor(generator("steering control", seed).standard_normal(len(vector))).float()
    control = drawn * (norm / float(drawn.norm()))
    curves = [_curve(engine, asked, site, one, coefficients, positions, target) for one in (vector, control)]
    size = float(streams(engine.model, site, asked).norm(dim=1).mean()) or 1.0
    doses: list[Dose] = []
    for place, coefficient in enumerate(coefficients):
        mean, low, high = mean_interval(curves[0][place])
        relative, chance = abs(coefficient) * norm / size, float(curves[1][place].mean())
        doses.append(Dose(coefficient=coefficient, relative=relative, change=mean, low=low, high=high, random=chance))
    return Response(
        site=str(site),
        positions=positions,
        vector=vector_hash(vector),
        norm=norm,
        target=target,
        items=len(asked.compiled),
        doses=tuple(doses),
    )


def _curve(
    engine: Engine,
    asked: Asked,
    site: Site,
    vector: Tensor,
    coefficients: Sequence[float],
    positions: str,
    target: Target,
) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    """Change of the target, (strengths, items)."""
    library = Library(engine.model)
    name = library.add(vector)
    edits = [Steer(sites=(site,), vector=name, coefficient=c, positions=positions) for c in coefficients]
    return target_changes(engine, asked, edits, target, "steering", library)
