"""What the rule promises about independent items, and the scenes in which each promise is asked."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import product
from typing import NamedTuple

import numpy as np

from lesion.stats.calibration.rates import Rate, Side, counted, worst
from lesion.stats.calibration.simulate import Endings, Scene, conduct
from lesion.stats.distributions import trinomial, z
from lesion.stats.intervals import tango_score
from lesion.stats.verdict.decision_rule import Bools
from lesion.stats.verdict.rule import Rule, Verdict

PSIS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
SIZES = (0, 250, 1000, 2440, 4000)
"""Items per seed; 0: as many as the rule asks for."""
UNGATED = 0.99
"""A spread that no seeds exceed: the rule with its seed gate left out, which else hides what the tests do."""


class Promise(NamedTuple):
    """What must be rare, or frequent, and where."""

    says: str
    event: Callable[[Endings, Scene], Bools]
    """Which simulated studies show it, [studies]."""
    side: Side
    limit: float
    scenes: tuple[Scene, ...]
    rule: Rule


def promises(rule: Rule, *, quick: bool) -> tuple[Promise, ...]:
    """The promises (i)-(vi) and (viii) of docs/verdict.md."""
    margin, alpha, open_ = rule.margin, rule.alpha, replace(rule, spread=UNGATED)
    sides = [sign * factor * margin for sign, factor in product((1, -1), (0.5, 1, 2))]
    null = (*grid([0.0], quick=quick), Scene(0.2, discovery=512), Scene(0.2, strata=4))
    edge = (*grid([margin, -margin], quick=quick), Scene(0.2, margin, discovery=512))
    tens = (Scene(0.2, n=2440, cells=10), Scene(0.2, n=2440, cells=10, correlation=0.5), Scene(0.05, n=250, cells=10))
    tens_at_edge = tuple(replace(each, delta=margin) for each in tens)
    mixes = (Scene(0.2), Scene(0.2, margin), Scene(0.5, -margin), Scene(0.2, 0.05, strata=6))
    mixes += tuple(replace(each, cells=10) for each in mixes)
    planned, found = Scene(0.2, n=2440), Scene(0.2, 0.05, n=2440)
    return (
        Promise("(i) Improvement or Harm at no difference", claims, "at most", alpha, null, rule),
        Promise("(ii) Null at the margin", says("Null"), "at most", alpha, edge, rule),
        Promise("(i) the same without the seed gate", claims, "at most", alpha, null, open_),
        Promise("(ii) the same without the seed gate", says("Null"), "at most", alpha, edge, open_),
        Promise("(iii) the wrong direction", wrong_direction, "at most", alpha / 2, grid(sides, quick=quick), open_),
        Promise("(iv) any claim among ten cells without difference", claims, "at most", alpha, tens, open_),
        Promise("(iv) any Null among ten cells at the margin", says("Null"), "at most", alpha, tens_at_edge, open_),
        Promise("(v) interval after both looks", covers, "at least", 0.93, (*null, *edge), rule),
        Promise("(vi) Null at no difference", says("Null"), "at least", 0.68, (planned,), rule),
        Promise("(vi) Improvement at 5 points", says("Improvement"), "at least", 0.95, (found,), rule),
        Promise("(viii) Mixed under one effect for all strata", says("Mixed"), "at most", rule.alpha_look, mixes, rule),
    )


def ask(promise: Promise, studies: int, generator: np.random.Generator) -> Rate:
    """Simulates every scene of a promise and returns the worst rate."""
    streams = generator.spawn(len(promise.scenes))
    rates = list[Rate]()
    for scene, stream in zip(promise.scenes, streams, strict=True):
        shown = promise.event(conduct(scene, promise.rule, studies, stream), scene)
        rates.append(counted(promise.says, shown, promise.limit, promise.side, str(scene)))
    return worst(rates)


def coverage(rule: Rule, *, quick: bool) -> Rate:
    """(v) Smallest exact coverage of the 95 % interval over the grid, for 100 items and more."""
    rates = list[Rate]()
    for n, psi, factor in product((100, 250) if quick else (100, 250, 500, 1000), PSIS, (0.0, 0.5, 1.0, 2.0)):
        delta = factor * rule.margin
        if delta <= psi:
            share, where = exact_coverage(n, psi, delta), f"{n} items, psi {psi:g}, difference {delta:g}"
            rates.append(Rate("(v) interval at a fixed number of items", share, share, 0.935, "at least", 0, where))
    return worst(rates)


def exact_coverage(n: int, psi: float, delta: float, confidence: float = 0.95) -> float:
    """Probability that Tango's interval of n items holds the true difference: a sum over all outcomes.

    Outcomes beyond eight standard deviations, of total probability below 1e-12, are left out.
    """
    reach = min(n, int(n * (psi + abs(delta)) / 2 + 8 * np.sqrt(n * psi)) + 8)
    side = np.asarray(range(reach + 1), dtype=np.float64)
    b, c = np.broadcast_arrays(side[:, None], side[None, :])
    b, c = b[b + c <= n], c[b + c <= n]
    inside = np.abs(tango_score(b, c, n, delta)) <= z((1 + confidence) / 2)
    return float(trinomial(b, c, n, (psi + delta) / 2, (psi - delta) / 2)[inside].sum())


def grid(deltas: Iterable[float], *, quick: bool) -> tuple[Scene, ...]:
    """Scenes of one cell over psi, items per seed and true differences, as far as |delta| <= psi."""
    psis, sizes = ((0.05, 0.2, 0.5), (0, 250)) if quick else (PSIS, SIZES)
    return tuple(Scene(psi, delta, n) for delta, psi, n in product(deltas, psis, sizes) if abs(delta) <= psi)


def claims(endings: Endings, _: Scene) -> Bools:
    """Any cell Improvement or Harm."""
    return endings.any_of("Improvement", "Harm")


def says(verdict: Verdict) -> Callable[[Endings, Scene], Bools]:
    """Any cell with this verdict."""
    return lambda endings, _: endings.any_of(verdict)


def wrong_direction(endings: Endings, scene: Scene) -> Bools:
    """Harm where the truth is a gain, or Improvement where it is a loss."""
    return endings.any_of("Harm" if scene.delta > 0 else "Improvement")


def covers(endings: Endings, _: Scene) -> Bools:
    """The first cell's interval holds the true difference."""
    return endings.covered[:, 0]
