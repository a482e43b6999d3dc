"""Simulated studies whose items share prefixes or templates with differences of their own, and what is promised there.

Clusters are the same at both looks, as prefixes are; the second look brings as many new items of each. One drift moves
all cells of a study together, which is the worst case for a family.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal, NamedTuple

import numpy as np

from lesion.stats.calibration.clustered_studies import SEEDS, Judged, Units, judge_units
from lesion.stats.calibration.rates import Rate, Side, counted, worst
from lesion.stats.calibration.simulate import AMBIGUOUS, INCONCLUSIVE, Endings
from lesion.stats.verdict.decision_rule import Bools, Floats, Ints
from lesion.stats.verdict.rule import Rule

Shape = Literal["normal", "one in twelve", "heavy tails", "uneven spread"]
UNGATED = 0.999
"""A spread that no range of differences reaches: the seed gate left out."""
BLOCK = 3_000_000
"""Units held in memory at a time."""


@dataclass(frozen=True)
class Clustered:
    """The truth behind simulated studies with clusters."""

    delta: float = 0.0
    """Mean over all clusters that might have been drawn (share)."""
    clusters: int = 36
    items: int = 204
    """Items of a cluster at each look; 36 of them make the 2,440 per seed that the rule plans for psi = .2."""
    psi: float = 0.2
    cells: int = 1
    sd: float = 0.0
    """Standard deviation over clusters of their own differences (share)."""
    shape: Shape = "normal"
    """How they are distributed; "one in twelve": that many lie 12 delta (or 36 points) off, all others at one place."""
    uneven: bool = False
    """Are there clusters of a quarter and of twice the usual size?"""

    def __str__(self) -> str:
        changed = [(f.name, getattr(self, f.name)) for f in fields(self) if getattr(self, f.name) != f.default]
        return ", ".join(f"{name} {value}" for name, value in changed) or "nothing varies"


def conduct_clusters(
    scene: Clustered,
    rule: Rule,
    studies: int,
    generator: np.random.Generator,
    *,
    needed: int = 1,
    flips: bool = True,
) -> tuple[Endings, Floats]:
    """Simulates studies from the first look to their verdicts; with the mean of the clusters drawn, [studies].

    Args:
        scene: the truth.
        rule: the thresholds.
        studies: how many.
        generator: source of randomness.
        needed: items per seed without which the seed gate is NotEvaluable.
        flips: as for `judge_units`.
    """
    size = max(1, BLOCK // (scene.cells * scene.clusters))
    parts = [
        _block(scene, rule, min(size, studies - start), generator, needed, flips) for start in range(0, studies, size)
    ]
    endings = Endings(*(np.concatenate(columns) for columns in zip(*(ending for ending, _ in parts), strict=True)))
    return endings, np.concatenate([drawn for _, drawn in parts])


def _block(
    scene: Clustered, rule: Rule, studies: int, generator: np.random.Generator, needed: int, flips: bool
) -> tuple[Endings, Floats]:
    sizes, own = _sizes(scene), _own(scene, studies, generator)
    drawn = (own[:, 0] * sizes).sum(-1) / sizes.sum()
    truth = drawn if scene.clusters < 35 else np.full(studies, scene.delta)
    first = _items(scene, own, sizes, generator)
    judged = judge_units(first, rule, scene.cells, needed, flips=flips)
    pending = (judged.codes == AMBIGUOUS) & (rule.looks == 2)
    again = pending.any(axis=1)
    if again.any():
        more = _items(scene, own[again], sizes, generator)
        both = _both(_of(first, again), more, 2 * sizes)
        late = judge_units(both, rule, scene.cells, needed, pending[again], flips=flips)
        judged = _later(judged, late, again, pending)
    return Endings(
        verdicts=np.where(judged.codes == AMBIGUOUS, INCONCLUSIVE, judged.codes),
        estimate=judged.delta,
        covered=(judged.low <= truth[:, None]) & (truth[:, None] <= judged.high),
        second=pending,
    ), drawn


def _sizes(scene: Clustered) -> Ints:
    if not scene.uneven:
        return np.full(scene.clusters, scene.items)
    shares = np.resize([0.25, 0.5, 0.75, 1.0, 1.5, 2.0], scene.clusters)
    return np.maximum(1, np.rint(shares * scene.items)).astype(np.int64)


def _own(scene: Clustered, studies: int, generator: np.random.Generator) -> Floats:
    """True differences of the clusters, [studies, 1, clusters], with mean `delta`."""
    shape = (studies, 1, scene.clusters)
    if scene.shape == "one in twelve":
        far = 12 * scene.delta if scene.delta else 0.36
        return np.asarray(scene.delta - far / 12 + far * (generator.random(shape) < 1 / 12), dtype=np.float64)
    if scene.shape == "heavy tails":
        noise = generator.standard_t(3, shape) / np.sqrt(3)
    elif scene.shape == "uneven spread":
        noise = generator.normal(0, 1, shape) * np.where(np.asarray(range(scene.clusters)) % 4 == 0, 1.9, 0.36)
    else:
        noise = generator.normal(0, 1, shape)
    return np.asarray(scene.delta + scene.sd * noise, dtype=np.float64)


def _items(scene: Clustered, own: Floats, sizes: Ints, generator: np.random.Generator) -> Units:
    """The items of one look. Up to three cells by exact counts; more by rounded normal sums, which are as good."""
    shape = (own.shape[0], scene.cells, scene.clusters)
    delta = np.clip(np.broadcast_to(own, shape), -1, 1)
    psi = np.maximum(scene.psi, np.abs(delta))
    seed = np.asarray(range(scene.clusters)) % SEEDS
    if scene.cells <= 3:
        gained = generator.binomial(sizes, (psi + delta) / 2)
        rest = np.clip((psi - delta) / np.maximum(2 - psi - delta, 1e-9), 0, 1)
        lost = generator.binomial(sizes - gained, rest)
        return Units(gained - lost, sizes, seed, _by_seed(gained, seed), _by_seed(lost, seed))
    sums = np.rint(generator.normal(sizes * delta, np.sqrt(sizes * (psi - delta**2)))).astype(np.int64)
    total = _by_seed(sums, seed)
    changed = np.maximum(generator.binomial(_by_seed(np.broadcast_to(sizes, shape), seed), scene.psi), np.abs(total))
    changed += (changed + total) % 2
    return Units(sums, sizes, seed, (changed + total) // 2, (changed - total) // 2)


def _by_seed(values: Ints, seed: Ints) -> Ints:
    return np.stack([values[..., seed == k].sum(-1) for k in range(SEEDS)], -1)


def _of(units: Units, chosen: Bools) -> Units:
    """The units of the chosen studies."""
    if units.gained is None or units.lost is None:
        return units._replace(sums=units.sums[chosen])
    return units._replace(sums=units.sums[chosen], gained=units.gained[chosen], lost=units.lost[chosen])


def _both(first: Units, second: Units, sizes: Ints) -> Units:
    """The items of both looks in the same clusters."""
    if first.gained is None or first.lost is None or second.gained is None or second.lost is None:
        return first._replace(sums=first.sums + second.sums, sizes=sizes)
    gained, lost = first.gained + second.gained, first.lost + second.lost
    return first._replace(sums=first.sums + second.sums, sizes=sizes, gained=gained, lost=lost)


def _later(first: Judged, second: Judged, again: Bools, pending: Bools) -> Judged:
    """The second look's judgement where there was one."""
    merged: list[Floats] = []
    for early, late in zip(first, second, strict=True):
        whole = early.copy()
        whole[again] = late
        merged.append(np.where(pending, whole, early))
    return Judged(merged[0].astype(np.int64), *merged[1:])


