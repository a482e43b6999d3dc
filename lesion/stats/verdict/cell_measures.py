"""Everything that is known about one cell before its family is looked at."""

from dataclasses import dataclass
from math import sqrt

import numpy as np

from lesion.stats.intervals import cluster_mean
from lesion.stats.multiplicity import holm
from lesion.stats.paired.comparison import Comparison, compare, compare_parts, totals
from lesion.stats.paired.numbers import PairedNumbers
from lesion.stats.paired.rows import PairedRows
from lesion.stats.power import gate_n
from lesion.stats.verdict.cell_verdict import Part
from lesion.stats.verdict.decision_rule import conflict, numbers_gate, one_side, seed_gate
from lesion.stats.verdict.rule import GATE_OUTCOMES, Discovered, GateOutcome, Rule

FORMAT_SHARE = 100
"""A change of more than one readable answer in so many is a format effect."""
REPRESENTATIVE = 35
"""Clusters that speak for others: of so many the chance to hold none of the one in twelve that matters is .048."""


@dataclass(frozen=True)
class Evidence:
    """The facts about one cell; beside them the verdict needs only the family's Holm corrections."""

    rule: Rule
    """The thresholds of this cell, its own margin among them."""
    whole: Comparison
    parse_change: float | None
    """Share of readable answers, edited minus baseline; nothing where no answer was written out."""
    format_effect: bool
    """Did reading change by more than a point?"""
    readable: Comparison | None
    """The comparison on items that both arms answered readably; only after a format effect, and if there are any."""
    seeds: tuple[Part, ...]
    strata: tuple[Part, ...]
    conflict: bool
    """Do strata go opposite ways?"""
    alpha_strata: float
    """Level of their tests."""
    gate: GateOutcome
    gate_needs: int
    """Items per seed without which the seed gate is NotEvaluable."""
    seed_range: float
    one_side: bool
    variance: float
    """Of one paired difference: psi - delta^2, or nats^2."""
    baseline: float
    """Mean outcome of the unedited model: accuracy, or nats."""
    edited: float
    chance: float
    """What guessing scores."""
    floor_at: float
    """At or below this the baseline counts as guessing: chance + 2 of its own standard errors."""
    ceiling_at: float
    """At or above this the baseline cannot gain the margin: 1 - margin, -margin for a log-probability."""
    clusters: int | None
    """Templates or prefixes; nothing where items stand for themselves."""
    exhaustive: bool
    """Are these clusters all that the claim is about?"""
    conditional: bool
    """Does every interval speak of the example sets drawn, and no others?"""

    @property
    def floor(self) -> bool:
        """Is the baseline no better than guessing?"""
        return self.baseline <= self.floor_at

    @property
    def ceiling(self) -> bool:
        """Has the baseline no room to gain the margin?"""
        return self.baseline >= self.ceiling_at - 1e-12

    @property
    def no_fall(self) -> bool:
        """Would losing all that lies above chance be no difference by the margin?"""
        return self.rule.edition == 2 and self.baseline - self.chance <= self.rule.margin + 1e-12

    @property
    def few(self) -> bool:
        """Are there too few clusters to speak of others than these?"""
        return (
            self.rule.edition == 2
            and self.clusters is not None
            and self.clusters < REPRESENTATIVE
            and not self.exhaustive
        )


def gather(
    rows: PairedRows | PairedNumbers,
    rule: Rule,
    discovered: Discovered,
    chance: float,
    *,
    family_size: int,
    exhaustive: bool = False,
    conditional: bool = False,
) -> Evidence:
    """Measures a cell: the whole, its seeds, its strata, its baseline."""
    whole, seeds, strata = _parts(rows, rule)
    baseline, change = float(rows.baseline.mean()), 0 if isinstance(rows, PairedNumbers) else rows.parse_change()
    differences, needs = [part.delta for part in seeds], _gate_needs(rows, rule, discovered, len(seeds))
    written = isinstance(rows, PairedRows) and rows.readable() is not None
    spread = float(rows.difference.var(ddof=1)) if rows.n > 1 else 0.0
    return Evidence(
        rule=rule,
        whole=whole,
        parse_change=change / rows.n if written else None,
        format_effect=abs(change) * FORMAT_SHARE > rows.n,
        readable=_readable(rows, rule) if abs(change) * FORMAT_SHARE > rows.n else None,
        seeds=seeds,
        strata=strata,
        conflict=_conflict(strata, rule.alpha_strata(family_size)),
        alpha_strata=rule.alpha_strata(family_size),
        gate="Degenerate" if rows.degenerate() else _gate(rows, seeds, needs, rule),
        gate_needs=needs,
        seed_range=max(differences) - min(differences),
        one_side=_one_side(rows, seeds),
        variance=spread,
        baseline=baseline,
        edited=float(rows.edited.mean()),
        chance=chance,
        floor_at=chance + 2 * _baseline_error(rows, rule),
        ceiling_at={"accuracy": 1.0, "answer_logprob": 0.0, "logit_diff": np.inf}[rule.outcome] - rule.margin,
        clusters=None if rows.cluster is None else len(np.unique(rows.cluster)),
        exhaustive=exhaustive,
        conditional=conditional,
    )


