"""Does one shared mechanism look like two? Simulated items under two edits, judged by the rule of dissociations.

An item is right or wrong unedited, under edit A and under edit B. The three answers go together as far as their chances
allow, but for a share of items that answer independently. Items come in clusters whose effects may differ.

The null is one mechanism that both edits weaken, by unequal strength: each task is a monotone function of what is left,
with a headroom and a curve of its own. Then one edit harms more on both tasks. Nearer to a false claim are the edges of
the rule: one lead equal to the margin, no harm, equal shares on both tasks.
"""

from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lesion.stats.calibration.rates import Rate, counted, worst
from lesion.stats.dissociation.power import dissociation_n
from lesion.stats.dissociation.rule import WORDS, Side, decided, evidence, share_of
from lesion.stats.paired.cluster_mean import guarded
from lesion.stats.paired.one_sided import Counted, Sample
from lesion.stats.verdict.decision_rule import Bools, Floats, Ints
from lesion.stats.verdict.rule import Rule

SEEDS = 3
PATTERNS = np.array(list(product((0, 1), repeat=3)))
"""The eight answers of an item: unedited, under edit A, under edit B."""
DOUBLE, NONE = WORDS.index("Double dissociation"), WORDS.index("No double dissociation")


class Task(NamedTuple):
    """Accuracies on one task (shares)."""

    baseline: float
    under_a: float
    under_b: float


@dataclass(frozen=True)
class TwoTasks:
    """The truth behind simulated questions: is A the first task's, and B the second's?"""

    says: str
    first: Task
    second: Task
    chance: float = 0.1
    clusters: int = 36
    items: int = 40
    """Of each cluster."""
    sd: float = 0.0
    """Standard deviation over clusters of each edit's accuracy (share)."""
    noise: float = 0.15
    """Share of items whose three answers are independent."""
    questions: int = 1
    """Asked together, each with items of its own."""

    def __str__(self) -> str:
        extra = f", clusters differ by {100 * self.sd:g} points" if self.sd else ""
        several = f", {self.questions} questions" if self.questions > 1 else ""
        return f"{self.says}{extra}{several}"


def shared(says: str, left: tuple[float, float], rooms: tuple[float, float], curve: float, sd: float) -> TwoTasks:
    """One mechanism, of which A and B leave these shares; the second task is a power of it.

    Args:
        says: its name.
        left: what each edit leaves of the mechanism, 0 to 1.
        rooms: headroom of each task above chance (shares).
        curve: exponent of the second task's function.
        sd: how much clusters differ.
    """
    one, other = (
        Task(0.1 + room, *(0.1 + room * share**power for share in left))
        for room, power in zip(rooms, (1.0, curve), strict=True)
    )
    return TwoTasks(says, one, other, sd=sd)


def conduct_dissociations(scene: TwoTasks, rule: Rule, studies: int, generator: np.random.Generator) -> Ints:
    """Words of simulated studies as indices into WORDS, [studies, questions]."""
    shape = (studies, scene.questions)
    first, second = (answers(scene, task, shape, generator) for task in (scene.first, scene.second))
    sides = side(first, 0, scene.chance, rule), side(second, 1, scene.chance, rule)
    able, stable = ~(_floor(first, scene, rule) | _floor(second, scene, rule)), _stable(first, 0) & _stable(second, 1)
    return decided(evidence(sides), able, stable, rule, scene.questions)


def answers(scene: TwoTasks, task: Task, shape: tuple[int, ...], generator: np.random.Generator) -> Ints:
    """How many items of each cluster have each of the eight `PATTERNS`, [..., clusters, 8]."""
    right = np.broadcast_to(np.array(task, dtype=np.float64), (*shape, scene.clusters, 3)).copy()
    if scene.sd:
        right[..., 1:] += generator.normal(0.0, scene.sd, (*shape, scene.clusters, 2))
    right = np.clip(right, 0.0, 1.0)[..., None, :]
    together = np.where(PATTERNS == 1, right, 1.0).min(-1) - np.where(PATTERNS == 0, right, 0.0).max(-1)
    apart = np.where(PATTERNS == 1, right, 1 - right).prod(-1)
    chances = (1 - scene.noise) * np.maximum(together, 0.0) + scene.noise * apart
    return generator.multinomial(scene.items, chances / chances.sum(-1, keepdims=True))


