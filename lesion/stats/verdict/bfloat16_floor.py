"""What the rounding of bfloat16 may move, and which verdicts it leaves standing.

A model in bfloat16 answers some items otherwise than the same weights in float32. At most that share of either arm's
answers is rounding, so a paired accuracy difference can be off by twice the share: the floor. A verdict stands where
its interval clears the floor on the side that it claims, and every verdict in bfloat16 carries the tag that says so.
"""

from dataclasses import replace

from lesion.stats.intervals import wilson
from lesion.stats.verdict.cell_verdict import CellVerdict, Clause, Part
from lesion.stats.verdict.rule import Rule

CLAUSE = "clears the bfloat16 floor"


def rounding_floor(flips: int, items: int) -> float:
    """The accuracy difference that rounding alone may make, a share.

    Args:
        flips: items that the unedited model answers otherwise in bfloat16 than in float32.
        items: items that were tried.

    Returns:
        Twice the upper end of Wilson's one-sided 95 % interval of the share of flips; 1 where nothing was tried.
    """
    return 1.0 if not items else min(1.0, 2 * float(wilson(flips, items, 0.9)[1]))


def beside_floor(found: CellVerdict, floor: float, rule: Rule) -> CellVerdict:
    """A bfloat16 verdict with its tag and the floor's clause; Invalid where the floor could have made the effect."""
    if found.verdict == "Invalid" or found.ci_low is None or found.ci_high is None:
        return found
    holds, what = _clears(found, found.ci_low, found.ci_high, floor, rule)
    clause = Clause(CLAUSE, what, f"floor {100 * floor:.2f} points", holds=holds)
    tagged = replace(found, tags=(*found.tags, "bfloat16"), clauses=(*found.clauses, clause))
    if holds:
        return tagged
    reason = f"{found.verdict} by the rule, but {what}, within the bfloat16 floor of {100 * floor:.2f} points"
    return replace(tagged, verdict="Invalid", reason=reason, needed_n=None)


def _clears(found: CellVerdict, low: float, high: float, floor: float, rule: Rule) -> tuple[bool, str]:
    """Whether a verdict's claim is larger than the floor, and what was compared, in words."""
    spoken = f"its interval is {100 * low:+.2f} … {100 * high:+.2f} points"
    if found.verdict == "Improvement":
        return low > floor, spoken
    if found.verdict == "Harm":
        return high < -floor, spoken
    if found.verdict == "Null":
        return max(-low, high) + floor < rule.margin, spoken
    if found.verdict == "Mixed":
        ends = [_end(part) for part in found.strata]
        return max(ends, default=0) > floor and min(ends, default=0) < -floor, "its strata's intervals were compared"
    return True, spoken  # nothing is claimed


def _end(part: Part) -> float:
    """The end of a stratum's interval that is nearer to 0, 0 where it holds 0."""
    return max(part.low, 0.0) + min(part.high, 0.0)