def _gate_needs(rows: PairedRows | PairedNumbers, rule: Rule, discovered: Discovered, seeds: int) -> int:
    """Items per seed for the seed gate, from what discovery saw and the clusters that each seed has."""
    if rows.cluster is None or rule.edition == 1:
        return gate_n(discovered.variance, rule.spread, max(3, seeds))
    fewest = min(len(np.unique(rows.cluster[chosen])) for chosen in rows.seeds().values())
    return gate_n(discovered.variance, rule.spread, max(3, seeds), between=discovered.between, clusters=fewest)


def _baseline_error(rows: PairedRows | PairedNumbers, rule: Rule) -> float:
    """Standard error of the baseline's mean: by item, or by cluster where that is larger."""
    if isinstance(rows, PairedNumbers):
        by_item = float(rows.baseline.std(ddof=1)) / sqrt(rows.n) if rows.n > 1 else np.inf
    else:
        share = float(rows.baseline.mean())
        by_item = sqrt(share * (1 - share) / rows.n)
    if rows.cluster is None or rule.edition == 1:
        return by_item
    sums, sizes = totals(rows.baseline.astype(np.float64), rows.cluster)
    return max(by_item, cluster_mean(sums, sizes).error) if sizes.size > 1 else np.inf


def _parts(rows: PairedRows | PairedNumbers, rule: Rule) -> tuple[Comparison, tuple[Part, ...], tuple[Part, ...]]:
    """The whole at the rule's confidence; the seeds and the strata at 95 %, the strata with Holm's p."""
    seeds, strata = rows.seeds(), rows.levels()
    masks = [np.ones(rows.n, dtype=np.bool_), *seeds.values(), *strata.values()]
    levels = [rule.confidence] + [0.95] * (len(masks) - 1)
    whole, *parts = compare_parts(rows, masks, levels, rule.margin, rule.edition)
    by_seed, by_stratum = parts[: len(seeds)], parts[len(seeds) :]
    adjusted = holm([part.p for part in by_stratum]).tolist()
    return (
        whole,
        tuple(Part.of(name, part, part.p) for name, part in zip(seeds, by_seed, strict=True)),
        tuple(Part.of(name, part, p) for name, part, p in zip(strata, by_stratum, adjusted, strict=True)),
    )


def _conflict(strata: tuple[Part, ...], alpha: float) -> bool:
    differences = np.array([part.delta for part in strata])
    return bool(conflict(np.array([part.p for part in strata]), differences, alpha))


def _gate(rows: PairedRows | PairedNumbers, seeds: tuple[Part, ...], needs: int, rule: Rule) -> GateOutcome:
    items = np.array([part.n for part in seeds])
    if isinstance(rows, PairedNumbers):
        means = np.array([part.delta for part in seeds])
        return GATE_OUTCOMES[int(numbers_gate(means, items, np.array(needs), rule.spread))]
    differences = np.array([part.gained - part.lost for part in seeds])
    return GATE_OUTCOMES[int(seed_gate(differences, items, np.array(needs), rule.spread))]


def _one_side(rows: PairedRows | PairedNumbers, seeds: tuple[Part, ...]) -> bool:
    if rows.cluster is None and isinstance(rows, PairedRows):
        return bool(one_side(np.array([part.gained for part in seeds]), np.array([part.lost for part in seeds])))
    return all(part.low > 0 for part in seeds) or all(part.high < 0 for part in seeds)


def _readable(rows: PairedRows | PairedNumbers, rule: Rule) -> Comparison | None:
    chosen = None if isinstance(rows, PairedNumbers) else rows.readable()
    if chosen is None or not chosen.any():
        return None
    return compare(rows.where(chosen), rule.confidence, rule.margin, rule.edition)
