"""What is asked about a double dissociation, and what was found: the question, its two sides, the verdict."""

from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Literal

from lesion.stats.dissociation.rule import DissociationWord
from lesion.stats.verdict.cell_verdict import Clause

DissociationTag = Literal[
    "complete", "partial", "floor", "unequal_headroom", "seeds_differ", "few_clusters", "one_sided"
]
"""complete: under the ablation that decides, neither target harms the other's task by more than the margin, shown by
equivalence (a cell's other ablations may disagree: its own verdict says so); partial: one of them does harm it; floor:
a task has nothing to lose; unequal_headroom: one task has more than twice the headroom of the other, so only
comparisons within a task can be read without a scale; seeds_differ: a lead is not above 0 in every seed; few_clusters:
too few templates or prefixes to speak of others than these; one_sided: a single dissociation, exactly one of the two
leads holds."""


@dataclass(frozen=True)
class Asked:
    """Is the first target the first task's, and the second one the second task's?"""

    first: str
    """Name of a target."""
    second: str
    tasks: tuple[str, str]
    """The task that the first target should harm more, and the one that the second should."""

    @property
    def name(self) -> str:
        """Name of the question where a table is keyed by questions; nothing takes it apart."""
        return f"{self.first} on {self.tasks[0]}, {self.second} on {self.tasks[1]}"


def every_question(targets: tuple[str, ...], tasks: tuple[str, ...]) -> tuple[Asked, ...]:
    """Every pair of targets with every ordered pair of tasks: what Holm counts when a study names no questions."""
    return tuple(
        Asked(first, second, pair) for first, second in combinations(targets, 2) for pair in permutations(tasks, 2)
    )


@dataclass(frozen=True)
class CellEffect:
    """What one target's edit does to one task."""

    target: str
    task: str
    n: int
    baseline: float
    """Outcome of the unedited model: accuracy, or nats."""
    chance: float
    delta: float
    """Edited minus baseline (share or nats); below 0 is harm."""
    low: float
    high: float
    confidence: float
    """Level of the interval of this cell alone."""
    share: float | None
    """`delta` as a share of (baseline - chance); nothing where the baseline is not above chance."""


@dataclass(frozen=True)
class Lead:
    """One task of a question: by how much its own target harms it more than the other target, on the same items."""

    task: str
    own: str
    """The target that should harm it more."""
    other: str
    n: int
    clusters: int | None
    harm: float
    """Baseline minus edited under its own target (share or nats)."""
    other_harm: float
    """The same under the other target."""
    lead: float
    """`harm - other_harm`."""
    low: float
    high: float
    margin: float
    """What the lead must exceed."""
    p_harm: float
    """One-sided: its own target harms it."""
    p_lead: float
    """One-sided: the lead exceeds the margin."""
    p_between: float
    """One-sided: its own target takes a larger share of this task's headroom than of the other task's."""
    p_other: float
    """One-sided: the other target harms this task, too."""
    p_spared: float
    """The other target's effect on this task is inside the margin (equivalence)."""
    headroom: float
    """Baseline minus chance."""
    floor: bool
    """Is the baseline no better than guessing, or has it no more than the margin to lose?"""
    seeds: tuple[float, ...]
    """The lead in each seed."""


@dataclass(frozen=True)
class Dissociation:
    """What is decided about one question."""

    first: str
    second: str
    tasks: tuple[str, str]
    verdict: DissociationWord
    tags: tuple[DissociationTag, ...]
    reason: str
    """Why it is Invalid; else empty."""
    leads: tuple[Lead, ...]
    """Of both tasks; none where the question is Invalid."""
    confidence: float
    """Level of the intervals, 1 - 2 alpha_look."""
    interaction: float | None
    """Sum of the leads, each as a share of its task's headroom: the interaction of target and task. No test rests on
    it: two leads above 0 imply it."""
    interaction_low: float | None
    interaction_high: float | None
    p: float | None
    """The largest of the six one-sided p-values."""
    p_holm: float | None
    p_none: float | None
    """That one lead at least is below its margin."""
    p_none_holm: float | None
    clauses: tuple[Clause, ...]
    """The rule's conditions in their order."""

    @property
    def name(self) -> str:
        """The question's name."""
        return Asked(self.first, self.second, self.tasks).name
