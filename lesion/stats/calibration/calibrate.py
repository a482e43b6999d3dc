"""Does the rule keep its promises? Error rates, coverage and power of the whole rule on simulated studies.

The promises are those of docs/calibration.md: (i)-(ix) in promises.py and selection_scenes.py, the others in the files
of scenes beside it. Every simulated study goes through the code that judges real ones.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from lesion.errors import InputError
from lesion.stats.calibration.power_costs import (
    DissociationPower,
    Efficiency,
    PrefixPower,
    RankPower,
    dissociation_power,
    efficiency,
    prefix_power,
    rank_power,
)
from lesion.stats.calibration.promises import ask, coverage, promises
from lesion.stats.calibration.rates import Rate, document
from lesion.stats.calibration.scenes.ablation_scenes import ablation_rate, floor_rates
from lesion.stats.calibration.scenes.continuous_scenes import number_rates
from lesion.stats.calibration.scenes.dissociation_scenes import dissociation_rates
from lesion.stats.calibration.scenes.prefix_scenes import prefix_rates
from lesion.stats.calibration.scenes.rank_scenes import rank_rates
from lesion.stats.calibration.scenes.selection_scenes import example_rows, permutation, selection
from lesion.stats.calibration.simulate import Scene, conduct
from lesion.stats.paired.rows import PairedRows
from lesion.stats.verdict.rule import Rule


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
    named: Mapping[str, Rate]
    """Ranks, ablations, prefixes, floors, continuous outcomes and dissociations, by their keys in the JSON."""
    others: tuple[Rate, ...]
    power: tuple[PowerPoint, ...]
    mixed_power: float
    """(viii) Share of Mixed where one stratum gains 5 points and the other loses 5."""
    rank_power: tuple[RankPower, ...]
    prefix_power: tuple[PrefixPower, ...]
    efficiency: tuple[Efficiency, ...]
    dissociation_power: tuple[DissociationPower, ...]

    @property
    def rates(self) -> tuple[Rate, ...]:
        """All promises."""
        return (self.false_positive, self.false_null, self.coverage, *self.others, *self.named.values())

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
            **{name: document(rate) for name, rate in self.named.items()},
            "others": [document(rate) for rate in self.others],
            "power": [asdict(point) for point in self.power],
            "mixed_power": self.mixed_power,
            "rank_power": [asdict(point) for point in self.rank_power],
            "prefix_power": [asdict(point) for point in self.prefix_power],
            "dissociation_power": [asdict(point) for point in self.dissociation_power],
            "efficiency": [{**asdict(point), "gain": point.gain} for point in self.efficiency],
        }


def calibrate(
    generator: np.random.Generator,
    rule: Rule | None = None,
    *,
    quick: bool = True,
    studies: int | None = None,
    rows: Mapping[str, PairedRows] | None = None,
    progress: Callable[[str], None] = lambda _: None,
    dissociations: np.random.Generator | None = None,
) -> Calibration:
    """Simulates studies and holds every promise against them.

    Args:
        generator: source of randomness; every setting of independent items gets a stream of its own.
        rule: thresholds; the default rule by default.
        quick: a few settings, 10,000 studies each, less than a minute; else the grid, 20,000 each, some minutes.
        studies: another number of simulated studies per setting.
        rows: the cells of a real run, whose labels are permuted; rows with a true harm by default.
        progress: told what is asked next.
        dissociations: source of randomness of the dissociations, so that they can be asked alone.

    Raises:
        InputError: for a rule that does not rest on accuracy.
    """
    if rule is not None and rule.outcome != "accuracy":
        raise InputError(
            f"the simulation asks about accuracy, and this rule rests on {rule.outcome}; leave --study out:"
            " numbers are simulated beside accuracy, and their rates depend on no unit"
        )
    rule, studies = rule or Rule(), studies or (10_000 if quick else 20_000)
    rates = list[Rate]()
    for promise in promises(rule, quick=quick):
        progress(promise.says)
        rates.append(ask(promise, studies, generator))
    progress("(vii) selection")
    rates += selection(rule, studies // 2 if quick else studies, generator)
    progress("(ix) permutation")
    rates.append(permutation(rule, rows or {"example": example_rows(generator)}, studies, generator))
    named = _named(rule, studies, generator, progress, quick=quick)
    progress("power")
    found = Calibration(
        rule=rule,
        studies=studies,
        false_positive=rates[0],
        false_null=rates[1],
        coverage=coverage(rule, quick=quick),
        named=named,
        others=tuple(rates[2:]),
        power=tuple(_power(0.01 * points, rule, studies, generator) for points in range(8)),
        mixed_power=float(conduct(Scene(0.2, contrast=0.05), rule, studies, generator).any_of("Mixed").mean()),
        rank_power=rank_power(rule, studies // 10, generator),
        prefix_power=prefix_power(rule, studies // 10, generator),
        efficiency=efficiency(rule, generator),
        dissociation_power=(),
    )
    progress("(xviii) to (xxi) dissociations")
    further, power = dissociated(rule, studies, dissociations or generator, quick=quick)
    return replace(found, named={**found.named, **further}, dissociation_power=power)


def dissociated(
    rule: Rule, studies: int, generator: np.random.Generator, *, quick: bool
) -> tuple[dict[str, Rate], tuple[DissociationPower, ...]]:
    """The promises about dissociations, and their power; fewer studies, for each has thousands of clusters."""
    few = studies // 5 if quick else studies // 4
    return dissociation_rates(rule, few, generator, quick=quick), dissociation_power(rule, studies // 10, generator)


def _named(
    rule: Rule, studies: int, generator: np.random.Generator, progress: Callable[[str], None], *, quick: bool
) -> dict[str, Rate]:
    """The promises about what the first rule did not know."""
    progress("(x), (xi), (xii) clusters that differ")
    found = prefix_rates(rule, studies, generator, quick=quick)
    progress("(xiii), (xiv) specificity")
    found |= rank_rates(rule, studies, generator, quick=quick)
    progress("(xv), (xvi) ablations and floors")
    found |= {"ablation_agreement_false": ablation_rate(rule, studies, generator)}
    found |= floor_rates(rule, studies, generator)
    progress("(xvii) continuous outcomes")
    return found | number_rates(studies // 10 if quick else studies, generator, quick=quick)


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
