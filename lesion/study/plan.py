"""The plan: a study expanded into stages of cells, before anything is computed.

A plan is a value. `stages.next_stage(plan)` says what to do next and `contingency.amend(plan, verdict)` what follows
from it; both are pure. Interventions belong to stages that only a passed baseline gate opens, so they cannot be run
before it.
"""

from typing import Literal, NamedTuple

from pydantic import Field

from lesion.identity import Document, content_hash
from lesion.interventions.site import head
from lesion.stats.verdict.rule import Discovered
from lesion.study.arms.arm import REFERENCE, Arm
from lesion.study.arms.condition import Condition, Edit, Role, condition, member_of, placebo_of
from lesion.study.arms.edits import Exchange
from lesion.study.arms.targets import aim
from lesion.study.arms.vectors import SteeringVector
from lesion.study.claims import Ablation
from lesion.study.study import Study
from lesion.tasks.task import Split

StageName = Literal[
    "instrument", "baseline", "detect", "discovery", "confirm", "specificity",
    "transfer", "replicate", "replicate_specificity",
]  # fmt: skip
"""In their order. `specificity` measures matched sets for the cells with a detected effect (format 2); the last three
are the replication's discovery, confirmation and specificity, on other models."""
Outcome = Literal["Pass", "Fail", "Ambiguous"]


class Shape(Document):
    """What a plan must know of a model."""

    layers: int
    """Blocks."""
    heads: int
    """Query heads per block."""
    neurons: int
    """MLP neurons per block."""


class Cell(Document):
    """One unit of work: a block of items of one tier under some arms, or a question about the model itself."""

    stage: StageName
    """`instrument` proves the model, `detect` scores its heads, the others measure items."""
    model: str
    tier: str = ""
    split: Split = "discovery"
    seed: int = 0
    """Lane of the split; of a question about the model, the attempt, so that it is asked anew."""
    start: int = 0
    """First item of the block."""
    stop: int = 0
    """One past the last item."""
    arms: tuple[Arm, ...] = ()
    """Conditions; the first is the baseline, unless its rows stand in another cell."""
    target: str = Field(default="", exclude_if=lambda name: not name)
    """Of `detect`, in a study of several targets: the name of the one that is looked for."""
    decoded: bool = Field(default=False, exclude_if=lambda decoded: not decoded)
    """Whether answers are written out, too, under the arms that `lesion.study.arms.arm.writes` names."""

    def hash(self) -> str:
        """Content hash, the same for a cell that an older format stored."""
        stored = self.model_dump(mode="json", exclude={"arms"})
        return content_hash({**stored, "arms": [arm.identity() for arm in self.arms]})


class Stage(Document):
    """Cells that are done together, and judged by the gate of the same name."""

    name: StageName
    attempt: int
    """0, then one more each time a contingency repeats the stage (or opens the second look)."""
    cells: tuple[Cell, ...]


class Chosen(Document):
    """A cell of the confirmatory family, fixed before the first look."""

    model: str
    tier: str
    alpha: float
    items: int
    """Items per seed at the first look."""
    psi: float
    """Discordant share, estimated on discovery items; 0 with a continuous outcome."""
    delta: float
    """Paired difference on discovery items, a share or nats (never reported as a result)."""
    ablation: Ablation | None = Field(default=None, exclude_if=lambda value: value is None)
    """What takes the place of the target's activation; the factor is then 0. Nothing where the factor scales it, and in
    every cell of a study of format 1."""
    target: str = Field(default="", exclude_if=lambda name: not name)
    """Name of the target, in a study of several."""
    exchange: Exchange | None = Field(default=None, exclude_if=lambda value: value is None)
    """What is done to the target where the study's edit is neither a factor nor an ablation; the factor is then 0."""
    sd: float | None = Field(default=None, exclude_if=lambda value: value is None)
    """Continuous outcome: standard deviation of the paired differences within a cluster on discovery items, nats."""
    between: float = Field(default=0.0, exclude_if=lambda value: value == 0)
    """Standard deviation over clusters of their mean differences on discovery items (share or nats)."""

    set_items: int | None = Field(default=None, exclude_if=lambda value: value is None)
    """Items on which each matched set is measured if the cell has an effect, all seeds together; nothing where no sets
    are wanted, and in format 1."""

    @property
    def discovered(self) -> Discovered:
        """What discovery showed of the cell, as the statistics take it."""
        return Discovered(self.psi, self.delta, self.sd, self.between)

    @property
    def edit(self) -> str:
        """What is done to the target, as its arm is named: the ablation's name, else the factor."""
        return self.exchange or self.ablation or f"{self.alpha:g}"

    @property
    def short(self) -> str:
        """The same for a table: `noising`, `×0.5`; with the target's name in a study of several: `early: mean`."""
        who = f"{self.target}: " if self.target else ""
        return who + (self.exchange or self.ablation or f"×{self.alpha:g}")

    @property
    def aim(self) -> str:
        """The key of its model's target in the tables of a plan."""
        return aim(self.model, self.target)

    def condition(self, role: Role = "target", member: object = "", edit: Edit | None = None) -> Condition:
        """The condition that does to a target, control or set what this cell does to its target, or another edit."""
        return condition(role, edit or self.exchange or self.ablation or self.alpha, member_of(self.target, member))

    @property
    def arm(self) -> str:
        """Name of the arm that edits the target: `target@0.5`, `target@mean`."""
        return self.condition().name

    @property
    def placebo(self) -> str:
        """Name of the arm that scales its target by 1."""
        return placebo_of(self.target).name

    @property
    def id(self) -> str:
        """Name of the cell where a table is keyed by cells: `model|tier|target@edit`; nothing takes it apart."""
        return f"{self.model}|{self.tier}|{self.arm}"


