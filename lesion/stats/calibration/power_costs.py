"""What honesty costs: power beside the error rates, of ranks, of prefixes and of continuous outcomes."""

from dataclasses import dataclass
from math import ceil

import numpy as np

from lesion.stats.calibration.scenes.dissociation_scenes import DOUBLE, Task, TwoTasks, conduct_dissociations
from lesion.stats.calibration.scenes.prefix_scenes import Clustered, conduct_clusters
from lesion.stats.calibration.scenes.rank_scenes import Sets, conduct_sets
from lesion.stats.distributions import z
from lesion.stats.power import connor_n, gate_n, needed_numbers_n
from lesion.stats.verdict.rule import Discovered, Rule, Verdict


@dataclass(frozen=True)
class RankPower:
    """How often a target that lies beyond its matched sets is called specific."""

    apart: float
    """Its effect beyond the sets' mean, in standard deviations of the sets' true effects (10 points)."""
    sets: int
    specific: float
    """Share of studies."""


@dataclass(frozen=True)
class PrefixPower:
    """What differing prefixes cost: items planned, and verdicts at the first truth that matters of each kind."""

    sd: float
    """Standard deviation of the prefixes' own differences (share)."""
    items: int
    """Items per seed and look that the rule then plans, at psi = .2."""
    improvement: float
    """Share of Improvement at 5 points, seed gate on."""
    null: float
    """Share of Null at 0, seed gate on."""


@dataclass(frozen=True)
class Efficiency:
    """Items, and so processor time, for the same power with accuracy and with continuous outcomes."""

    accuracy: float
    """Of the unedited model."""
    shift: float
    """Mean loss of the answer's logit, nats."""
    delta: float
    """What it does to accuracy (share)."""
    items_accuracy: int
    """Items that find it with the rule's power at one look."""
    items_logprob: int
    items_logit_diff: int

    @property
    def gain(self) -> float:
        """Power per processor hour of log-probability against accuracy: the ratio of items."""
        return self.items_accuracy / self.items_logprob


@dataclass(frozen=True)
class DissociationPower:
    """How often a double dissociation is found, by items and by the size of both leads."""

    items: int
    """Of each task, all seeds together."""
    lead: float
    """True difference of the harms of both targets, on each task (share)."""
    double: float
    """Share of studies that say Double dissociation: one question."""


def dissociation_power(rule: Rule, studies: int, generator: np.random.Generator) -> tuple[DissociationPower, ...]:
    """Power of the rule of dissociations, 36 clusters that do not differ."""
    found: list[DissociationPower] = []
    for items in (12, 20, 40):
        for lead in (0.05, 0.07, 0.10, 0.15):
            scene = TwoTasks("", Task(0.9, 0.85 - lead, 0.85), Task(0.6, 0.57, 0.57 - lead), items=items)
            double = conduct_dissociations(scene, rule, studies, generator) == DOUBLE
            found.append(DissociationPower(36 * items, lead, float(double.mean())))
    return tuple(found)


def rank_power(rule: Rule, studies: int, generator: np.random.Generator) -> tuple[RankPower, ...]:
    """Power of the rank test, 256 items a set."""
    return tuple(
        RankPower(apart, sets, float(conduct_sets(Sets(sets=sets, apart=apart), rule, studies, generator).mean()))
        for apart in (1.0, 2.0, 3.0, 4.0)
        for sets in (40, 199)
    )


def prefix_power(rule: Rule, studies: int, generator: np.random.Generator) -> tuple[PrefixPower, ...]:
    """Verdicts with 36 prefixes at the rule's own items, the seed gate on."""
    found: list[PrefixPower] = []
    for sd in (0.0, 0.01, 0.02):
        known = Discovered(0.2, between=sd)
        items = ceil(needed_numbers_n(known, rule, 1, clusters=12) / 12)
        needed = gate_n(known.variance, rule.spread, between=sd, clusters=12)
        shares: list[float] = []
        asked: tuple[tuple[float, Verdict], ...] = ((0.05, "Improvement"), (0.0, "Null"))
        for delta, verdict in asked:
            scene = Clustered(delta, items=items, sd=sd)
            endings, _ = conduct_clusters(scene, rule, studies, generator, needed=needed)
            shares.append(float(endings.any_of(verdict).mean()))
        found.append(PrefixPower(sd, 12 * items, *shares))
    return tuple(found)


def efficiency(rule: Rule, generator: np.random.Generator, draws: int = 200_000) -> tuple[Efficiency, ...]:
    """Items for equal power on a model of answers: right when the answer's logit beats its best rival's.

    The lead of the answer is normal over items (sd 2 nats); an edit takes an exponential share of it, different for
    every item, and jitters it (sd .5). Log-probability is that of a choice between the answer and its rival.
    """
    reach = (-z(rule.alpha_look / 2) + z(rule.power)) ** 2
    found: list[Efficiency] = []
    for accuracy in (0.5, 0.9):
        for shift in (0.1, 0.3):
            lead = 2 * z(accuracy) + 2 * generator.normal(0, 1, draws)
            after = lead - shift * generator.exponential(1, draws) + generator.normal(0, 0.5, draws)
            right, still = lead > 0, after > 0
            psi, delta = float((right != still).mean()), float(still.mean() - right.mean())
            changes = (np.logaddexp(0, -lead) - np.logaddexp(0, -after), after - lead)
            items = [ceil(reach * float(change.var()) / float(change.mean()) ** 2) for change in changes]
            plain = connor_n(psi, delta, rule.alpha_look, rule.power)
            found.append(Efficiency(accuracy, shift, delta, plain, *items))
    return tuple(found)
