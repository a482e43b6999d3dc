"""The sweep of a study: its targets, what is done to them, and which factors and controls are tried."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from lesion.identity import Document
from lesion.interventions.intervention import Positions
from lesion.interventions.site import Kind
from lesion.study.arms.edits import Scaling, StudyEdit
from lesion.study.arms.targets import DetectedHeads, Target, TargetName, kind_of
from lesion.study.claims import Replaced

Alpha = Annotated[float, Field(ge=-100, le=100)]

ALPHAS = (0.0, 0.5, 0.75, 1.25, 1.5, 2.0)


def _scales(known: dict[str, Any]) -> bool:
    """Whether the edit, which is read first, has a factor; one without is a single cell per tier, as a factor of 0."""
    return isinstance(known.get("edit", Scaling()), Scaling)


class Sweep(Document):
    """The edits of the target, tried on discovery items; the chosen ones are tested in the confirmation."""

    targets: dict[TargetName, Target] = Field(default={}, max_length=8, exclude_if=lambda targets: not targets)
    """Several targets by name, in the place of `target`. Each has its own matched random sets and verdicts."""
    target: Target | None = Field(
        default_factory=lambda known: None if known.get("targets") else DetectedHeads(),
        exclude_if=lambda target: target is None,
        json_schema_extra={"default": DetectedHeads().model_dump(mode="json")},
    )
    """The sites to edit. Nothing where `targets` names several."""
    edit: StudyEdit = Field(default=Scaling(), exclude_if=lambda edit: edit == Scaling())
    """What is done to the target."""
    alphas: tuple[Alpha, ...] = Field(
        default_factory=lambda known: ALPHAS if _scales(known) else (0.0,),
        min_length=1,
        max_length=32,
        json_schema_extra={"default": [*ALPHAS]},
    )
    """Factors tried on discovery items. Below 1 suppresses, above 1 amplifies; 1 is the placebo and is not allowed."""
    always: tuple[Alpha, ...] = (0.0,)
    """Factors that are always confirmed."""
    best: int = Field(default_factory=lambda known: int(_scales(known)), ge=0, le=8, json_schema_extra={"default": 1})
    """Number of other factors that are confirmed per tier: those with the highest discovery accuracy."""
    ablations: tuple[Replaced, ...] = ("mean", "resample")
    """Format 1 only: ablations measured in addition to zero. Format 2 always measures all three."""
    controls: int = Field(default=3, ge=0, le=32)
    """Matched random sets that discovery measures at every factor: same layers and counts, disjoint from the target
    (under steering other vectors, with `control: edges` random edges, at the target itself);
    for neurons also the same tenth of their layer's output norms. Exploratory: `claims.sets` decides what is specific.
    In format 1, seed s was paired with set s modulo their number."""
    positions: Positions = "all"
    """Token positions at which the factor acts: `all`, `last` or `role:NAME`."""
    items: int = Field(default=512, ge=64, le=10**6)
    """Discovery items per tier."""
    single_heads: bool = Field(default=True, exclude_if=lambda wanted: wanted)
    """With a detected target, whether discovery also zeroes every head alone: a map of all heads. Exploratory: no
    verdict uses it. On a model of many heads it is half of the time."""
    staged: int = Field(default=0, ge=0, le=64, exclude_if=lambda heads: heads == 0)
    """Cumulative ablation on discovery items, up to this number of heads: the first 1, 2, … heads are zeroed together,
    once in the detector's order and once in a random one. Exploratory: no verdict uses it."""

    @property
    def ablates(self) -> bool:
        """Whether a factor of 0 is confirmed, which then means zero, mean and resample ablation."""
        return self.edit.exchange is None and 0.0 in self.always

    @property
    def named(self) -> Mapping[str, Target]:
        """Every target by its name; the name of a single target is empty."""
        return self.targets or ({} if self.target is None else {"": self.target})

    @property
    def kinds(self) -> frozenset[Kind]:
        """Kinds of site that the sweep edits."""
        return frozenset(kind_of(target) for target in self.named.values())

    @property
    def detects(self) -> bool:
        """Whether a detector picks a target's heads."""
        return any(isinstance(target, DetectedHeads) for target in self.named.values())

    @property
    def maps_heads(self) -> bool:
        """Whether discovery also zeroes every head alone: wanted, with heads that a detector picks, and a factor."""
        return self.single_heads and self.detects and self.edit.exchange is None

    @field_validator("targets")
    @classmethod
    def _by_name(cls, targets: dict[str, Target]) -> dict[str, Target]:
        """The hash does not know the order of keys, so nothing may depend on how a file lists them."""
        return {name: targets[name] for name in sorted(targets)}

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.targets and self.target is not None:
            raise ValueError("target: targets names several already; give one of the two")
        if not self.named:
            raise ValueError("target: give one, or several by name under targets")
        return self

    @field_validator("ablations")
    @classmethod
    def _each_once(cls, ablations: tuple[Replaced, ...]) -> tuple[Replaced, ...]:
        if len(set(ablations)) < len(ablations):
            raise ValueError("an ablation is listed twice")
        return ablations

    @field_validator("alphas", "always")
    @classmethod
    def _without_placebo(cls, alphas: tuple[float, ...]) -> tuple[float, ...]:
        if 1.0 in alphas:
            raise ValueError("alpha = 1 changes nothing: it is the placebo, which every study runs anyway")
        if len(set(alphas)) < len(alphas):
            raise ValueError("a factor is listed twice")
        return alphas
