"""What is done to a set of sites in a study of format 2: the primary ablation, another one, or a factor. Pure."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lesion.identity import seed_from
from lesion.interventions.direction import direction_hash
from lesion.study.arms.arm import Arm, ablated, exchanged, scaled
from lesion.study.arms.condition import Role, member_of
from lesion.study.arms.edits import Steering, same_sites
from lesion.study.arms.targets import aim
from lesion.study.arms.vectors import Push, coefficient, random_vector, shuffled_vector
from lesion.study.claims import Ablation, with_own
from lesion.study.plan import Chosen, Plan

DISCOVERY = -1
"""The lane of discovery's items; those of confirmation are numbered by their seeds."""


def primary_of(plan: Plan, model: str, tier: str, alpha: float) -> Ablation | None:
    """The ablation that a factor of 0 means on a model's tier; nothing for other factors, and in format 1."""
    return plan.primary.get(model, {}).get(tier) if alpha == 0 else None


def measured(chosen: Chosen) -> tuple[Ablation, ...]:
    """The ablations of a member's target, its own among them; none for a factor, and in format 1."""
    return with_own(chosen.ablation) if chosen.ablation else ()


def others_of(chosen: Chosen) -> tuple[Ablation, ...]:
    """The ablations that stand beside a member's own; none for a factor, and in format 1."""
    return tuple(each for each in measured(chosen) if each != chosen.ablation)


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
        return exchange_arm(role, sites, plan, (chosen.model, chosen.target), member)
    if chosen.ablation is None:
        return scaled(role, sites, chosen.alpha, plan.study, who)
    return ablation_arm(role, sites, chosen.ablation, plan, (chosen.model, chosen.tier), lane, who)


def exchange_arm(role: Role, sites: tuple[str, ...], plan: Plan, whose: tuple[str, str], member: object = "") -> Arm:
    """The arm that patches, cuts or steers these sites of a model and target.

    Args:
        role: whose sites they are.
        sites: what is edited.
        plan: holds the vector that steering adds.
        whose: model, and the target's name.
        member: number of a set; it names the control's vector, or the random edges, where a set has its own.
    """
    model, target = whose
    number = None if role == "target" or not same_sites(plan.study.sweep.edit) else int(str(member))
    key, who = aim(model, target), member_of(target, member)
    if plan.study.sweep.edit.exchange == "steer":
        return exchanged(role, sites, plan.study, who, push=_push(plan, key, number))
    return exchanged(role, sites, plan.study, who, edge_set=None if number is None else edge_set(plan, key, number))


def edge_set(plan: Plan, key: str, number: int) -> int:
    """The number that draws a set's random edges: by the plan's key, the target and the set; no two sets share it."""
    return (seed_from("edge set", plan.key, key) + number) % 10**6


def _push(plan: Plan, key: str, number: int | None) -> Push | None:
    """What steering adds to a target, or as the control of this number; nothing before the instrument stage."""
    edit, found = plan.study.sweep.edit, plan.vectors.get(key)
    if not isinstance(edit, Steering) or found is None:
        return None
    name = found.name if number is None else _named(plan.key, key, number, len(found.numbers), found.differences)
    return Push(vector=name, coefficient=coefficient(found, edit.strength))


def control_vector(plan: Plan, key: str, number: int) -> NDArray[np.float32]:
    """The vector of a control of a target, by the target's key: a random direction, or that of shuffled pairs."""
    found = plan.vectors[key]
    return _drawn(plan.key, key, number, len(found.numbers), found.differences)


def _drawn(key: str, whose: str, number: int, width: int, differences: str) -> NDArray[np.float32]:
    if differences:
        return shuffled_vector(key, whose, number, width, differences)
    return random_vector(key, whose, number, width)


@lru_cache(maxsize=20_000)
def _named(key: str, whose: str, number: int, width: int, differences: str) -> str:
    """The hash of a control's vector."""
    return direction_hash(_drawn(key, whose, number, width, differences))


def ablation_arm(
    role: Role, sites: tuple[str, ...], kind: Ablation, plan: Plan, where: tuple[str, str], lane: int,
    member: object = "",
) -> Arm:  # fmt: skip
    """The arm that ablates these sites on a model and tier."""
    model, tier = where
    reference = "" if kind == "zero" else plan.references[model][tier][lane]
    return ablated(role, kind, sites, reference, plan.study, member)