Event = Callable[[Endings, Floats], Bools]


def claim(endings: Endings, _: Floats) -> Bools:
    """Any cell Improvement or Harm."""
    return endings.any_of("Improvement", "Harm")


def null(endings: Endings, _: Floats) -> Bools:
    """Any cell Null."""
    return endings.any_of("Null")


def against_the_drawn(endings: Endings, drawn: Floats) -> Bools:
    """Improvement where the clusters that were drawn lose on average, or Harm where they gain."""
    rises, falls = endings.any_of("Improvement"), endings.any_of("Harm")
    return (rises & (drawn <= 0)) | (falls & (drawn >= 0))


def holds_truth(endings: Endings, _: Floats) -> Bools:
    """The first cell's interval holds the truth."""
    return endings.covered[:, 0]


class Question(NamedTuple):
    """One event, its limit, and on which side of it the rate must stay."""

    says: str
    event: Event
    limit: float
    side: Side = "at most"


def asked(
    scenes: Sequence[Clustered], questions: Sequence[Question], rule: Rule, studies: int, generator: np.random.Generator
) -> list[Rate]:
    """The worst rate over scenes of each event, with the seed gate left out; sign flips only where claims are asked."""
    open_ = replace(rule, spread=UNGATED)
    flips = any(question.event in (claim, against_the_drawn) for question in questions)
    rates: list[list[Rate]] = [[] for _ in questions]
    for scene, stream in zip(scenes, generator.spawn(len(scenes)), strict=True):
        endings, drawn = conduct_clusters(scene, open_, studies, stream, flips=flips)
        for found, (says, event, limit, side) in zip(rates, questions, strict=True):
            found.append(counted(says, event(endings, drawn), limit, side, str(scene)))
    return [worst(found) for found in rates]


