"""The plan: a study expanded into stages of cells, before anything is computed.

A plan is a value. `stage(plan)` says what to do next and `contingency.amend(plan, verdict)` what follows from it; both
are pure. Interventions belong to stages that only a passed baseline gate opens, so they cannot be run before it.
"""

from typing import Literal

from pydantic import Field

from lesion.identity import Document
from lesion.interventions.site import head
from lesion.study.arm import BASELINE, REFERENCE, Arm, arm, companion, companions
from lesion.study.study import DetectedHeads, GivenSites, RankedNeurons, Study
from lesion.tasks.task import Split

StageName = Literal["instrument", "baseline", "detect", "discovery", "confirm"]
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
    """Conditions; the first is the baseline."""
    decoded: bool = Field(default=False, exclude_if=lambda decoded: not decoded)
    """Whether answers are written out, too, under the arms that `lesion.study.arm.writes` names."""


class Stage(Document):
    """Cells that are done together, and judged by the gate of the same name."""

    name: StageName
    attempt: int
    """0, then one more each time a contingency repeats the stage (or opens the second look)."""
    cells: tuple[Cell, ...]


class Verdict(Document):
    """What a gate said of a stage, and what it saw."""

    stage: StageName
    attempt: int
    outcome: Outcome
    reason: str
    """In a sentence."""
    evidence: dict[str, object] = {}
    """The numbers that it read, by name."""


class Chosen(Document):
    """A cell of the confirmatory family, fixed before the first look."""

    model: str
    tier: str
    alpha: float
    items: int
    """Items per seed at the first look."""
    psi: float
    """Discordant share, estimated on discovery items."""
    delta: float
    """Paired accuracy difference on discovery items (never reported as a result)."""

    @property
    def id(self) -> str:
        """`model|tier|target@alpha`."""
        return f"{self.model}|{self.tier}|target@{self.alpha:g}"


class PlanNote(Document):
    """Something that the plan met and a reader should know."""

    topic: str
    text: str


class Ending(Document):
    """Why there is no further stage."""

    outcome: Literal["complete", "stopped"]
    reason: str


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
    """Model -> sites of the target."""
    tenths: dict[str, tuple[str, ...]] = {}
    """Model -> by layer, a digit per neuron: the tenth of its layer's output norms; only where neurons are a target."""
    rounding: dict[str, dict[str, float]] = {}
    """Model -> tier -> accuracy difference that bfloat16 alone may make, a share; empty in float32."""
    norms: dict[str, tuple[tuple[float, ...], ...]] = {}
    """Model -> by layer, the output norm of each head; only where heads are a target."""
    references: dict[str, dict[str, tuple[str, ...]]] = {}
    """Model -> tier -> by confirmation seed, the hash of its reference set; empty without companions."""
    controls: dict[str, tuple[tuple[str, ...], ...]] = {}
    """Model -> matched random sets."""
    family: tuple[Chosen, ...] = ()
    """The confirmatory family; it never shrinks."""
    pending: tuple[str, ...] = ()
    """Ids of the family's cells that are not decided yet."""
    deferred: tuple[str, ...] = ()
    """`model|tier` of what was put off because the budget would not hold it; nothing is measured there."""
    notes: tuple[PlanNote, ...] = ()
    ending: Ending | None = None
    """Set when there is no further stage."""

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Every model and tier that is not put off, in the study's order."""
        every = ((model, tier) for model in self.study.models for tier in self.study.tasks)
        return tuple(pair for pair in every if "|".join(pair) not in self.deferred)

    def models(self) -> tuple[str, ...]:
        """The models of `pairs`."""
        return tuple(dict.fromkeys(model for model, _ in self.pairs()))

    def next_stage(self) -> Stage | None:
        """The stage to do now, or nothing when the plan has ended."""
        if self.ending is not None:
            return None
        return Stage(name=self.stage, attempt=self.attempt, cells=_CELLS[self.stage](self))


