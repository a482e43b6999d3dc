"""What is done to a set of sites in a study of format 2: the primary ablation, another one, or a factor. Pure."""

from lesion.study.arm import Arm, ablated, arm
from lesion.study.claims import ABLATIONS, Ablation
from lesion.study.plan import Chosen, Plan

DISCOVERY = -1
"""The lane of discovery's items; those of confirmation are numbered by their seeds."""


def primary_of(plan: Plan, model: str, tier: str, alpha: float) -> Ablation | None:
    """The ablation that a factor of 0 means on a model's tier; nothing for other factors, and in format 1."""
    return plan.primary.get(model, {}).get(tier) if alpha == 0 else None


def others_of(chosen: Chosen) -> tuple[Ablation, ...]:
    """The ablations that stand beside a member's own; none for a factor, and in format 1."""
    return tuple(each for each in ABLATIONS if each != chosen.ablation) if chosen.ablation else ()


def edited(name: str, sites: tuple[str, ...], chosen: Chosen, plan: Plan, lane: int) -> Arm:
    """The arm `name@EDIT`: to these sites what a member does to its target.

    Args:
        name: `target`, `set12`.
        sites: what is edited.
        chosen: the member.
        plan: names the reference sets.
        lane: confirmation seed, or `DISCOVERY`.
    """
    if chosen.ablation is None:
        return arm(name, sites, chosen.alpha, plan.study)
    return ablation_arm(name, sites, chosen.ablation, plan, (chosen.model, chosen.tier), lane)


def ablation_arm(
    name: str, sites: tuple[str, ...], kind: Ablation, plan: Plan, where: tuple[str, str], lane: int
) -> Arm:
    """The arm `name@zero`, `name@mean` or `name@resample` on a model and tier."""
    model, tier = where
    reference = "" if kind == "zero" else plan.references[model][tier][lane]
    return ablated(name, kind, sites, reference, plan.study)