def prefix_rates(rule: Rule, studies: int, generator: np.random.Generator, *, quick: bool) -> dict[str, Rate]:
    """False claims, false Nulls and coverage where clusters differ, by the name of each promise."""
    alpha, margin = rule.alpha, rule.margin
    families = (1, 10) if quick else (1, 10, 30)
    two = [Clustered(sd=0.02, cells=k) for k in families]
    others = [Clustered(sd=sd, cells=k) for sd in ((0.03,) if quick else (0.0, 0.01, 0.03)) for k in families]
    few = [
        Clustered(clusters=g, items=60, sd=sd) for g in ((7, 24) if quick else (7, 12, 24, 36)) for sd in (0.0, 0.05)
    ]
    skewed = [Clustered(-margin, g, 150, 0.1, shape="one in twelve") for g in (7, 12, 24, 36)]
    level = [Clustered(0.0, g, 150, 0.1, shape="one in twelve") for g in (7, 12, 24)]
    odd = _adversarial(quick=quick)

    def ask(scenes: Sequence[Clustered], *questions: Question) -> list[Rate]:
        return asked(scenes, questions, rule, studies, generator)

    def at(delta: float, scenes: Sequence[Clustered]) -> list[Clustered]:
        return [replace(scene, delta=delta) for scene in scenes]

    def false(where: str) -> Question:
        return Question(f"{where}: any claim at no difference", claim, alpha)

    def silent(where: str) -> Question:
        return Question(f"{where}: any Null at the margin", null, alpha)

    def covered(where: str) -> Question:
        return Question(f"{where}: interval", holds_truth, 0.93, "at least")

    apart, awkward, twelfth = "(x) prefixes differ", "(xii) awkward clusters", "(xi) one template in twelve differs"
    told = {
        "seed_sd_2_false_positive": ask(two, false("(x) prefixes 2 points apart"))[0],
        "few_false_positive": ask(few, Question("(i) Improvement or Harm, by template", claim, alpha))[0],
        "few_false_null": ask(at(margin, few), Question("(ii) Null at the margin, by template", null, alpha))[0],
        "skewed_direction": ask(level, Question("(xi) a claim against those drawn", against_the_drawn, alpha))[0],
    }
    told["prefix_false_positive"], told["prefix_coverage"] = ask(others, false(apart), covered(apart))
    told["prefix_false_null"], told["prefix_coverage_at_margin"] = ask(
        at(margin, [*two, *others]), silent(apart), covered(apart)
    )
    told["skewed_false_null"], told["skewed_coverage"] = asked(
        skewed, (silent(twelfth), covered(twelfth)), rule, 3 * studies, generator
    )
    told["odd_false_positive"], told["odd_coverage"] = ask(odd, false(awkward), covered(awkward))
    told["odd_false_null"], told["odd_coverage_at_margin"] = ask(at(-margin, odd), silent(awkward), covered(awkward))
    return told


def _adversarial(*, quick: bool) -> list[Clustered]:
    """Skewed, heavy-tailed, heteroscedastic and uneven clusters, few discordant items, and families of these."""
    scenes = [
        Clustered(items=150, psi=0.1, shape="one in twelve"),
        Clustered(sd=0.03, shape="uneven spread", uneven=True),
        Clustered(sd=0.03, shape="heavy tails"),
        Clustered(items=40, psi=0.01),
    ]
    if quick:
        return scenes
    return [
        *scenes,
        Clustered(sd=0.03, uneven=True),
        Clustered(sd=0.08, shape="heavy tails", uneven=True),
        Clustered(items=12, psi=0.03, uneven=True),
        Clustered(sd=0.02, shape="heavy tails", cells=10),
        Clustered(sd=0.02, shape="uneven spread", cells=30, uneven=True),
    ]
