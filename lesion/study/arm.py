"""The conditions of an item: unedited, scaled, or with another activation in the place of its own.

Zero is off a model's distribution, so every ablation is measured in three ways on the same items: zero, the mean of
similar items, and another similar item's activation, over a reference set that the plan names by its hash. One of them
decides (`claims.primary`). docs/verdict.md says what follows when they disagree. Pure.
"""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from lesion.identity import Document
from lesion.interventions.intervention import Mean, Resample, Scale
from lesion.interventions.site import Site, parse_site
from lesion.study.claims import Ablation, Replaced
from lesion.study.study import Study

REFERENCE = 512
"""Items of a reference set, at most: the first of the seed's own lane, which has the same few-shot examples."""
ALIKE = 8
"""Other reference items whose lengths and roles stand as an item's own do, without which it has no companion."""


class Arm(Document):
    """One condition of an item: unedited, or under one intervention."""

    name: str
    """`baseline`, `placebo`, `target@0.5`, `target@zero`, `target@mean`, `target@resample`, `set7@mean`,
    `control0@0.5`, `L1H3@0`."""
    intervention: Annotated[Scale | Mean | Resample, Field(discriminator="kind")] | None = None
    """What is done; nothing in the baseline."""


BASELINE = Arm(name="baseline")


def arm(name: str, sites: tuple[str, ...], alpha: float, study: Study) -> Arm:
    """The arm `name@alpha` that scales these sites together."""
    scale = Scale(sites=_parsed(sites), alpha=alpha, positions=study.sweep.positions)
    return Arm(name=f"{name}@{alpha:g}", intervention=scale)


def ablated(name: str, kind: Ablation, sites: tuple[str, ...], reference: str, study: Study) -> Arm:
    """The arm `name@zero`, `name@mean` or `name@resample`.

    Args:
        name: of whom: `target`, `control0`, `set12`.
        kind: which ablation.
        sites: what is ablated.
        reference: hash of the reference set; zero needs none.
        study: whose positions and seed hold; a resampling draws once for each item, by the study's seed.
    """
    where, name = study.sweep.positions, f"{name}@{kind}"
    if kind == "zero":
        return Arm(name=name, intervention=Scale(sites=_parsed(sites), alpha=0.0, positions=where))
    if kind == "mean":
        mean = Mean(sites=_parsed(sites), positions=where, reference=reference, by="layout")
        return Arm(name=name, intervention=mean)
    drawn = Resample(sites=_parsed(sites), positions=where, reference=reference, by="layout", seed=study.seed)
    return Arm(name=name, intervention=drawn)


def companions(chosen: float, study: Study) -> Sequence[Replaced]:
    """Format 1: which companions a cell with this factor has: those of the study when it zeroes, else none."""
    return study.sweep.ablations if chosen == 0 else ()


def zeroes(study: Study) -> bool:
    """Whether the study may confirm a zeroing that has companions, so that reference sets are needed."""
    return bool(study.sweep.ablations) and 0.0 in {*study.sweep.alphas, *study.sweep.always}


def writes(arm: Arm) -> bool:
    """Whether a decoded cell writes answers out under this arm.

    Matched sets do not. Mean and resample ablations cannot: what they put in place is known for the right answer's
    tokens alone.
    """
    mine = arm.name in ("baseline", "placebo") or arm.name.startswith("target@")
    return mine and (arm.intervention is None or isinstance(arm.intervention, Scale))


def _parsed(sites: tuple[str, ...]) -> tuple[Site, ...]:
    return tuple(map(parse_site, sites))
