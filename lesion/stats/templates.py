"""Simulated studies whose items share templates: rows that go through `judge` itself."""

from typing import NamedTuple

import numpy as np

from lesion.errors import InputError
from lesion.stats.decide import judge
from lesion.stats.look import Bools, Ints
from lesion.stats.rows import PairedRows
from lesion.stats.rule import VERDICTS, Discovered, Rule
from lesion.stats.simulate import SEEDS, Endings, Scene


class _Ending(NamedTuple):
    verdict: int
    estimate: float
    covered: bool
    second: bool


def conduct_templates(
    scene: Scene, rule: Rule, templates: int, spread: float, studies: int, generator: np.random.Generator
) -> Endings:
    """Simulates studies of one cell from the first look to the verdict.

    Args:
        scene: psi, delta and n, the items per seed; all else as by default.
        rule: the thresholds.
        templates: templates at the first look; the second look brings as many new ones.
        spread: standard deviation of the templates' own differences (share).
        studies: how many.
        generator: source of randomness.

    Raises:
        InputError: for a scene with other structure, or too few templates for any verdict.
    """
    if scene.n < 1 or Scene(scene.psi, scene.delta, scene.n) != scene:
        raise InputError("studies with templates have one cell, a fixed n and no other structure")
    endings = [_conduct(scene, rule, templates, spread, generator) for _ in range(studies)]
    verdicts, estimates, covered, second = zip(*endings, strict=True)
    return Endings(
        np.array(verdicts)[:, None], np.array(estimates)[:, None], np.array(covered)[:, None], np.array(second)[:, None]
    )


def draw_templates(
    sizes: Ints, psi: float, delta: float, spread: float, generator: np.random.Generator
) -> tuple[Ints, Ints]:
    """Gains and losses of templates [G] of the given sizes, whose own differences vary by `spread` around delta."""
    own = np.clip(delta + generator.normal(0, spread, sizes.size), -psi, psi)
    gained = generator.binomial(sizes, (psi + own) / 2)
    return gained, generator.binomial(sizes - gained, (psi - own) / (2 - psi - own))


def _conduct(scene: Scene, rule: Rule, templates: int, spread: float, generator: np.random.Generator) -> _Ending:
    discovered, chance = {"cell": Discovered(scene.psi, scene.delta)}, {"cell": 0.0}
    rows = _rows(scene, templates, spread, 0, generator)
    verdict = judge({"cell": rows}, rule, look=1, family_size=1, discovered=discovered, chance=chance)["cell"]
    if verdict.verdict == "Ambiguous":
        rows = _joined(rows, _rows(scene, templates, spread, templates, generator))
        verdict = judge({"cell": rows}, rule, look=2, family_size=1, discovered=discovered, chance=chance)["cell"]
    low, high = verdict.ci_low, verdict.ci_high
    if low is None or high is None or verdict.delta is None:
        raise InputError(verdict.reason)
    return _Ending(VERDICTS.index(verdict.verdict), verdict.delta, low <= scene.delta <= high, verdict.look == 2)


def _rows(scene: Scene, templates: int, spread: float, first: int, generator: np.random.Generator) -> PairedRows:
    """Rows of one look: templates numbered from `first`, dealt out evenly to the seeds."""
    n = SEEDS * scene.n
    place = np.asarray(range(n))
    template = place % templates
    sizes = np.bincount(template)
    gained, lost = draw_templates(sizes, scene.psi, scene.delta, spread, generator)
    rank = _rank_within(template, generator)
    up, down = rank < gained[template], rank >= (sizes - lost)[template]
    baseline = np.where(up | down, down, generator.random(n) < 0.6)
    edited = np.where(up | down, up, baseline)
    return PairedRows(baseline, edited, place // scene.n, cluster=template + first, item=place + first * n)


def _rank_within(template: Ints, generator: np.random.Generator) -> Ints:
    """A random rank of each row among the rows of its template, from 0."""
    order = np.lexsort((generator.random(template.size), template))
    starts = np.concatenate([[0], np.cumsum(np.bincount(template))[:-1]])
    rank = np.empty(template.size, dtype=np.int64)
    rank[order] = np.asarray(range(template.size)) - starts[template[order]]
    return rank


def _joined(first: PairedRows, second: PairedRows) -> PairedRows:
    def both(name: str) -> Ints:
        return np.concatenate([getattr(first, name), getattr(second, name)])

    def arm(name: str) -> Bools:
        return both(name).astype(np.bool_)

    return PairedRows(arm("baseline"), arm("edited"), both("seed"), cluster=both("cluster"), item=both("item"))