Why = Literal["positive control", "improvement", "largest change in discovery", "room for an improvement"]
"""Why a cell is replicated."""


class Configuration(Document):
    """A cell of the first model that is tried on other models."""

    tier: str
    alpha: float
    why: Why


class PlanNote(Document):
    """Something that the plan met and a reader should know."""

    topic: str
    text: str


class Ending(Document):
    """Why there is no further stage."""

    outcome: Literal["complete", "stopped"]
    reason: str


class Aim(NamedTuple):
    """A target of a model, once its sites are known."""

    model: str
    target: str
    """Its name; empty where the study has one target."""
    sites: tuple[str, ...]


class Plan(Document):
    """A study, and how far it has come."""

    study: Study
    key: str
    """Orders the confirmation items: the hash of the registration, or of the study when there is none."""
    shapes: dict[str, Shape]
    """Model name -> shape."""
    capacity: dict[str, int]
    """Tier -> items that each confirmation seed holds."""
    stage: StageName = "instrument"
    attempt: int = 0
    items: dict[str, dict[str, int]] = {}
    """Model -> tier -> baseline items per seed."""
    targets: dict[str, tuple[str, ...]] = {}
    """`aim(model, target)` -> sites of the target; the key is the model's name where the study has one target."""
    tenths: dict[str, tuple[str, ...]] = {}
    """Model -> by layer, a digit per neuron: the tenth of its layer's output norms; only where neurons are a target."""
    rounding: dict[str, dict[str, float]] = {}
    """Model -> tier -> accuracy difference that bfloat16 alone may make, a share; empty in float32."""
    pools: Literal["first", "whole"] = Field(default="first", exclude_if=lambda pools: pools == "first")
    """Sites without norms, such as neurons, that matched sets are drawn from: all that are alike. `first`, of older
    plans: as many as allow the wanted sets, by number, so that sets share most of their sites; a fault, kept so that
    old runs come out again."""
    norms: dict[str, tuple[tuple[float, ...], ...]] = {}
    """Model -> by layer, the output norm of each head; only where heads are a target."""
    references: dict[str, dict[str, tuple[str, ...]]] = {}
    """Model -> tier -> by confirmation seed, the hash of its reference set, and last that of discovery's (format 1:
    without discovery's, and empty without companions)."""
    primary: dict[str, dict[str, Ablation]] = Field(default={}, exclude_if=lambda value: not value)
    """Model -> tier -> the ablation that decides; found by the instrument stage. Empty in format 1."""
    vectors: dict[str, SteeringVector] = Field(default={}, exclude_if=lambda value: not value)
    """`aim(model, target)` -> the vector that steering adds; found by the instrument stage."""
    controls: dict[str, tuple[tuple[str, ...], ...]] = {}
    """`aim(model, target)` -> matched random sets."""
    family: tuple[Chosen, ...] = ()
    """The confirmatory family; it never shrinks."""
    pending: tuple[str, ...] = ()
    """Ids of the family's cells that are not decided yet."""
    deferred: tuple[str, ...] = ()
    """`model|tier` of what was put off because the budget would not hold it; nothing is measured there."""
    ranking: dict[str, tuple[str, ...]] = {}
    """Model -> its heads in the detector's order, as many as `sweep.staged` asks for."""
    improved: tuple[str, ...] = ()
    """Ids of the family's cells that are Improvements; only where there is a replication."""
    detected: dict[str, Literal["Improvement", "Harm"]] = Field(default={}, exclude_if=lambda value: not value)
    """Ids of members with a detected effect -> which; only they ask whether it is the target's own (format 2)."""
    specific: tuple[str, ...] = Field(default=(), exclude_if=lambda value: not value)
    """Ids of members whose effect is specific; the replication asks only where the source's is."""
    full: tuple[str, ...] = Field(default=(), exclude_if=lambda value: not value)
    """Ids of members whose baseline is at the ceiling, so that nothing can improve there (format 2)."""
    configurations: tuple[Configuration, ...] = ()
    """What is replicated, fixed when the family is decided."""
    replicas: tuple[Chosen, ...] = ()
    """The replication's own confirmatory family: every configuration on every model that it could be mapped to."""
    unmapped: dict[str, str] = {}
    """Model of the replication -> why nothing could be mapped to it."""
    notes: tuple[PlanNote, ...] = ()
    ending: Ending | None = None
    """Set when there is no further stage."""

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Every model and tier that is not put off, in the study's order."""
        every = ((model, tier) for model in self.study.subjects for tier in self.study.tasks)
        return tuple(pair for pair in every if pair_name(*pair) not in self.deferred)

    def own_pairs(self) -> tuple[tuple[str, str], ...]:
        """Those of `pairs` that are discovered and confirmed: the study's own models."""
        return tuple(pair for pair in self.pairs() if pair[0] in self.study.models)

    def other_pairs(self) -> tuple[tuple[str, str], ...]:
        """Those of `pairs` on which the replication tries its configurations."""
        tiers = {each.tier for each in self.configurations}
        others = [pair for pair in self.pairs() if pair[0] not in self.study.models]
        return tuple((m, t) for m, t in others if m not in self.unmapped and t in tiers)

    def models(self) -> tuple[str, ...]:
        """The models of `pairs`."""
        return tuple(dict.fromkeys(model for model, _ in self.pairs()))

    def aims(self, model: str | None = None) -> tuple[Aim, ...]:
        """The targets whose sites are known, of every model or of one, in the study's order."""
        return tuple(
            Aim(each, name, self.targets[key])
            for each in self.study.subjects
            for name in self.study.sweep.named
            if model in (None, each) and (key := aim(each, name)) in self.targets
        )

    def members(self) -> tuple[Chosen, ...]:
        """The confirmatory family and, after it, the replication's."""
        return self.family + self.replicas

    def present(self) -> tuple[Chosen, ...]:
        """The family that the present stage decides: corrections run over all of it."""
        return self.replicas if self.stage == "replicate" else self.family


