"""Simulated studies under the whole rule: strata, seed gate, Holm over the family and both looks.

Items are independent: gains and losses are multinomial counts, which `decision_rule.judge_counts` judges as
`judge.judge` would judge the rows (a test holds them together). Studies whose items come in templates go through
`judge.judge` itself.
"""

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from lesion.errors import InputError
from lesion.stats.distributions import z
from lesion.stats.intervals import tango_score
from lesion.stats.power import gate_n, needed_n
from lesion.stats.verdict.decision_rule import Bools, Counts, Floats, Ints, judge_counts
from lesion.stats.verdict.rule import VERDICTS, Discovered, Rule, Verdict

SEEDS = 3
AMBIGUOUS, INCONCLUSIVE = VERDICTS.index("Ambiguous"), VERDICTS.index("Inconclusive")


@dataclass(frozen=True)
class Scene:
    """The truth behind simulated studies."""

    psi: float
    """Share of discordant pairs."""
    delta: float = 0.0
    """True paired difference (share), the same for every cell."""
    n: int = 0
    """Items per seed and look; 0: planned by the rule, from `discovery` items or, without them, from the true psi."""
    cells: int = 1
    """K, cells of the family."""
    strata: int = 2
    """Strata of equal size."""
    contrast: float = 0.0
    """Strata deviate from delta by plus and minus this share, in turn."""
    correlation: float = 0.0
    """Correlation of an item's paired differences between any two cells."""
    discovery: int = 0
    """Discovery items from which psi is estimated; 0: psi is known."""
    seed_sd: float = 0.0
    """Standard deviation over seeds of the true difference (share): real instability."""

    def __str__(self) -> str:
        changed = [f"{f.name} {getattr(self, f.name):g}" for f in fields(self) if getattr(self, f.name) != f.default]
        return ", ".join(changed)

    def __post_init__(self) -> None:
        reach = abs(self.delta) + abs(self.contrast)
        if not (0 < self.psi <= 1 and reach <= self.psi and 0 <= self.correlation <= 1):
            raise InputError(
                f"no items have {self.psi} discordant pairs and differences up to {reach}; |delta| <= psi <= 1"
            )


class Endings(NamedTuple):
    """How simulated studies ended; every array is [studies, cells]."""

    verdicts: Ints
    """Index into VERDICTS after the last look."""
    estimate: Floats
    """(b - c) / n when the cell was decided."""
    covered: Bools
    """Did the interval then hold the true difference?"""
    second: Bools
    """Was there a second look?"""

    def any_of(self, *names: Verdict) -> Bools:
        """Studies in which any cell ended with one of these verdicts, [studies]."""
        return np.asarray(np.isin(self.verdicts, [VERDICTS.index(name) for name in names]).any(axis=1))


def conduct(scene: Scene, rule: Rule, studies: int, generator: np.random.Generator) -> Endings:
    """Simulates studies from the first look to their verdicts; Ambiguous cells get as many new items again."""
    n, needed = _plan(scene, rule, studies, generator)
    counts = _items(scene, n, generator)
    codes = judge_counts(counts, rule, scene.cells, needed)
    pending = (codes == AMBIGUOUS) & (rule.looks == 2)
    if rule.looks == 2:
        doubled = counts.plus(_items(scene, n, generator))
        codes = np.where(pending, judge_counts(doubled, rule, scene.cells, needed, open_=pending), codes)
        counts = doubled.where(pending, counts)
    b, c, size = counts.whole()
    return Endings(
        verdicts=np.where(codes == AMBIGUOUS, INCONCLUSIVE, codes),
        estimate=(b - c) / size,
        covered=np.asarray(np.abs(tango_score(b, c, size, scene.delta)) <= z((1 + rule.confidence) / 2)),
        second=pending,
    )


def _plan(scene: Scene, rule: Rule, studies: int, generator: np.random.Generator) -> tuple[Ints, Ints]:
    """Items per seed [studies] and the seed gate's floor [studies, 1]."""
    if scene.discovery:
        shares = [(scene.psi + scene.delta) / 2, (scene.psi - scene.delta) / 2, 1 - scene.psi]
        seen = generator.multinomial(scene.discovery, shares, studies)
        known = [Discovered.from_counts(int(b), int(c), scene.discovery) for b, c, _ in seen.tolist()]
    else:
        known = [Discovered(scene.psi, scene.delta)] * studies
    plans = {
        each: (needed_n(each.psi, each.delta, rule, scene.cells), gate_n(each.variance, rule.spread))
        for each in set(known)
    }
    planned = np.array([scene.n or plans[each][0] for each in known], dtype=np.int64)
    return planned, np.array([plans[each][1] for each in known], dtype=np.int64)[:, None]


def _items(scene: Scene, n: Ints, generator: np.random.Generator) -> Counts:
    """Gains, losses and items [studies, cells, seeds, strata] of one look."""
    places = np.asarray(range(scene.strata), dtype=np.int64)
    shape = (n.size, scene.cells, SEEDS, scene.strata)
    size = np.broadcast_to((n[:, None] + places)[:, None, None, :] // scene.strata, shape)
    drift = generator.normal(0.0, scene.seed_sd, (n.size, 1, SEEDS, 1)) if scene.seed_sd else 0.0
    signs = np.where(places % 2 == 0, 1.0, -1.0)
    delta = np.clip(np.broadcast_to(scene.delta + scene.contrast * signs + drift, shape), -scene.psi, scene.psi)
    if not scene.correlation:
        return Counts(*_flips(size, scene.psi, delta, generator), size)
    # With chance sqrt(correlation) a cell's item does what a common item does, else what it likes.
    common = tuple(np.broadcast_to(each, shape) for each in _flips(size[:, :1], scene.psi, delta[:, :1], generator))
    follow = float(np.sqrt(scene.correlation))
    gained, lost = generator.binomial(common[0], follow), generator.binomial(common[1], follow)
    idle = generator.binomial(size - common[0] - common[1], follow)
    own = _flips(size - gained - lost - idle, scene.psi, delta, generator)
    return Counts(gained + own[0], lost + own[1], size)


def _flips(size: Ints, psi: float, delta: Floats, generator: np.random.Generator) -> tuple[Ints, Ints]:
    gained = generator.binomial(size, (psi + delta) / 2)
    lost = generator.binomial(size - gained, (psi - delta) / (2 - psi - delta))
    return gained, lost
