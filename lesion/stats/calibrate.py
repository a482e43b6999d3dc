"""Does the rule keep its promises? Error rates, coverage and power of the whole rule on simulated studies.

The promises are (i)-(ix) of docs/verdict.md: promises.py and cases.py. Every simulated study goes through the code that
judges real ones.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lesion.stats.cases import example_rows, permutation, selection, template_coverage, templates
from lesion.stats.promises import ask, coverage, promises
from lesion.stats.rates import Rate, document
from lesion.stats.rule import Rule
from lesion.stats.simulate import Scene, conduct


@dataclass(frozen=True)
class PowerPoint:
    """Shares of the verdicts at one true difference, for 20 % discordant pairs and the rule's own number of items."""

    delta: float
    improvement: float
    harm: float
    null: float
    inconclusive: float
    second_look: float
    """Share of studies that needed the second look."""


@dataclass(frozen=True)
class Calibration:
    """What was found."""

    rule: Rule
    """The rule that was asked."""
    studies: int
    """Simulated studies at each setting."""
    false_positive: Rate
    """(i) Improvement or Harm where the true difference is 0."""
    false_null: Rate
    """(ii) Null where the true difference is the margin."""
    coverage: Rate
    """(v) The 95 % interval holds the true difference, at a fixed number of items, by enumeration of all outcomes."""
    others: tuple[Rate, ...]
    power: tuple[PowerPoint, ...]
    mixed_power: float
    """(viii) Share of Mixed where one stratum gains 5 points and the other loses 5."""

    @property
    def rates(self) -> tuple[Rate, ...]:
        """All promises."""
        return (self.false_positive, self.false_null, self.coverage, *self.others)

    @property
    def holds(self) -> bool:
        """Does the rule keep every promise?"""
        return all(rate.holds for rate in self.rates)

    def document(self) -> dict[str, Any]:
        """All of it as plain values for JSON."""
        return {
            "rule": asdict(self.rule),
            "studies": self.studies,
            "holds": self.holds,
            "false_positive": document(self.false_positive),
            "false_null": document(self.false_null),
            "coverage": document(self.coverage),
            "others": [document(rate) for rate in self.others],
            "power": [asdict(point) for point in self.power],
            "mixed_power": self.mixed_power,
        }


def calibrate(
    generator: np.random.Generator,
    rule: Rule | None = None,
    *,
    quick: bool = True,
    studies: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Calibration:
    """Simulates studies and holds every promise against them.

    Args:
        generator: source of randomness; every setting of independent items gets a stream of its own.
        rule: thresholds; the default rule by default.
        quick: a few settings, 10,000 studies each, less than a minute; else the grid, 20,000 each, four minutes.
        studies: another number of simulated studies per setting.
        progress: told what is asked next.
    """
    rule, studies = rule or Rule(), studies or (10_000 if quick else 20_000)
    rates = list[Rate]()
    for promise in promises(rule, quick=quick):
        progress(promise.says)
        rates.append(ask(promise, studies, generator))
    progress("(vii) selection")
    rates += selection(rule, studies // 2, generator)
    progress("(i), (ii), (v) by template")
    rates += templates(rule, studies // 10 if quick else studies // 4, generator, quick=quick)
    rates.append(template_coverage(studies // 2, generator))
    progress("(ix) permutation")
    rates.append(permutation(rule, example_rows(generator), studies // 20 if quick else studies // 10, generator))
    progress("power")
    return Calibration(
        rule=rule,
        studies=studies,
        false_positive=rates[0],
        false_null=rates[1],
        coverage=coverage(rule, quick=quick),
        others=tuple(rates[2:]),
        power=tuple(_power(0.01 * points, rule, studies, generator) for points in range(8)),
        mixed_power=float(conduct(Scene(0.2, contrast=0.05), rule, studies, generator).any_of("Mixed").mean()),
    )


def _power(delta: float, rule: Rule, studies: int, generator: np.random.Generator) -> PowerPoint:
    endings = conduct(Scene(0.2, delta), rule, studies, generator)
    return PowerPoint(
        delta=delta,
        improvement=float(endings.any_of("Improvement").mean()),
        harm=float(endings.any_of("Harm").mean()),
        null=float(endings.any_of("Null").mean()),
        inconclusive=float(endings.any_of("Inconclusive").mean()),
        second_look=float(endings.second.mean()),
    )
