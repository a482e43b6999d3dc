"""The names and thresholds of the decision rule. decision_rule.py and judge.py use them; see docs/verdict.md."""

from dataclasses import dataclass
from math import isfinite, sqrt
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from lesion.errors import InputError

Verdict = Literal["Improvement", "Harm", "Null", "Mixed", "Ambiguous", "Inconclusive", "Invalid"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
GateOutcome = Literal["Pass", "Fail", "NotEvaluable", "Degenerate"]
GATE_OUTCOMES: tuple[GateOutcome, ...] = get_args(GateOutcome)
Outcome = Literal["accuracy", "answer_logprob", "logit_diff"]
"""What a verdict rests on: right or wrong, log-probability of the answer, or its logit minus a wrong answer's."""
Edition = Literal[1, 2]
"""1: the rule by which studies of format 1 were decided, kept to recount them; 2: the rule of docs/verdict.md."""


@dataclass(frozen=True)
class Rule:
    """The preregistered thresholds of the verdict."""

    margin: float = 0.03
    """Equivalence margin m for the paired difference (share; nats for a continuous outcome)."""
    alpha: float = 0.05
    """Error rate over all looks."""
    looks: Literal[1, 2] = 2
    """Looks at the data; each spends alpha / looks (Bonferroni)."""
    spread: float = 0.03
    """Seed gate: the range of the paired differences over seeds must stay strictly below this (share; nats)."""
    effect: float = 0.05
    """Difference that the planned N must find (share; nats)."""
    power: float = 0.8
    """With what probability it must be found."""
    outcome: Outcome = "accuracy"
    """What the verdict rests on."""
    edition: Edition = 2
    """Which rule; 1 only where an older record is counted again."""

    def __post_init__(self) -> None:
        sizes = {"margin": self.margin, "spread": self.spread, "effect": self.effect}
        shares = {"alpha": self.alpha, "power": self.power}
        if self.outcome == "accuracy":
            shares |= sizes
        elif wrong := [name for name, size in sizes.items() if not (isfinite(size) and size > 0)]:
            raise InputError(f"rule: {wrong[0]} = {sizes[wrong[0]]} is not a size in nats; give a number above 0")
        for name, share in shares.items():
            if not 0 < share < 1:
                raise InputError(f"rule: {name} = {share} is not a share; give a number strictly between 0 and 1")
        if self.looks not in (1, 2):
            raise InputError(f"rule: looks = {self.looks}; the rule knows 1 or 2 looks")

    @property
    def alpha_look(self) -> float:
        """Error rate of one look, alpha / looks."""
        return self.alpha / self.looks

    def alpha_strata(self, family_size: int) -> float:
        """Error rate of the strata of one cell, alpha_look / K: Mixed is a claim that any cell of the family can make.

        Args:
            family_size: K; the first edition did not divide by it.
        """
        return self.alpha_look / (family_size if self.edition == 2 else 1)

    @property
    def confidence(self) -> float:
        """Level of the interval that shows equivalence, 1 - 2 alpha / looks: 95 % by default."""
        return 1 - 2 * self.alpha_look


class Discovered(NamedTuple):
    """What the discovery split fixed about a cell before any confirmation item existed."""

    psi: float
    """Share of discordant pairs, (b + c) / N; 0 for a continuous outcome."""
    delta: float = 0.0
    """Mean paired difference; for accuracy (b - c) / N."""
    sd: float | None = None
    """Continuous outcome: standard deviation of the paired differences within a cluster, nats."""
    between: float = 0.0
    """Standard deviation over clusters of the clusters' own mean differences (share or nats)."""

    @property
    def variance(self) -> float:
        """Variance of one paired difference: psi - delta^2, or sd^2 for a continuous outcome."""
        return max(self.psi - self.delta**2, 0.0) if self.sd is None else self.sd**2

    @classmethod
    def from_counts(cls, gained: int, lost: int, n: int) -> "Discovered":
        """What planning uses for b gained and c lost of n discovery items.

        psi = (b + c + 1/2) / (n + 1), the mean under Jeffreys' prior, so that "none discordant among these" does not
        mean "none ever"; delta = (b - c) / n.
        """
        return cls((gained + lost + 0.5) / (n + 1), (gained - lost) / n)

    @classmethod
    def from_numbers(cls, differences: NDArray[np.float64], cluster: NDArray[Any] | None = None) -> "Discovered":
        """What planning uses for the paired differences [n] of a continuous outcome, with their clusters [n].

        sd and between are the components of a one-way analysis of variance by clusters; without clusters, or with as
        many clusters as items, all of the variance counts as the items' own.

        Raises:
            InputError: for fewer than two differences, or one that is not finite.
        """
        if differences.size < 2 or not np.isfinite(differences).all():
            raise InputError(f"planning needs two finite paired differences or more; got {differences.size}")
        mean, whole = float(differences.mean()), float(differences.var(ddof=1))
        places = np.zeros(differences.size, dtype=np.intp)
        if cluster is not None:
            places = np.unique(cluster, return_inverse=True)[1]
        sizes = np.bincount(places)
        spare = differences.size - sizes.size
        if sizes.size < 2 or spare < 1:
            return cls(0.0, mean, sqrt(whole))
        means = np.bincount(places, weights=differences) / sizes
        within = float(((differences - means[places]) ** 2).sum()) / spare
        among = float((sizes * (means - mean) ** 2).sum()) / (sizes.size - 1)
        usual = (differences.size - float((sizes**2).sum()) / differences.size) / (sizes.size - 1)
        return cls(0.0, mean, sqrt(within), sqrt(max(0.0, (among - within) / usual)))
