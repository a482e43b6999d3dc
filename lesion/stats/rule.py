"""The names and thresholds of the decision rule. What is done with them: look.py, decide.py, docs/verdict.md."""

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from lesion.errors import InputError

Verdict = Literal["Improvement", "Harm", "Null", "Mixed", "Ambiguous", "Inconclusive", "Invalid"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
GateOutcome = Literal["Pass", "Fail", "NotEvaluable", "Degenerate"]
GATE_OUTCOMES: tuple[GateOutcome, ...] = get_args(GateOutcome)


@dataclass(frozen=True)
class Rule:
    """The preregistered thresholds of the verdict."""

    margin: float = 0.03
    """Equivalence margin m for the paired accuracy difference (share)."""
    alpha: float = 0.05
    """Error rate over all looks."""
    looks: int = 2
    """Looks at the data; each spends alpha / looks (Bonferroni)."""
    spread: float = 0.03
    """Seed gate: the range of the paired differences over seeds must stay strictly below this share."""
    effect: float = 0.05
    """Accuracy difference that the planned N must find (share)."""
    power: float = 0.8
    """With what probability it must be found."""

    def __post_init__(self) -> None:
        shares = {
            "margin": self.margin,
            "alpha": self.alpha,
            "spread": self.spread,
            "effect": self.effect,
            "power": self.power,
        }
        for name, share in shares.items():
            if not 0 < share < 1:
                raise InputError(f"rule: {name} = {share} is not a share; give a number strictly between 0 and 1")
        if self.looks not in (1, 2):
            raise InputError(f"rule: looks = {self.looks}; the rule knows 1 or 2 looks")

    @property
    def alpha_look(self) -> float:
        """Error rate of one look, alpha / looks."""
        return self.alpha / self.looks

    @property
    def confidence(self) -> float:
        """Level of the interval that shows equivalence, 1 - 2 alpha / looks: 95 % by default."""
        return 1 - 2 * self.alpha_look


class Discovered(NamedTuple):
    """What the discovery split fixed about a cell before any confirmation item existed."""

    psi: float
    """Share of discordant pairs, (b + c) / N."""
    delta: float = 0.0
    """Paired accuracy difference, (b - c) / N."""

    @property
    def variance(self) -> float:
        """Variance of one paired difference, psi - delta^2."""
        return max(self.psi - self.delta**2, 0.0)

    @classmethod
    def from_counts(cls, gained: int, lost: int, n: int) -> "Discovered":
        """What planning uses for b gained and c lost of n discovery items.

        psi = (b + c + 1/2) / (n + 1), the mean under Jeffreys' prior, so that "none discordant among these" does not
        mean "none ever"; delta = (b - c) / n.
        """
        return cls((gained + lost + 0.5) / (n + 1), (gained - lost) / n)
