"""Do several ablations of the same sites tell the same? Each is judged by the same rule; their words are compared.

A cell on which they do not agree is `ablation_dependent`: what was shown is a disturbance of one kind, not the loss of
what the sites compute. All must agree, so there is nothing to correct for (an intersection-union test, Berger 1982).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lesion.errors import InputError, nearest
from lesion.stats.verdict.cell_verdict import CellVerdict

ABLATIONS = ("zero", "mean", "resample")
COVERED = 0.5
"""Share of the largest arm's items that an ablation must have, else it speaks for too few of them."""


@dataclass(frozen=True)
class Agreement:
    """Whether every ablation gives the primary one's verdict."""

    agrees: bool
    differing: tuple[str, ...]
    """Ablations that do not give it, or cannot speak."""
    reasons: Mapping[str, str]
    """Why, for each of them."""


def agreement(verdicts: Mapping[str, CellVerdict], primary: str, expected: Sequence[str] = ABLATIONS) -> Agreement:
    """Compares the verdicts of all ablations of one cell, word by word.

    Args:
        verdicts: ablation -> its verdict, by the rule that judged the primary one.
        primary: the preregistered ablation, which decides.
        expected: every ablation that must speak; one without a verdict does not agree.

    Raises:
        InputError: when the primary ablation has no verdict.
    """
    if primary not in verdicts:
        raise InputError(f"the primary ablation {primary!r} has no verdict; {nearest(primary, verdicts)}")
    word, most = _word(verdicts[primary]), max(each.n for each in verdicts.values())
    reasons: dict[str, str] = {}
    for name in dict.fromkeys((*expected, *verdicts)):
        if name != primary and (reason := _differs(verdicts.get(name), word, most)):
            reasons[name] = reason
    return Agreement(not reasons, tuple(reasons), reasons)


def _word(verdict: CellVerdict) -> str:
    """Ambiguous is what Inconclusive is called before the last look."""
    return "Inconclusive" if verdict.verdict == "Ambiguous" else verdict.verdict


def _differs(verdict: CellVerdict | None, word: str, most: int) -> str:
    if verdict is None:
        return "no item has a reference for it"
    if verdict.verdict == "Invalid":
        return verdict.reason
    if verdict.n < COVERED * most:
        return f"only {verdict.n} of {most} items have a reference for it"
    return "" if _word(verdict) == word else f"{_word(verdict)}, not {word}"
