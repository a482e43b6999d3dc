"""The same promises for outcomes that are numbers: log-probabilities, whose differences need not be normal."""

from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np

from lesion.stats.calibration.clustered_studies import SEEDS, Judged, Units, judge_units
from lesion.stats.calibration.rates import Rate, counted, worst
from lesion.stats.calibration.simulate import AMBIGUOUS, INCONCLUSIVE
from lesion.stats.paired.cluster_mean import guarded
from lesion.stats.power import needed_numbers_n
from lesion.stats.verdict.decision_rule import Bools, Floats, Ints
from lesion.stats.verdict.rule import VERDICTS, Discovered, Rule

Tails = Literal["normal", "t3", "skewed", "mostly nothing"]
RULE = Rule(outcome="answer_logprob", margin=0.05, spread=0.06, effect=0.1)
"""A rule in nats for the simulation; everything scales with the standard deviation of the differences."""
SD = 0.4
HELD = 2_000_000
"""Numbers held in memory at a time."""


@dataclass(frozen=True)
class Numbers:
    """The truth behind simulated studies of one cell with a continuous outcome."""

    delta: float = 0.0
    """Mean paired difference, nats."""
    tails: Tails = "normal"
    """t3: three degrees of freedom; skewed: exponential; mostly nothing: one item in ten moves."""
    clusters: int = 0
    """0: items stand for themselves."""
    between: float = 0.0
    """Standard deviation over clusters, nats."""

    def __str__(self) -> str:
        changed = [(f.name, getattr(self, f.name)) for f in fields(self) if getattr(self, f.name) != f.default]
        return ", ".join(f"{name} {value}" for name, value in changed) or "normal"


def planned(rule: Rule = RULE) -> int:
    """Items per seed that the rule plans for differences of this standard deviation, rounded up to whole prefixes."""
    return -(-needed_numbers_n(Discovered(0.0, sd=SD), rule, 1) // 12) * 12


def conduct_numbers(
    scene: Numbers, rule: Rule, studies: int, generator: np.random.Generator
) -> tuple[Bools, Bools, Bools]:
    """Whether simulated studies end in a claim, in Null, and with an interval that holds the truth; each [studies]."""
    size = max(1, HELD // (SEEDS * planned()))
    parts = [_block(scene, rule, min(size, studies - start), generator) for start in range(0, studies, size)]
    claims, nulls, held = (np.concatenate(column) for column in zip(*parts, strict=True))
    return claims, nulls, held


def _block(scene: Numbers, rule: Rule, studies: int, generator: np.random.Generator) -> tuple[Bools, Bools, Bools]:
    n = SEEDS * planned()
    place = np.asarray(range(n)) % scene.clusters if scene.clusters else np.asarray(range(n))
    own = scene.delta + scene.between * generator.normal(0, 1, (studies, max(scene.clusters, 1)))
    first = _draw(scene, own, place, generator)
    found = _judged(first, place, scene, rule)
    codes, low, high = (part[:, 0] for part in found[:3])
    again = codes == AMBIGUOUS
    if again.any():
        both = np.concatenate([first[again], _draw(scene, own[again], place, generator)], axis=1)
        where = np.concatenate([place, place + (0 if scene.clusters else n)])
        late = _judged(both, where, scene, rule)
        codes[again], low[again], high[again] = (part[:, 0] for part in late[:3])
    codes = np.where(codes == AMBIGUOUS, INCONCLUSIVE, codes)
    claimed = np.isin(codes, [VERDICTS.index("Improvement"), VERDICTS.index("Harm")])
    return claimed, codes == VERDICTS.index("Null"), (low <= scene.delta) & (scene.delta <= high)


def _draw(scene: Numbers, own: Floats, place: Ints, generator: np.random.Generator) -> Floats:
    """Paired differences of all items, [studies, n]."""
    shape = (own.shape[0], place.size)
    if scene.tails == "t3":
        noise = generator.standard_t(3, shape) / np.sqrt(3)
    elif scene.tails == "skewed":
        noise = 1 - generator.exponential(1, shape)
    elif scene.tails == "mostly nothing":
        noise = generator.normal(0, np.sqrt(10), shape) * (generator.random(shape) < 0.1)
    else:
        noise = generator.normal(0, 1, shape)
    return SD * noise + (own[:, place] if scene.clusters else own)


def _judged(values: Floats, place: Ints, scene: Numbers, rule: Rule) -> Judged:
    stacked = values[:, None, :]
    if not scene.clusters:
        units = Units(stacked, np.ones(values.shape[1], dtype=np.int64), place % SEEDS)
        return judge_units(units, rule, 1, 1, clusters=False)
    rounds = values.shape[1] // scene.clusters
    # Items lie in turns of all clusters, so that reshaping gathers them.
    sums = values.reshape(values.shape[0], rounds, scene.clusters).sum(1)[:, None, :]
    sizes = np.full(scene.clusters, rounds)
    items = guarded(stacked, 1)
    return judge_units(Units(sums, sizes, np.asarray(range(scene.clusters)) % SEEDS, items=items), rule, 1, 1)


def number_rates(studies: int, generator: np.random.Generator, *, quick: bool) -> dict[str, Rate]:
    """False claims, false Nulls and coverage of continuous outcomes, the seed gate left out."""
    rule = replace(RULE, spread=1e6)
    kinds: tuple[Tails, ...] = ("normal", "t3") if quick else ("normal", "t3", "skewed", "mostly nothing")
    scenes = [Numbers(tails=tails) for tails in kinds]
    scenes += [Numbers(tails=tails, clusters=36, between=0.03) for tails in kinds[1:]]
    false, silent, covered = list[Rate](), list[Rate](), list[Rate]()
    for scene in scenes:
        for delta in (0.0, RULE.margin):
            here = replace(scene, delta=delta)
            claims, nulls, held = conduct_numbers(here, rule, studies, generator)
            covered.append(counted("(xvii) interval in nats", held, 0.93, "at least", str(here)))
            if delta:
                silent.append(counted("(xvii) Null at the margin, in nats", nulls, rule.alpha, "at most", str(here)))
            else:
                false.append(
                    counted("(xvii) a claim at no difference, in nats", claims, rule.alpha, "at most", str(here))
                )
    return {
        "numbers_false_positive": worst(false),
        "numbers_false_null": worst(silent),
        "numbers_coverage": worst(covered),
    }
