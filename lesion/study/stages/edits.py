"""What is done to a set of sites in a study of format 2: the primary ablation, another one, or a factor. Pure."""

from lesion.study.arms.arm import Arm, ablated, exchanged, scaled
from lesion.study.arms.condition import Role, member_of
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


def edited(role: Role, sites: tuple[str, ...], chosen: Chosen, plan: Plan, lane: int, member: object = "") -> Arm:
    """The arm that does to these sites what a member of the family does to its target.

    Args:
        role: whose sites they are.
        sites: what is edited.
        chosen: the member.
        plan: names the reference sets.
        lane: confirmation seed, or `DISCOVERY`.
        member: which of several sets.
    """
    who = member_of(chosen.target, member)
    if chosen.exchange is not None:
        return exchanged(role, sites, plan.study, who)
    if chosen.ablation is None:
        return scaled(role, sites, chosen.alpha, plan.study, who)
    return ablation_arm(role, sites, chosen.ablation, plan, (chosen.model, chosen.tier), lane, who)


def ablation_arm(
    role: Role, sites: tuple[str, ...], kind: Ablation, plan: Plan, where: tuple[str, str], lane: int,
    member: object = "",
) -> Arm:  # fmt: skip
    """The arm that ablates these sites on a model and tier."""
    model, tier = where
    reference = "" if kind == "zero" else plan.references[model][tier][lane]
    return ablated(role, kind, sites, reference, plan.study, member)
