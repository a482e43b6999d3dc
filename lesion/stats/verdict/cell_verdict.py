"""What is decided about one cell, with the evidence for every clause of the rule written out."""

from dataclasses import dataclass
from typing import Literal

from lesion.stats.paired.comparison import Comparison
from lesion.stats.verdict.rule import GateOutcome, Verdict

Tag = Literal[
    "negligible+",
    "negligible-",
    "magnitude_unstable",
    "material",
    "floor",
    "ceiling",
    "format_effect",
    "format_effect_only",
    "bfloat16",
    "zero_only",
    "ablation_dependent",
    "few_clusters",
]
"""negligible: significant, but inside the margin, so a Null; magnitude_unstable: a direction may be claimed, its size
not; material: the whole interval lies beyond the margin; floor, ceiling: what the baseline forbids; format_effect: the
share of readable answers changed by more than a point; format_effect_only: and nothing else did; bfloat16: the model
computed in bfloat16, and the effect was compared with its floor; zero_only: mean and resample ablation do not both show
what zeroing shows (first rule only); ablation_dependent: zero, mean and resample ablation do not give one verdict;
few_clusters: too few templates or prefixes to speak of others than these."""


@dataclass(frozen=True)
class Clause:
    """One condition of the rule: what was found, what was needed, and whether it holds."""

    name: str
    quantity: str
    threshold: str
    holds: bool


@dataclass(frozen=True)
class Part:
    """The paired difference in one seed or one stratum."""

    name: str
    """Seed number, or `stratification=level`."""
    n: int
    gained: int
    lost: int
    delta: float
    low: float
    """Lower end of the 95 % interval."""
    high: float
    """Upper end of the 95 % interval."""
    p: float
    """Exact two-sided p."""
    p_holm: float
    """The same, Holm-adjusted over all strata of the cell; equal to p for seeds, which are not tested."""

    @classmethod
    def of(cls, name: str, comparison: Comparison, p_holm: float) -> "Part":
        """The part whose 95 % comparison is given."""
        n, gained, lost = comparison.counts
        low, high = comparison.interval
        return cls(name, n, gained, lost, comparison.delta, low, high, comparison.p, p_holm)


@dataclass(frozen=True)
class CellVerdict:
    """The verdict of one cell at one look. What is None is not known: an Invalid cell."""

    verdict: Verdict
    look: int
    tags: tuple[Tag, ...]
    reason: str
    """Why the cell is Invalid; else empty."""
    n: int
    gained: int
    """b: wrong before, correct after; for a continuous outcome the items that rose."""
    lost: int
    """c: correct before, wrong after; for a continuous outcome the items that fell."""
    delta: float | None
    """(b - c) / n; for a continuous outcome the mean paired difference, nats."""
    psi: float | None
    """(b + c) / n; None for a continuous outcome."""
    ci_low: float | None
    ci_high: float | None
    confidence: float
    """Level of the interval, 1 - 2 alpha_look: .95 by default."""
    p: float | None
    p_holm: float | None
    p_equivalence: float | None
    """The larger of the two one-sided p-values against the margin."""
    p_equivalence_holm: float | None
    seeds: tuple[Part, ...]
    seed_gate: GateOutcome | None
    seed_range: float | None
    """Largest minus smallest paired difference over the seeds (share)."""
    strata: tuple[Part, ...]
    baseline_accuracy: float | None
    """Accuracy of the unedited model; for a continuous outcome its mean, nats."""
    edited_accuracy: float | None
    """The same of the edited model."""
    needed_n: int | None
    """Inconclusive only: items per seed that would settle it; None where no number of items would."""
    clauses: tuple[Clause, ...]
    """The rule's conditions in the order in which they were asked."""
