"""What a study may claim, and from which evidence: the ablation that decides, prefixes, matched sets, the outcome."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lesion.identity import Document
from lesion.stats.verdict.rule import Outcome
from lesion.study.arms.targets import TargetName
from lesion.tasks.task import OWN_PREFIX

Ablation = Literal["zero", "mean", "median", "resample"]
"""What takes the place of an activation: zero, its mean or median over similar items, or that of another one."""
ABLATIONS: tuple[Ablation, ...] = ("zero", "mean", "resample")
"""Those that every ablation of a study is compared with."""


def with_own(kind: Ablation) -> tuple[Ablation, ...]:
    """The ablations that are measured of a target which this one decides: the three, and it where it is another."""
    return tuple(dict.fromkeys((*ABLATIONS, kind)))


Replaced = Literal["mean", "resample"]
"""The two ablations that need a reference set."""


class DissociationQuestion(Document):
    """Is each of two targets the one that its task needs more? See docs/dissociation.md."""

    targets: tuple[TargetName, ...] = Field(min_length=2, max_length=2)
    """Two of `sweep.targets`."""
    tasks: tuple[str, ...] = Field(min_length=2, max_length=2)
    """The task that the first target should harm more, then that of the second. A tier, or one stratum of it:
    `sums:operator=+`. The stratification must be one of `verdict.strata`."""

    @model_validator(mode="after")
    def _two(self) -> Self:
        if self.targets[0] == self.targets[1] or self.tasks[0] == self.tasks[1]:
            raise ValueError("a double dissociation needs two targets and two tasks that differ")
        return self


class Claims(Document):
    """The evidence that claims need. See docs/verdict.md."""

    primary: Literal["auto", "resample", "mean", "zero"] = "auto"
    """The ablation that decides a verdict. `auto`: resample if at least 90 % of a tier's discovery items have reference
    items, else mean. The two other ablations are measured on the same items and judged by the same rule."""
    why_zero: str = Field(default="", max_length=2000)
    """Reason for `primary: zero`, where it is required."""
    prefixes: Annotated[int, Field(ge=1, le=99)] | Literal["per_item"] = 12
    """Sets of few-shot examples per seed. Each set is a cluster. Three seeds with twelve sets make 36 clusters; a Null
    needs 35. `per_item`: every item has its own examples."""
    sets: int = Field(default=199, ge=0, le=9999)
    """Matched sets among which the target is ranked. 0: no claim of specificity."""
    population: Literal["layer", "model"] = "layer"
    """Source of matched sets: the target's own layers, or all heads of the model."""
    set_items: int = Field(default=256, ge=16, le=10**6)
    """Minimum number of items per matched set, all seeds together."""
    outcome: Outcome = "accuracy"
    """Quantity that the verdict judges. `answer_logprob` and `logit_diff` are in nats; then give `verdict.margin`,
    `verdict.effect`, `verdict.spread` and `baseline.spread` in nats."""
    margin_of: Literal["absolute", "headroom"] = "absolute"
    """`absolute`: the margin is a difference. `headroom`: it is a share of (baseline - chance)."""

    chance: Literal["sample", "coverage"] = Field(default="sample", exclude_if=lambda kind: kind == "sample")
    """How the floor of `answer_logprob` is counted from discovery answers. `sample`: their entropy, at most the
    logarithm of their number, which is too strict where few answers come twice. `coverage`: corrected for answers not
    drawn (Chao and Shen 2003)."""

    exhaustive: tuple[str, ...] = Field(default=(), max_length=16)
    """Tiers whose claim covers only the templates used. They need no 35 clusters for a Null."""

    asking: (
        Annotated[tuple[str, ...], Field(max_length=16)] | dict[str, Annotated[tuple[str, ...], Field(max_length=16)]]
    ) = Field(default=(), exclude_if=lambda tiers: not tiers)
    """Tiers whose cells may be called specific, or for each target by name its tiers (`{head: [sums]}`; a target that
    is not named asks in none); default: all. Holm's correction counts all their cells, so fewer need fewer sets."""

    effects_only: tuple[str, ...] = Field(default=(), max_length=16, exclude_if=lambda tiers: not tiers)
    """Tiers that get the items which find `verdict.effect` and no more, such as a positive control: a true change of 0
    may then be Inconclusive there. A Null within a margin that is small beside the spread of the changes takes many
    more. Of continuous outcomes; with accuracy the seed gate asks for more than a Null does."""

    dissociation: Annotated[tuple[DissociationQuestion, ...], Field(max_length=64)] | Literal["all"] = Field(
        default=(), exclude_if=lambda asked: not asked
    )
    """Questions about double dissociations, Holm-corrected over all of them and all models. `all`: every two targets
    with every two tiers, both ways round."""

    @model_validator(mode="after")
    def _reasoned(self) -> Self:
        if self.primary == "zero" and not self.why_zero.strip():
            raise ValueError("why_zero: zero is far from what a network meets; say why it decides")
        if self.chance == "coverage" and self.outcome != "answer_logprob":
            raise ValueError(f"chance: coverage is of outcome: answer_logprob, and this outcome is {self.outcome}")
        if self.primary != "zero" and self.why_zero:
            raise ValueError(f"why_zero: primary is {self.primary}; leave the reason out, or set primary: zero")
        return self

    def may_ask(self, target: str, tier: str) -> bool:
        """Whether a target's cells of a tier may be called specific.

        Args:
            target: its name; empty in a study of one target.
            tier: a task's name.

        >>> Claims(asking=("sums",)).may_ask("", "sums"), Claims(asking={"early": ("sums",)}).may_ask("late", "sums")
        (True, False)
        """
        if isinstance(self.asking, dict):
            return not self.asking or tier in self.asking.get(target, ())
        return not self.asking or tier in self.asking

    @property
    def prefix_count(self) -> int:
        """Sets of few-shot examples for each seed; `lesion.tasks.task.OWN_PREFIX` where every item has its own."""
        return self.prefixes if isinstance(self.prefixes, int) else OWN_PREFIX