def side(counted_: Ints, own: int, chance: float, rule: Rule) -> Side:
    """One task, from the patterns of its clusters; `own`: 0 where A is its own target, 1 where B is."""
    mine, theirs = PATTERNS[:, 1 + own], PATTERNS[:, 2 - own]
    sizes = counted_.sum(-1)
    room = counted_ @ PATTERNS[:, 0] - chance * sizes
    return Side(
        own=_sample(counted_, PATTERNS[:, 0] - mine),
        lead=_sample(counted_, theirs - mine),
        own_share=share_of(counted_ @ (PATTERNS[:, 0] - mine), room, sizes),
        other_share=share_of(counted_ @ (PATTERNS[:, 0] - theirs), room, sizes),
        margin=np.array(rule.margin),
    )


def _sample(counted_: Ints, difference: NDArray[np.int64]) -> Sample:
    whole = counted_.sum(-2)
    counts = Counted(whole @ (difference > 0), whole @ (difference < 0), whole.sum(-1))
    return Sample(counts, (guarded(counted_ @ difference, counted_.sum(-1)),))


def _floor(counted_: Ints, scene: TwoTasks, rule: Rule) -> Bools:
    share = (counted_.sum(-2) @ PATTERNS[:, 0]) / counted_.sum((-2, -1))
    error = np.sqrt(share * (1 - share) / counted_.sum((-2, -1)))
    return np.asarray(share - scene.chance <= np.maximum(rule.margin, 2 * error) + 1e-12)


def _stable(counted_: Ints, own: int) -> Bools:
    """The lead is above 0 in every seed; clusters belong to the seeds in turn."""
    lead = counted_ @ (PATTERNS[:, 2 - own] - PATTERNS[:, 1 + own])
    means: Floats = np.stack([lead[..., seed::SEEDS].sum(-1) for seed in range(SEEDS)], -1).astype(np.float64)
    return np.asarray((means > 0).all(-1))


def dissociation_rates(rule: Rule, studies: int, generator: np.random.Generator, *, quick: bool) -> dict[str, Rate]:
    """How often a dissociation is claimed where there is none, denied where there is one, and found."""
    m = rule.margin
    false = "(xviii) Double dissociation, though one mechanism serves both tasks"
    edge = "(xix) Double dissociation at an edge of the rule"
    deny = "(xx) No double dissociation, though both leads are the margin"
    find = "(xxi) Double dissociation where both leads are 10 points"
    null = [
        shared(f"left {left[0]:g} and {left[1]:g}, headroom {rooms[0]:g} and {rooms[1]:g}", left, rooms, curve, sd)
        for left in (((0.4, 0.7), (0.6, 0.6)) if quick else ((0.4, 0.7), (0.6, 0.6), (0.0, 0.9)))
        for rooms in ((0.85, 0.15), (0.5, 0.5))
        for curve in ((3.0,) if quick else (1.0, 3.0))
        for sd in ((0.03,) if quick else (0.0, 0.03))
    ]
    edges = [
        TwoTasks("one lead is the margin", Task(0.9, 0.5, 0.85), Task(0.6, 0.55, 0.55 - m), sd=sd, questions=asked)
        for sd, asked in ((0.0, 1), (0.03, 1), (0.0, 6))
    ]
    edges += [
        TwoTasks("A harms nothing, B improves its task", Task(0.7, 0.7, 0.9), Task(0.8, 0.85, 0.4)),
        TwoTasks("A takes the same share of both tasks", Task(0.9, 0.58, 0.82), Task(0.5, 0.34, 0.14)),
    ]
    both = [
        TwoTasks("both leads are the margin", Task(0.9, 0.7 - m, 0.7), Task(0.6, 0.5, 0.5 - m), sd=sd)
        for sd in (0.0, 0.03)
    ]
    items = -(-dissociation_n(0.2, 0.1, rule) // 36)
    planned = TwoTasks("planned items", Task(0.9, 0.75, 0.85), Task(0.6, 0.57, 0.47), items=items)

    def asked(says: str, scenes: list[TwoTasks], word: int) -> Rate:
        shown = [(np.asarray((conduct_dissociations(s, rule, studies, generator) == word).any(-1)), s) for s in scenes]
        return worst([counted(says, each, rule.alpha, "at most", str(scene)) for each, scene in shown])

    found = np.asarray((conduct_dissociations(planned, rule, studies, generator) == DOUBLE).any(-1))
    return {
        "dissociation_false_positive": asked(false, null, DOUBLE),
        "dissociation_at_the_edge": asked(edge, edges, DOUBLE),
        "dissociation_false_negative": asked(deny, both, NONE),
        "dissociation_power": counted(find, found, 0.75, "at least", str(planned)),
    }
