"""Is a target that is no other than its matched sets called specific? Simulated effects of sets, ranked as real ones.

The positive control of the simulation: a target that was chosen on the very items on which it is ranked must be called
specific too often. If that leak did not show, nothing here would.
"""

from dataclasses import dataclass, fields
from typing import Literal

import numpy as np

from lesion.stats.calibration.rates import Rate, counted, worst
from lesion.stats.multiplicity import holm
from lesion.stats.specificity.rank import ranks
from lesion.stats.verdict.decision_rule import Bools, Floats
from lesion.stats.verdict.rule import Rule

Losses = Literal["harmful", "either way", "uniform", "as observed"]
OBSERVED = (0.923, 0.283, 0.055)
"""What the three random pairs of the first published study cost in its lead cell."""
CONFIRMED = 7320
"""Items that decide whether the target has an effect, and of which kind."""


@dataclass(frozen=True)
class Sets:
    """The truth behind simulated specificity: target and sets have effects of one distribution."""

    spread: float = 0.10
    """Standard deviation of the true effects over sets (share)."""
    sets: int = 199
    losses: Losses = "harmful"
    """harmful: 10 points lost on average; either way: 0; uniform: from none to all; as observed: three atoms."""
    asking: int = 1
    """Cells that ask, each with sets of its own."""
    items: int = 256
    psi: float = 0.2
    apart: float = 0.0
    """Positive control and power: the target's loss beyond the sets' mean, in units of their spread."""
    candidates: int = 1
    """The target is the strongest of so many, by what is seen on other items."""
    leak: bool = False
    """Or, wrongly, by what is seen on the items on which it is ranked."""

    def __str__(self) -> str:
        changed = [(f.name, getattr(self, f.name)) for f in fields(self) if getattr(self, f.name) != f.default]
        return ", ".join(f"{name} {value}" for name, value in changed) or "199 sets, 10 points apart"


def conduct_sets(scene: Sets, rule: Rule, studies: int, generator: np.random.Generator) -> Bools:
    """Simulated studies in which any cell is called specific, [studies]."""
    shape = (studies, scene.asking)
    true = _effects(scene, (*shape, scene.candidates), generator)
    true = np.clip(true - scene.apart * scene.spread, -1, 1)
    ranked = _seen(scene, true, scene.items, generator)
    shown = ranked if scene.leak else _seen(scene, true, scene.items, generator)
    best = shown.argmin(-1)[..., None]
    target = np.take_along_axis(ranked, best, -1)[..., 0]
    decided = _seen(scene, np.take_along_axis(true, best, -1)[..., 0], CONFIRMED, generator)
    side = np.sign(decided)
    asks = np.abs(decided) > 2.2414 * np.sqrt(scene.psi / CONFIRMED)
    effects = _seen(scene, _effects(scene, (*shape, scene.sets), generator), scene.items, generator)
    p = ranks(side * target, side[..., None] * effects) / (1 + scene.sets)
    adjusted = holm(np.where(asks, p, 1.0), scene.asking)
    return np.asarray((asks & (adjusted < rule.alpha_look - 1e-12)).any(-1))


def _effects(scene: Sets, shape: tuple[int, ...], generator: np.random.Generator) -> Floats:
    """True effects of sets (share); losses are negative."""
    if scene.losses == "uniform":
        return -generator.random(shape)
    if scene.losses == "as observed":
        return -generator.choice(np.array(OBSERVED), shape)
    middle = -0.10 if scene.losses == "harmful" else 0.0
    return np.clip(generator.normal(middle, scene.spread, shape), -1, 1)


def _seen(scene: Sets, true: Floats, items: int, generator: np.random.Generator) -> Floats:
    """Effects as measured on so many items: in whole items, so that ties occur."""
    return np.rint((true + generator.normal(0, np.sqrt(scene.psi / items), true.shape)) * items) / items


def rank_rates(rule: Rule, studies: int, generator: np.random.Generator, *, quick: bool) -> dict[str, Rate]:
    """How often exchangeable targets are called specific, and whether a leak is seen.

    Where effects go either way the rate is known by counting: with 199 sets .02 in each direction.
    """
    spreads = (0.0, 0.1) if quick else (0.0, 0.02, 0.10, 0.40)
    scenes = [Sets(spread, sets) for spread in spreads for sets in (15, 40, 199)]
    scenes += [Sets(losses="uniform"), Sets(losses="as observed"), Sets(0.0, candidates=24)]
    scenes += [Sets(0.1, sets, "either way") for sets in (40, 199)]
    if not quick:
        scenes += [Sets(asking=5), Sets(asking=10, sets=399), Sets(0.0, losses="either way"), Sets(items=1024)]
    says = "(xiii) specific, though the target is one of the sets"
    found = [counted(says, conduct_sets(s, rule, studies, generator), rule.alpha, "at most", str(s)) for s in scenes]
    leak = Sets(0.0, candidates=24, leak=True)
    caught = "(xiv) a target chosen on the ranked items is found out"
    shown = conduct_sets(leak, rule, studies, generator)
    return {
        "specific_false_positive": worst(found),
        "leak_is_seen": counted(caught, shown, 0.2, "at least", str(leak)),
    }
