"""Everything that is known about one cell before its family is looked at."""

from dataclasses import dataclass
from math import sqrt

import numpy as np

from lesion.stats.comparison import Comparison, compare, compare_parts
from lesion.stats.look import conflict, one_side, seed_gate
from lesion.stats.multiplicity import holm
from lesion.stats.power import gate_n
from lesion.stats.rows import PairedRows
from lesion.stats.rule import GATE_OUTCOMES, Discovered, GateOutcome, Rule
from lesion.stats.verdict import Part

FORMAT_SHARE = 100
"""A change of more than one readable answer in so many is a format effect."""


@dataclass(frozen=True)
class Evidence:
    """The facts about one cell; beside them the verdict needs only the family's Holm corrections."""

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
    gate: GateOutcome
    gate_needs: int
    """Items per seed without which the seed gate is NotEvaluable."""
    seed_range: float
    one_side: bool
    baseline_accuracy: float
    edited_accuracy: float
    floor_at: float
    """At or below this accuracy the baseline counts as guessing: chance + 2 of its own standard errors."""
    ceiling_at: float
    """At or above this accuracy the baseline cannot gain the margin: 1 - margin."""

    @property
    def floor(self) -> bool:
        """Is the baseline no better than guessing?"""
        return self.baseline_accuracy <= self.floor_at

    @property
    def ceiling(self) -> bool:
        """Has the baseline no room to gain the margin?"""
        return self.baseline_accuracy >= self.ceiling_at - 1e-12


def gather(rows: PairedRows, rule: Rule, discovered: Discovered, chance: float) -> Evidence:
    """Measures a cell: the whole, its seeds, its strata, its baseline."""
    whole, seeds, strata = _parts(rows, rule)
    needs = gate_n(discovered.variance, rule.spread, max(3, len(seeds)))
    baseline, change = float(rows.baseline.mean()), rows.parse_change()
    differences = [part.delta for part in seeds]
    return Evidence(
        whole=whole,
        parse_change=None if rows.readable() is None else change / rows.n,
        format_effect=abs(change) * FORMAT_SHARE > rows.n,
        readable=_readable(rows, rule) if abs(change) * FORMAT_SHARE > rows.n else None,
        seeds=seeds,
        strata=strata,
        conflict=_conflict(strata, rule),
        gate="Degenerate" if rows.degenerate() else _gate(seeds, needs, rule),
        gate_needs=needs,
        seed_range=max(differences) - min(differences),
        one_side=_one_side(rows, seeds),
        baseline_accuracy=baseline,
        edited_accuracy=float(rows.edited.mean()),
        floor_at=chance + 2 * sqrt(baseline * (1 - baseline) / rows.n),
        ceiling_at=1 - rule.margin,
    )


def _parts(rows: PairedRows, rule: Rule) -> tuple[Comparison, tuple[Part, ...], tuple[Part, ...]]:
    """The whole at the rule's confidence; the seeds and the strata at 95 %, the strata with Holm's p."""
    seeds, strata = rows.seeds(), rows.levels()
    masks = [np.ones(rows.n, dtype=np.bool_), *seeds.values(), *strata.values()]
    levels = [rule.confidence] + [0.95] * (len(masks) - 1)
    whole, *parts = compare_parts(rows, masks, levels, rule.margin)
    by_seed, by_stratum = parts[: len(seeds)], parts[len(seeds) :]
    adjusted = holm([part.p for part in by_stratum]).tolist()
    return (
        whole,
        tuple(Part.of(name, part, part.p) for name, part in zip(seeds, by_seed, strict=True)),
        tuple(Part.of(name, part, p) for name, part, p in zip(strata, by_stratum, adjusted, strict=True)),
    )


def _conflict(strata: tuple[Part, ...], rule: Rule) -> bool:
    differences = np.array([part.gained - part.lost for part in strata], dtype=np.int64)
    return bool(conflict(np.array([part.p for part in strata]), differences, rule.alpha_look))


def _gate(seeds: tuple[Part, ...], needs: int, rule: Rule) -> GateOutcome:
    differences = np.array([part.gained - part.lost for part in seeds])
    items = np.array([part.n for part in seeds])
    return GATE_OUTCOMES[int(seed_gate(differences, items, np.array(needs), rule.spread))]


def _one_side(rows: PairedRows, seeds: tuple[Part, ...]) -> bool:
    if rows.cluster is None:
        return bool(one_side(np.array([part.gained for part in seeds]), np.array([part.lost for part in seeds])))
    return all(part.low > 0 for part in seeds) or all(part.high < 0 for part in seeds)


def _readable(rows: PairedRows, rule: Rule) -> Comparison | None:
    chosen = rows.readable()
    if chosen is None or not chosen.any():
        return None
    return compare(rows.where(chosen), rule.confidence, rule.margin)
