"""The study: everything that is decided before the data, as one frozen document.

Every field has a unit and a default that is written out in the manifest. See docs/study-format.md.
"""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from lesion.errors import nearest
from lesion.identity import Document
from lesion.stats.verdict.rule import Outcome, Rule
from lesion.study.arms.edits import Ablating, Scaling, Steering
from lesion.study.arms.targets import (
    AllBut,
    DetectedHeads,
    GivenSites,
    RankedNeurons,
    ScreenedSites,
    Share,
    Slug,
)
from lesion.study.arms.vectors import PairsVector
from lesion.study.claims import Ablation, Claims
from lesion.study.sweep import Sweep
from lesion.tasks.config import AnalogyConfig, SymbolicConfig, TaskConfig
from lesion.tasks.tokenizers.chat_turn import Chat

ModelName = Annotated[
    str,
    Field(
        min_length=3,
        max_length=300,
        pattern=r"^(zoo:[a-z0-9-]+|pretrained:[a-z0-9.-]+|tiny:[a-z0-9_]+|[^\s:@]+@[0-9a-f]{40}|[^\s:@]+)$",
    ),
]
Positive = Annotated[float, Field(gt=0, le=1000)]
"""A share (below 1) where accuracy is judged, else nats."""


class Replication(Document):
    """The best configurations of the first model, tested on other models.

    Same tier and factor, at the corresponding heads. See docs/replication.md.
    """

    models: tuple[ModelName, ...] = Field(min_length=1, max_length=8)
    """Other models, best of other families. Discovery on them only sets the number of items."""
    best: int = Field(default=3, ge=1, le=16)
    """Number of confirmed cells of the first model: its Improvements, largest first; without any, the cells with the
    largest |change| in discovery. The positive control is replicated in addition."""


class Baseline(Document):
    """The unedited model on every tier, before any intervention, and its stability gate."""

    seeds: int = Field(default=3, ge=3, le=16)
    """Independent seeds; each draws its own items and few-shot examples."""
    items: int = Field(default=1024, ge=64, le=10**6)
    """Items per seed and tier at the start. Too few are enlarged, at most `enlargements` times."""
    spread: Positive = 0.03
    """Baseline gate: the range of the baseline over the seeds must stay below this. Accuracy: a share. Continuous
    outcomes: nats, and the study must give it."""
    enlargements: int = Field(default=2, ge=0, le=2)
    """Number of enlargements before the study stops."""


class VerdictRule(Document):
    """The thresholds of the verdict. See docs/verdict.md for the rule."""

    margin: Positive = Rule.margin
    """Equivalence margin m: the largest difference that counts as none. Accuracy: a share. Continuous outcomes: nats,
    and the study must give it. With `claims.margin_of: headroom` it is a share of (baseline - chance)."""
    alpha: Share = Rule.alpha
    """Error rate over all looks."""
    looks: Literal[1, 2] = Rule.looks
    """Analyses of the confirmation data. The second adds N new items to cells that were Ambiguous at the first."""
    effect: Positive = Rule.effect
    """Difference that the planned N must detect. Accuracy: a share. Continuous outcomes: nats, and the study must give
    it."""
    power: Share = Rule.power
    """Probability of detecting that difference."""
    spread: Positive = Rule.spread
    """Seed gate: the range of the paired differences over seeds must stay below this. Accuracy: a share. Continuous
    outcomes: nats, and the study must give it."""
    strata: tuple[Slug, ...] = ("operator", "pair", "pattern")
    """Strata, where a tier has them. Opposite effects in strata make a cell Mixed."""
    most_kl: Positive | None = Field(default=None, exclude_if=lambda limit: limit is None)
    """Largest mean KL divergence of an edited answer from the unedited one, nats per answer token. A cell above it is
    Invalid: its answers are further from the unedited ones than the study allows, for whatever reason, a strong effect
    included. Default: no limit, and the divergence is not measured."""
    cluster: Slug | None = "template"
    """Stratum whose items are not independent, where a tier has it. Its values are the units of tests and intervals;
    too few of them make a cell Invalid."""


class Budget(Document):
    """Cost limits. Exceeding one ends the run."""

    cpu_hours: float = Field(default=1.0, gt=0, le=10_000)
    """Processor hours over all workers."""
    gpu_hours: float = Field(default=25.0, ge=0, le=25)
    """Hours for which a run may hold a CUDA device; 0 are used on processors."""
    wall_minutes: float = Field(default=60.0, gt=0, le=100_000)
    """Minutes from start to end."""


