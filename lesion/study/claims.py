"""What a study may claim, and from which evidence: the ablation that decides, prefixes, matched sets, the outcome."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lesion.identity import Document
from lesion.tasks.task import OWN_PREFIX

Ablation = Literal["zero", "mean", "resample"]
"""What takes the place of an activation: zero, its mean over similar items, or that of another similar item."""
ABLATIONS: tuple[Ablation, ...] = ("zero", "mean", "resample")
Replaced = Literal["mean", "resample"]
"""The two ablations that need a reference set."""
Outcome = Literal["accuracy", "answer_logprob", "logit_diff"]


class Claims(Document):
    """What may be claimed, and from which evidence. See docs/verdict.md."""

    primary: Literal["auto", "resample", "mean", "zero"] = "auto"
    """The ablation that decides a verdict. `auto`: resample where at least 90 % of a tier's discovery items have a
    reference, else mean. The two other ablations are measured on the same items and judged by the same rule."""
    why_zero: str = Field(default="", max_length=2000)
    """Why zero decides; required for `primary: zero`."""
    prefixes: Annotated[int, Field(ge=1, le=99)] | Literal["per_item"] = 12
    """Sets of few-shot examples for each seed. A set is the cluster of intervals and tests. Three seeds with twelve
    sets make 36 clusters; with fewer than 35 no Null is given. `per_item`: every item has its own examples."""
    sets: int = Field(default=199, ge=0, le=9999)
    """Matched sets that the target is ranked among. 0: none, and nothing may be called specific."""
    population: Literal["layer", "model"] = "layer"
    """Where the matched sets come from: the target's own layers, or the heads of the whole model."""
    set_items: int = Field(default=256, ge=16, le=10**6)
    """Fewest items on which every set is measured, all seeds together."""
    outcome: Outcome = "accuracy"
    """What the verdict judges. `answer_logprob` and `logit_diff` are in nats; then the study gives `verdict.margin`,
    `verdict.effect`, `verdict.spread` and `baseline.spread` in nats."""
    margin_of: Literal["absolute", "headroom"] = "absolute"
    """`absolute`: the margin is a difference. `headroom`: it is a share of (baseline - chance)."""

    exhaustive: tuple[str, ...] = Field(default=(), max_length=16)
    """Tiers whose templates are all that their claim is about, so that fewer than 35 of them are enough for a Null."""

    asking: tuple[str, ...] = Field(default=(), max_length=16, exclude_if=lambda tiers: not tiers)
    """Tiers whose cells may be called specific; without any, all. Holm's correction counts every cell that may, so
    fewer of them need fewer sets. Without any the key is left out of the study's hash."""

    @model_validator(mode="after")
    def _reasoned(self) -> Self:
        if self.primary == "zero" and not self.why_zero.strip():
            raise ValueError("why_zero: zero is far from what a network meets; say why it decides")
        if self.primary != "zero" and self.why_zero:
            raise ValueError(f"why_zero: primary is {self.primary}; leave the reason out, or set primary: zero")
        return self

    @property
    def prefix_count(self) -> int:
        """Sets of few-shot examples for each seed; `lesion.tasks.task.OWN_PREFIX` where every item has its own."""
        return self.prefixes if isinstance(self.prefixes, int) else OWN_PREFIX