def new_plan(study: Study, key: str, shapes: dict[str, Shape], capacity: dict[str, int]) -> Plan:
    """The plan of a study before its first stage."""
    block = study.block
    start = min(_rounded(study.baseline.items, block), *(c // block * block for c in capacity.values()))
    items = {model: dict.fromkeys(study.tasks, start) for model in study.models}
    return Plan(study=study, key=key, shapes=shapes, capacity=capacity, items=items)


def targets_neurons(study: Study) -> bool:
    """Whether the study edits neurons, so that their output norms must be known."""
    target = study.sweep.target
    if isinstance(target, GivenSites):
        return target.parsed()[0].kind == "neuron"
    return isinstance(target, RankedNeurons)


def _rounded(items: int, block: int) -> int:
    """Items rounded up to whole blocks."""
    return -(-items // block) * block


def _blocks(start: int, stop: int, block: int) -> list[tuple[int, int]]:
    return [(first, min(first + block, stop)) for first in range(start, stop, block)]


def _instrument(plan: Plan) -> tuple[Cell, ...]:
    return tuple(Cell(stage="instrument", model=model, seed=plan.attempt) for model in plan.study.models)


def _detect(plan: Plan) -> tuple[Cell, ...]:
    return tuple(Cell(stage="detect", model=model, seed=plan.attempt) for model in plan.models())


def _baseline(plan: Plan) -> tuple[Cell, ...]:
    study = plan.study
    return tuple(
        Cell(stage="baseline", model=m, tier=t, split="confirm", seed=s, start=a, stop=b, arms=(BASELINE,))
        for m, t in plan.pairs()
        for s in range(study.baseline.seeds)
        for a, b in _blocks(0, plan.items[m][t], study.block)
    )


def swept(study: Study) -> tuple[float, ...]:
    """Every factor that discovery tries, in ascending order."""
    return tuple(sorted({*study.sweep.alphas, *study.sweep.always}))


def _discovery(plan: Plan) -> tuple[Cell, ...]:
    study = plan.study
    cells: list[Cell] = []
    for model in plan.models():
        arms = [BASELINE]
        for alpha in swept(study):
            arms.append(arm("target", plan.targets[model], alpha, study))
            arms += [arm(f"control{i}", c, alpha, study) for i, c in enumerate(plan.controls[model])]
        if isinstance(study.sweep.target, DetectedHeads):
            arms += [arm(name, (name,), 0.0, study) for name in all_heads(plan.shapes[model])]
        cells += [
            Cell(stage="discovery", model=model, tier=t, start=a, stop=b, arms=tuple(arms))
            for m, t in plan.pairs()
            if m == model
            for a, b in _blocks(0, study.sweep.items, study.block)
        ]
    return tuple(cells)


def all_heads(shape: Shape) -> list[str]:
    """Every head of a model, for the head map."""
    return [str(head(layer, index)) for layer in range(shape.layers) for index in range(shape.heads)]


def reference_items(plan: Plan, tier: str) -> int:
    """Items of each seed's reference set."""
    return min(REFERENCE, plan.capacity[tier])


def look_items(plan: Plan, chosen: Chosen) -> int:
    """Items per seed that a family member has at the present look (the second look doubles them)."""
    return chosen.items * (1 + plan.attempt if chosen.id in plan.pending else 1)


def _confirm(plan: Plan) -> tuple[Cell, ...]:
    study = plan.study
    cells: list[Cell] = []
    for model, tier in plan.pairs():
        here = [c for c in plan.family if (c.model, c.tier) == (model, tier) and c.id in plan.pending]
        if not here:
            continue
        first = min(chosen.items for chosen in here) if plan.attempt else 0
        last = max(look_items(plan, chosen) for chosen in here)
        for seed in range(study.baseline.seeds):
            for start, stop in _blocks(first, last, study.block):
                arms = _confirm_arms(plan, here, seed, start)
                if len(arms) > 1:
                    cells.append(
                        Cell(
                            stage="confirm", model=model, tier=tier, split="confirm", seed=seed,
                            start=start, stop=stop, arms=arms, decoded=tier in study.decoded,
                        )
                    )  # fmt: skip
    return tuple(cells)


def _confirm_arms(plan: Plan, family: list[Chosen], seed: int, start: int) -> tuple[Arm, ...]:
    """Baseline again, the placebo on each seed's first block, and every member that has items in this block."""
    study, model = plan.study, family[0].model
    arms = [BASELINE]
    if start == 0:
        placebo = arm("placebo", plan.targets[model], 1.0, study)
        arms.append(placebo.model_copy(update={"name": "placebo"}))
    for chosen in family:
        if (chosen.items if plan.attempt else 0) <= start < look_items(plan, chosen):
            arms.append(arm("target", plan.targets[model], chosen.alpha, study))
            if sets := plan.controls[model]:
                arms.append(arm("control", sets[seed % len(sets)], chosen.alpha, study))
            if references := plan.references.get(model, {}).get(chosen.tier):
                kinds = companions(chosen.alpha, study)
                arms += [companion(kind, plan.targets[model], references[seed], study) for kind in kinds]
    return tuple(arms)


_CELLS = {
    "instrument": _instrument,
    "baseline": _baseline,
    "detect": _detect,
    "discovery": _discovery,
    "confirm": _confirm,
}
