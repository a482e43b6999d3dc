"""The conditions of an item: unedited, scaled, steered, or with another activation in the place of its own.

Zero is off a model's distribution, so every ablation is measured in three ways on the same items: zero, the mean of
similar items, and another similar item's activation, over a reference set that the plan names by its hash. One of them
decides (`claims.primary`). docs/verdict.md says what follows when they disagree. Pure.
"""

from collections.abc import Sequence
from typing import Annotated, Any, cast

from pydantic import Field, model_validator

from lesion.errors import InputError
from lesion.identity import Document
from lesion.interventions.intervention import CENTRAL, KnockOut, Mean, Median, Patch, Resample, Scale, Steer
from lesion.interventions.site import Site, parse_site
from lesion.study.arms.condition import UNEDITED, Condition, Edit, Role, condition, placebo_of
from lesion.study.arms.edits import EdgeKnockOut
from lesion.study.arms.vectors import Push
from lesion.study.claims import Ablation, Replaced
from lesion.study.study import Study

REFERENCE = 512
"""Items of a reference set, at most: the first of the seed's own lane, which has the same few-shot examples."""
ALIKE = 8
"""Other reference items whose lengths and roles stand as an item's own do, without which it has no companion."""


Done = Scale | Mean | Median | Resample | Patch | KnockOut | Steer


class Arm(Document):
    """One condition of an item: unedited, or under one intervention."""

    role: Role
    edit: Edit = "none"
    amount: float | None = None
    """Factor of a scaling; nothing for other edits."""
    member: str = ""
    """Which of several sets or heads; else empty."""
    intervention: Annotated[Done, Field(discriminator="kind")] | None = None
    """What is done; nothing in the baseline."""

    @model_validator(mode="before")
    @classmethod
    def _of_its_name(cls, raw: Any) -> Any:
        """An arm of an older run, which stored its name alone."""
        if not isinstance(raw, dict):
            return raw
        stored = dict(cast("dict[str, Any]", raw))
        if "name" not in stored:
            return stored
        from lesion.study.arms.condition_columns import older_condition  # noqa: PLC0415  (polars, for older runs alone)

        return {**older_condition(str(stored.pop("name")))._asdict(), **stored}

    @property
    def condition(self) -> Condition:
        """Role, edit, amount and member."""
        return Condition(self.role, self.edit, self.amount, self.member)

    @property
    def name(self) -> str:
        """The condition's printable name."""
        return self.condition.name

    def identity(self) -> dict[str, Any]:
        """What a work unit's key is made of: name and intervention, whatever the format that stored them."""
        return {"name": self.name, **self.model_dump(mode="json", include={"intervention"})}


def made(condition: Condition, intervention: Done | None = None) -> Arm:
    """The arm of a condition."""
    return Arm(**condition._asdict(), intervention=intervention)


BASELINE = made(UNEDITED)


def scaled(role: Role, sites: tuple[str, ...], alpha: float, study: Study, member: object = "") -> Arm:
    """The arm that scales these sites together by a factor."""
    scale = Scale(sites=_parsed(sites), alpha=alpha, positions=study.sweep.positions)
    return made(condition(role, alpha, member), scale)


def placebo(sites: tuple[str, ...], study: Study, target: str = "") -> Arm:
    """The arm that scales these sites, a target's, by 1, which must change nothing."""
    return made(placebo_of(target), Scale(sites=_parsed(sites), alpha=1.0, positions=study.sweep.positions))


def ablated(
    role: Role, kind: Ablation, sites: tuple[str, ...], reference: str, study: Study, member: object = ""
) -> Arm:
    """The arm that ablates these sites together.

    Args:
        role: of whom: the target, a control, a matched set.
        kind: which ablation.
        sites: what is ablated.
        reference: hash of the reference set; zero needs none.
        study: whose positions and seed hold; a resampling draws once for each item, by the study's seed.
        member: which of several sets.
    """
    where, who = study.sweep.positions, condition(role, kind, member)
    if kind == "zero":
        return made(who, Scale(sites=_parsed(sites), alpha=0.0, positions=where))
    if central := CENTRAL.get(kind):
        return made(who, central(sites=_parsed(sites), positions=where, reference=reference, by="layout"))
    seed = study.seed
    return made(who, Resample(sites=_parsed(sites), positions=where, reference=reference, by="layout", seed=seed))


def exchanged(
    role: Role,
    sites: tuple[str, ...],
    study: Study,
    member: object = "",
    push: Push | None = None,
    edge_set: int | None = None,
) -> Arm:
    """The arm that patches or steers these sites, or cuts their edges, as the study's edit says.

    Args:
        role: whose sites they are.
        sites: what is edited.
        study: whose edit and positions hold.
        member: which of several sets.
        push: what steering adds; other edits have none.
        edge_set: number of the random edges that are cut in the place of the study's own.

    Raises:
        InputError: when the study's edit has a factor, or nothing is known that steering could add.
    """
    edit, where = study.sweep.edit, study.sweep.positions
    if edit.exchange is None:
        raise InputError(f"the edit of {study.name} is {edit.kind}, which has a factor")
    who = condition(role, edit.exchange, member)
    if isinstance(edit, EdgeKnockOut):
        keys = edit.keys if edge_set is None else f"random:{edge_set}"
        return made(who, KnockOut(sites=_parsed(sites), positions=where, keys=keys))
    if edit.exchange != "steer":
        return made(who, Patch(sites=_parsed(sites), positions=where))
    if push is None:
        raise InputError(f"{study.name} steers, and its plan holds no vector: the instrument stage measures it")
    return made(who, Steer(sites=_parsed(sites), positions=where, vector=push.vector, coefficient=push.coefficient))


def companions(chosen: float, study: Study) -> Sequence[Replaced]:
    """Format 1: which companions a cell with this factor has: those of the study when it zeroes, else none."""
    return study.sweep.ablations if chosen == 0 else ()


def zeroes(study: Study) -> bool:
    """Whether the study may confirm a zeroing that has companions, so that reference sets are needed."""
    return (
        study.sweep.edit.exchange is None
        and bool(study.sweep.ablations)
        and 0.0 in {*study.sweep.alphas, *study.sweep.always}
    )


def writes(arm: Arm) -> bool:
    """Whether a decoded cell writes answers out under this arm.

    Matched sets do not. Mean and resample ablations cannot: what they put in place is known for the right answer's
    tokens alone.
    """
    return arm.role in ("baseline", "placebo", "target") and (
        arm.intervention is None or isinstance(arm.intervention, Scale)
    )


def _parsed(sites: tuple[str, ...]) -> tuple[Site, ...]:
    return tuple(map(parse_site, sites))