def _counted(name: str) -> list[tuple[int, str]]:
    """A sort key in which numbers count: tier2 comes before tier10."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


class Study(Document):
    """A preregistered study."""

    lesion: Literal[1, 2] = 2
    """Version of this format. Format 1 studies can be read, verified and recounted, but not run."""
    name: Slug
    """Short name, part of the run folder's name: lower-case letters, digits, `-` and `_`."""
    question: str = Field(min_length=1, max_length=2000)
    """The question, in one or two sentences."""
    hypotheses: tuple[str, ...] = ()
    """Expectations, one sentence each, written before the data."""
    models: tuple[ModelName, ...] = Field(min_length=1, max_length=16)
    """`zoo:NAME`, `tiny:FAMILY`, `pretrained:NAME`, a local folder, or `org/name@COMMIT`."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Number type of the models. In bfloat16 a claim must exceed a noise floor measured against float32, and every
    verdict is marked."""
    chat: Chat | None = None
    """Puts every question into the model's chat template. A model without a template is refused."""
    tasks: dict[Slug, TaskConfig] = Field(min_length=1, max_length=16)
    """Tiers by name, each a task. Their order is that of their names (tier2 before tier10). If the budget is too small,
    the first is kept."""
    baseline: Baseline = Baseline()
    """Baseline and its gate."""
    sweep: Sweep = Sweep()
    """Target and edits."""
    verdict: VerdictRule = VerdictRule()
    """Thresholds of the verdict."""
    claims: Claims | None = Field(
        default_factory=lambda known: Claims() if known.get("lesion") == 2 else None,
        exclude_if=lambda value: value is None,
        json_schema_extra={"default": {}},
    )
    """Evidence that claims need. Not in format 1."""
    replication: Replication | None = Field(default=None, exclude_if=lambda value: value is None)
    """Test of the best configurations on other models."""
    decoded: tuple[Slug, ...] = Field(default=(), max_length=16, exclude_if=lambda tiers: not tiers)
    """Tiers whose confirmation also generates every answer as text. This gives the share of readable answers and the
    tag `format_effect`. Meant for free text (GSM8K, worked steps); answers must be numbers."""
    positive_control: Slug | None = None
    """Tier on which zeroing the target must be Harm, before a claim may name the target."""
    exclusions: Share = 0.01
    """Largest share of a tier's items that may break the prompt contract; above it the study stops."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed of discovery items, detector sequences and control sets."""
    block: int = Field(default=512, ge=16, le=65_536)
    """Items per work unit. Batches do not cross units, so results depend neither on memory nor on enlargement."""
    budget: Budget = Budget()
    """Cost limits."""

    @field_validator("tasks")
    @classmethod
    def _in_order(cls, tasks: dict[str, TaskConfig]) -> dict[str, TaskConfig]:
        """The hash does not know the order of keys, so nothing may depend on how a file lists them."""
        return {name: tasks[name] for name in sorted(tasks, key=_counted)}

    @field_validator("decoded")
    @classmethod
    def _any_order(cls, decoded: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(decoded)) < len(decoded):
            raise ValueError("a tier is listed twice")
        return tuple(sorted(decoded, key=_counted))

    @model_validator(mode="after")
    def _readable(self) -> Self:
        for tier in self.decoded:
            if tier not in self.tasks:
                raise ValueError(f"decoded: {nearest(tier, self.tasks)}")
            task = self.tasks[tier]
            if isinstance(task, SymbolicConfig | AnalogyConfig) or getattr(task, "format", "") == "words":
                raise ValueError(f"decoded: {tier} is answered by no numeral, so there is nothing to be read")
        if self.decoded and self.dtype != "float32":
            raise ValueError("decoded: texts are written in float32 only, for rounding changes what is written")
        return self

    @model_validator(mode="after")
    def _of_one_format(self) -> Self:
        if self.lesion == 1 and self.claims is not None:
            raise ValueError("claims: format 1 has none; set `lesion: 2`")
        if self.lesion == 2 and self.claims is None:
            raise ValueError("claims: format 2 needs them; leave the key out for the defaults")
        if self.lesion == 2 and self.sweep.ablations != Sweep().ablations:
            raise ValueError("sweep.ablations: format 2 measures zero, mean and resample always; leave the key out")
        return self

    @model_validator(mode="after")
    def _in_the_outcomes_unit(self) -> Self:
        """Shares where accuracy is judged; nats that the study itself gives where a continuous outcome is."""
        parts: dict[str, Document] = {f"verdict.{key}": self.verdict for key in ("margin", "effect", "spread")}
        parts["baseline.spread"] = self.baseline
        for name, part in parts.items():
            key = name.rpartition(".")[2]
            if self.continuous and key not in part.model_fields_set:
                raise ValueError(f"{name}: claims.outcome is {self.outcome}, so give it in nats; no default fits")
            if not self.continuous and getattr(part, key) >= 1:
                raise ValueError(f"{name}: accuracy differs by a share below 1, found {getattr(part, key):g}")
        if self.headroom and self.verdict.margin >= 1:
            raise ValueError("verdict.margin: with claims.margin_of headroom it is a share below 1 of the headroom")
        return self

    def _asking_is_named(self) -> None:
        """That `claims.asking` names tasks and targets of the study."""
        asking = self.claims.asking if self.claims is not None else ()
        for target in asking if isinstance(asking, dict) else ():
            if not self.sweep.targets:
                raise ValueError("claims.asking: by target only where sweep.targets names them; list the tasks")
            if target not in self.sweep.targets:
                raise ValueError(f"claims.asking: {nearest(target, self.sweep.targets)}")
        for tiers in asking.values() if isinstance(asking, dict) else (asking,):
            for tier in tiers:
                if tier not in self.tasks:
                    raise ValueError(f"claims.asking: {nearest(tier, self.tasks)}")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.positive_control is not None and self.positive_control not in self.tasks:
            raise ValueError(f"positive_control: {nearest(self.positive_control, self.tasks)}")
        for tier in self.exhaustive:
            if tier not in self.tasks:
                raise ValueError(f"claims.exhaustive: {nearest(tier, self.tasks)}")
        self._asking_is_named()
        for tier in self.effects_only:
            if tier not in self.tasks:
                raise ValueError(f"claims.effects_only: {nearest(tier, self.tasks)}")
        if self.effects_only and not self.continuous:
            raise ValueError("claims.effects_only: with outcome accuracy the seed gate asks for more items than a Null")
        for target in self.sweep.named.values():
            if isinstance(target, RankedNeurons | ScreenedSites) and target.tier not in self.tasks:
                raise ValueError(f"sweep.target.tier: {nearest(target.tier, self.tasks)}")
        if self.positive_control is not None and 0.0 not in self.sweep.always:
            raise ValueError("positive_control needs 0.0 among sweep.always: zeroing the target is the control")
        return self

    @model_validator(mode="after")
    def _edits_without_a_factor(self) -> Self:
        edit, swept = self.sweep.edit, self.sweep
        if isinstance(edit, Scaling):
            return self
        if self.lesion == 1:
            raise ValueError(f"sweep.edit: format 1 has no {edit.kind}; set `lesion: 2`")
        if (swept.alphas, swept.always, swept.best) != ((0.0,), (0.0,), 0):
            raise ValueError(f"sweep: {edit.kind} has no factor; leave alphas, always and best out")
        return self

    @model_validator(mode="after")
    def _ablated(self) -> Self:
        """A named ablation decides, so nothing else may be named as the one that does."""
        edit, named = self.sweep.edit, "auto" if self.claims is None else self.claims.primary
        if not isinstance(edit, Ablating) or named == edit.kind:
            return self
        if edit.kind == "zero":
            raise ValueError("sweep.edit: zero needs a reason: add `claims: {primary: zero, why_zero: …}`")
        if named != "auto":
            raise ValueError(f"claims.primary: sweep.edit is {edit.kind}, which decides; leave the key out")
        return self

    @model_validator(mode="after")
    def _exchanged(self) -> Self:
        """Edits that are neither a factor nor an ablation."""
        edit, swept = self.sweep.edit, self.sweep
        if edit.exchange is None:
            return self
        for what, there in (
            ("sweep.staged", swept.staged),
            ("decoded", self.decoded),
            ("replication", self.replication),
            ("positive_control", self.positive_control),
            ("claims.margin_of: headroom", self.headroom),
        ):
            if there:
                raise ValueError(f"{what}: not with an edit of kind {edit.kind}; leave it out, or scale")
        screened = any(isinstance(target, ScreenedSites) for target in swept.named.values())
        if edit.exchange == "denoising" and screened:
            raise ValueError(
                "sweep.target: a screen ranks what is lost on the prompts that are asked, the corrupted ones under "
                "denoising; name sites, or take noising"
            )
        if edit.kind == "patch" and "resid_pre" in swept.kinds and swept.positions == "all":
            raise ValueError("sweep.positions: a stream at all positions is the whole run; say last, or a role")
        if self.claims is not None and self.claims.primary != "auto":
            raise ValueError(f"claims.primary: {edit.kind} is no ablation, so none decides; leave it out")
        if edit.exchange == "denoising" and not self.continuous:
            raise ValueError(
                "claims.outcome: under denoising the unedited run reads the corrupted prompt, so its accuracy is low; "
                "give logit_diff or answer_logprob"
            )
        if edit.kind == "knock_out" and any(kind != "head" for kind in swept.kinds):
            raise ValueError("sweep.target: edges are knocked out of heads; name heads, or a detector")
        return self

    @model_validator(mode="after")
    def _steered(self) -> Self:
        """A vector is added at one stream, and pairs are those of a tier."""
        edit = self.sweep.edit
        if not isinstance(edit, Steering):
            return self
        for target in self.sweep.named.values():
            sites = target.parsed() if isinstance(target, GivenSites) else ()
            if [site.kind for site in sites] != ["resid_pre"]:
                raise ValueError(
                    "sweep.target: steer adds a vector at one stream: {kind: sites, sites: [L5.resid_pre]}"
                )
        if isinstance(edit.vector, PairsVector) and edit.vector.tier not in self.tasks:
            raise ValueError(f"sweep.edit.vector.tier: {nearest(edit.vector.tier, self.tasks)}")
        return self

    @model_validator(mode="after")
    def _several_targets(self) -> Self:
        """What is not defined for several targets."""
        swept = self.sweep
        if not swept.targets:
            return self
        if self.lesion == 1:
            raise ValueError("sweep.targets: format 1 has one target; set `lesion: 2`")
        for what, there in (
            ("sweep.staged", swept.staged),
            ("replication", self.replication),
            ("positive_control", self.positive_control),
        ):
            if there:
                raise ValueError(f"{what}: not with several targets; leave it out, or give one target")
        return self

    @model_validator(mode="after")
    def _dissociated(self) -> Self:
        """What questions about dissociations need."""
        asked, swept = self.claims.dissociation if self.claims is not None else (), self.sweep
        if not asked:
            return self
        if len(swept.targets) < 2 or (asked == "all" and len(self.tasks) < 2):
            raise ValueError("claims.dissociation: give two sweep.targets or more, and two tasks or more")
        if swept.edit.exchange == "denoising":
            raise ValueError("claims.dissociation: denoising restores and harms nothing; use noising")
        if self.dtype != "float32":
            raise ValueError("claims.dissociation: float32 only, for leads are not compared with bfloat16's rounding")
        if 0.0 not in swept.always:
            raise ValueError("claims.dissociation needs 0.0 among sweep.always: it compares ablations of the targets")
        for each in () if asked == "all" else asked:
            for name in each.targets:
                if name not in swept.targets:
                    raise ValueError(f"claims.dissociation: {nearest(name, swept.targets)}")
            for task in each.tasks:
                tier, _, stratum = task.partition(":")
                if tier not in self.tasks:
                    raise ValueError(f"claims.dissociation: {nearest(tier, self.tasks)}")
                if stratum and stratum.partition("=")[0] not in self.verdict.strata:
                    raise ValueError(f"claims.dissociation: {nearest(stratum.partition('=')[0], self.verdict.strata)}")
        return self

    @model_validator(mode="after")
    def _mapped(self) -> Self:
        if self.sweep.staged and not isinstance(self.sweep.target, DetectedHeads):
            raise ValueError("sweep.staged needs heads that a detector ranks: a target of kind 'detected'")
        if self.replication is None:
            return self
        if isinstance(self.sweep.target, GivenSites | AllBut | ScreenedSites):
            raise ValueError("replication maps by detector rank: it needs a target of kind 'detected' or 'neurons'")
        if twice := set(self.replication.models) & set(self.models):
            raise ValueError(f"replication.models: {', '.join(sorted(twice))} is a model of the study itself")
        return self

    @property
    def outcome(self) -> Outcome:
        """What the verdict judges."""
        return "accuracy" if self.claims is None else self.claims.outcome

    @property
    def primary(self) -> Ablation | Literal["auto"]:
        """The ablation that decides where the target is ablated; `auto`: the instrument stage chooses."""
        edit = self.sweep.edit
        if isinstance(edit, Ablating):
            return edit.kind
        return "auto" if self.claims is None else self.claims.primary

    @property
    def continuous(self) -> bool:
        """Whether the verdict judges nats."""
        return self.outcome != "accuracy"

    @property
    def headroom(self) -> bool:
        """Whether the margin is a share of (baseline - chance)."""
        return self.claims is not None and self.claims.margin_of == "headroom"

    @property
    def counts_unseen_answers(self) -> bool:
        """Whether the floor of a log-probability is corrected for answers that discovery did not draw."""
        return self.claims is not None and self.claims.chance == "coverage"

    @property
    def exhaustive(self) -> tuple[str, ...]:
        """Tiers whose templates are all that their claim is about."""
        return () if self.claims is None else self.claims.exhaustive

    @property
    def effects_only(self) -> tuple[str, ...]:
        """Tiers whose items need not suffice for a Null."""
        return () if self.claims is None else self.claims.effects_only

    @property
    def prefixes(self) -> int:
        """Sets of few-shot examples for each seed; 0: every item has its own."""
        return 1 if self.claims is None else self.claims.prefix_count

    @property
    def subjects(self) -> tuple[str, ...]:
        """Every model: the study's own, then those of the replication."""
        return self.models + (self.replication.models if self.replication else ())
