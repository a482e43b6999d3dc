"""How sites are ablated together, by name: scaled, or with another activation in the place of their own."""

from collections.abc import Callable
from typing import NamedTuple

from lesion.engine.replacement_activations import Library, reference_hash
from lesion.interventions.intervention import CENTRAL, REPLACING, Intervention, Patch, Resample, Scale
from lesion.interventions.site import Site

ABLATIONS = ("scale", *REPLACING)
"""Ablations of a staged ablation."""
DRAWS = 4
"""Other items whose values stand in for each item's own, one after another; their results are averaged."""


class Ablation(NamedTuple):
    """How sites are ablated together."""

    words: str
    make: Callable[[tuple[Site, ...]], tuple[Intervention, ...]]
    """Interventions whose results are averaged."""
    library: Library | None = None
    """Makes what is put in place."""


def scaling(alpha: float = 0.0) -> Ablation:
    """Multiply by a factor."""

    def make(sites: tuple[Site, ...]) -> tuple[Intervention, ...]:
        return (Scale(sites=sites, alpha=alpha),)

    return Ablation(f"scale {alpha:g}", make)


def averaging(library: Library, kind: str = "mean") -> Ablation:
    """Put a middle value over the library's reference set in place, position by position in items of equal lengths.

    Args:
        library: holds the reference set.
        kind: a name of `lesion.interventions.intervention.CENTRAL`.
    """
    name, central = reference_hash(library.reference), CENTRAL[kind]

    def make(sites: tuple[Site, ...]) -> tuple[Intervention, ...]:
        return (central(sites=sites, reference=name),)

    return Ablation(f"{kind} of {len(library.reference)} other items", make, library)


def resampling(library: Library, seed: int = 0, draws: int = DRAWS) -> Ablation:
    """Put the value of another item of the reference set in place, of equal lengths, averaged over draws."""
    name = reference_hash(library.reference)

    def make(sites: tuple[Site, ...]) -> tuple[Intervention, ...]:
        return tuple(Resample(sites=sites, reference=name, seed=seed, draw=draw) for draw in range(draws))

    return Ablation(f"resample from {len(library.reference)} other items, {draws} draws", make, library)


def counterfactual(library: Library) -> Ablation:
    """Put the corrupted prompt's activations in place; the items must have one that aligns."""

    def make(sites: tuple[Site, ...]) -> tuple[Intervention, ...]:
        return (Patch(sites=sites),)

    return Ablation("activations of the corrupted prompt", make, library)
