"""Does what zeroing shows also hold when the activation is averaged or resampled instead? The rule for the companions.

Zero is far from anything that a network meets, so its effect may be that of the disturbance alone. A claim about a
zeroing therefore needs each companion to show the same by the same test on the same items: for an Improvement or Harm
a change on the same side, p <= alpha_look; for a Null equivalence at alpha_look. All of them must, so nothing is gained
by having several and no correction is needed (an intersection-union test, Berger 1982). They never decide a verdict.
"""

from dataclasses import dataclass
from typing import Literal

from lesion.stats.paired.comparison import compare
from lesion.stats.paired.rows import PairedRows
from lesion.stats.verdict.rule import Rule, Verdict

COVERED = 0.5
"""Share of a cell's items that must have a companion, else it speaks for too few of them."""
Answer = Literal["agrees", "differs", "unknown", "not asked"]
"""not asked: the cell's verdict claims nothing; unknown: too few items, or nothing was replaced."""


@dataclass(frozen=True)
class Companion:
    """One companion of a cell."""

    answer: Answer
    reason: str
    """Why it is unknown; else empty."""
    n: int
    """Items that have it."""
    of: int
    """Items of the cell."""
    gained: int
    lost: int
    delta: float | None
    """(gained - lost) / n; nothing without items."""
    ci_low: float | None
    ci_high: float | None
    p: float | None
    p_equivalence: float | None


def companion(verdict: Verdict, rows: PairedRows | None, of: int, rule: Rule, *, replaced: bool = True) -> Companion:
    """What a companion says of a cell's verdict.

    Args:
        verdict: the zeroed cell's.
        rows: the companion's rows; nothing when no item has one.
        of: items of the cell.
        rule: the preregistered thresholds.
        replaced: whether the companion moved any number; one that moved none replaced nothing.
    """
    asked = verdict in ("Improvement", "Harm", "Null")
    if rows is None:
        nothing: Answer = "unknown" if asked else "not asked"
        return Companion(nothing, "no item has one", 0, of, 0, 0, None, None, None, None, None)
    found = compare(rows, rule.confidence, rule.margin)
    n, gained, lost = found.counts
    reason = ""
    if n < COVERED * of:
        reason = f"only {n} of {of} items have one"
    elif not replaced:
        reason = "it changed no number, so nothing was replaced"
    low, high = found.interval
    heard = _answer(verdict, gained - lost, found.p, found.p_equivalence, rule)
    answer: Answer = "unknown" if reason and asked else heard
    return Companion(answer, reason, n, of, gained, lost, found.counts.delta, low, high, found.p, found.p_equivalence)


def _answer(verdict: Verdict, difference: int, p: float, p_equivalence: float, rule: Rule) -> Answer:
    if verdict == "Null":
        return "agrees" if p_equivalence < rule.alpha_look else "differs"
    if verdict in ("Improvement", "Harm"):
        side = difference > 0 if verdict == "Improvement" else difference < 0
        return "agrees" if side and p <= rule.alpha_look else "differs"
    return "not asked"


def zero_only(found: list[Companion]) -> bool:
    """Whether a verdict rests on zero alone: some companion does not agree with what it claims."""
    return any(each.answer in ("differs", "unknown") for each in found)