def pair_name(model: str, tier: str) -> str:
    """What a model and tier are called together where a table is keyed by both; nothing takes the name apart."""
    return f"{model}|{tier}"


def new_plan(study: Study, key: str, shapes: dict[str, Shape], capacity: dict[str, int]) -> Plan:
    """The plan of a study before its first stage."""
    block = study.block
    start = min(_rounded(study.baseline.items, block), *(c // block * block for c in capacity.values()))
    items = {model: dict.fromkeys(study.tasks, start) for model in study.subjects}
    return Plan(study=study, key=key, shapes=shapes, capacity=capacity, items=items, pools="whole")


def _rounded(items: int, block: int) -> int:
    """Items rounded up to whole blocks."""
    return -(-items // block) * block


def swept(study: Study) -> tuple[float, ...]:
    """Every factor that discovery tries, in ascending order; 0 alone where the edit has no factor."""
    return tuple(sorted({*study.sweep.alphas, *study.sweep.always}))


def all_heads(shape: Shape) -> list[str]:
    """Every head of a model, for the head map."""
    return [str(head(layer, index)) for layer in range(shape.layers) for index in range(shape.heads)]


def reference_items(plan: Plan, tier: str) -> int:
    """Items of each seed's reference set."""
    return min(REFERENCE, plan.capacity[tier])


def look_items(plan: Plan, chosen: Chosen) -> int:
    """Items per seed that a family member has at the present look (the second look doubles them)."""
    looks = 1 + plan.attempt if chosen.id in plan.pending else 1  # a look adds as many new items as the first had
    return chosen.items * looks


def is_control(study: Study, chosen: Chosen) -> bool:
    """Whether a member is the ablation that the positive control rests on."""
    return chosen.tier == study.positive_control and (chosen.exchange or chosen.ablation) is not None
