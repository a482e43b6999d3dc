"""How much of a target should be lost without each site: gradients for heads and neurons, exact effects for layers."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from lesion.engine.replacement_activations import Library
from lesion.engine.select_engine import Engine
from lesion.interventions.intervention import Intervention, Patch, Scale
from lesion.interventions.site import Kind, Site
from lesion.measures.attribution.gate_gradients import estimate
from lesion.measures.attribution.target import Target, target_changes
from lesion.measures.prompt_set import Asked

By = Literal["zero", "corrupted"]


def expected_losses(
    engine: Engine,
    asked: Asked,
    kind: Kind,
    by: By = "zero",
    positions: str = "all",
    target: Target = "logit_diff",
) -> dict[Site, float]:
    """Every site of a kind -> how much lower the mean target should be without it, logits.

    Args:
        engine: the model and the way it is run.
        asked: the items.
        kind: `head`, `neuron`, or a layer's `mlp_out` or `attn_out`.
        by: what takes the place of the activation: zero, or the corrupted prompt's.
        positions: where.
        target: what is read.

    Raises:
        InputError: by corrupted prompts, for items that have none.
    """
    sizes = engine.model.sizes
    if kind not in ("head", "neuron"):
        sites = [Site(kind=kind, layer=layer) for layer in range(sizes.n_layers)]
        edits = exact_edits(sites, by, positions)
        changes = target_changes(engine, asked, edits, target, "exact effects", Library(engine.model))
        return {site: -float(row.mean()) for site, row in zip(sites, changes, strict=True)}
    towards = "scale" if by == "zero" else "corrupted"
    found = estimate(engine.model, asked.batches, target, positions=positions, towards=towards)
    mean = -(found.heads if kind == "head" else found.neurons).mean(0)
    return {Site(kind=kind, layer=i, index=j): float(mean[i, j]) for i, j in np.ndindex(*mean.shape)}


def exact_edits(sites: Sequence[Site], by: By, positions: str = "all") -> list[Intervention]:
    """The edit of each site alone."""
    if by == "zero":
        return scalings(sites, 0.0, positions)
    return [Patch(sites=(site,), positions=positions) for site in sites]


def scalings(sites: Sequence[Site], alpha: float = 0.0, positions: str = "all") -> list[Intervention]:
    """Each site alone, scaled."""
    return [Scale(sites=(site,), alpha=alpha, positions=positions) for site in sites]
