"""The evidence for each clause of the rule, written out for a reader, and the tags that go with a verdict."""

from lesion.stats.evidence import Evidence
from lesion.stats.paired import Deltas
from lesion.stats.rule import Rule, Verdict
from lesion.stats.verdict import Clause, Part, Tag


def clauses(
    evidence: Evidence, rule: Rule, p_holm: float, p_equivalence_holm: float, *, readable: bool
) -> tuple[Clause, ...]:
    """The rule's conditions in the order in which they are asked; `readable`: is the effect more than format?"""
    whole, level = evidence.whole, f"{100 * rule.confidence:.3g} %"
    gaining = [part.name for part in evidence.strata if part.delta > 0 and part.p_holm <= rule.alpha_look]
    losing = [part.name for part in evidence.strata if part.delta < 0 and part.p_holm <= rule.alpha_look]
    low, high = whole.interval
    return (
        Clause("instrument sound", "nothing amiss", "no fault named", holds=True),
        Clause(
            "strata disagree",
            f"gain: {', '.join(gaining) or 'none'}; lose: {', '.join(losing) or 'none'}",
            f"one gains and one loses, Holm p <= {rule.alpha_look:g} over {len(evidence.strata)} strata",
            holds=evidence.conflict,
        ),
        Clause(
            "equivalent",
            f"{level} interval {_points(low)} to {_points(high)}; Holm p {_chance(p_equivalence_holm)}",
            f"inside ±{100 * rule.margin:g} points, Holm p < {rule.alpha_look:g}",
            holds=p_equivalence_holm < rule.alpha_look,
        ),
        Clause(
            "seeds stable",
            f"{evidence.gate}: range {100 * evidence.seed_range:.2f} points; {_each(evidence.seeds)}",
            f"range < {100 * rule.spread:g} points, {evidence.gate_needs} items or more in each of 3 seeds that differ",
            holds=evidence.gate == "Pass",
        ),
        Clause(
            "detected",
            f"{_counts(whole.counts)}; p {_chance(whole.p)}, Holm p {_chance(p_holm)}",
            f"Holm p <= {rule.alpha_look:g}",
            holds=p_holm <= rule.alpha_look,
        ),
        Clause(
            "every seed on one side",
            "; ".join(f"seed {part.name}: {_points(part.low)} to {_points(part.high)}" for part in evidence.seeds),
            "all 95 % intervals exclude 0 on one side",
            holds=evidence.one_side,
        ),
        Clause(
            "more than format",
            _read(evidence),
            "changed by at most 1 point, or the effect holds on the items readable in both arms",
            holds=readable,
        ),
        Clause(
            "above floor",
            f"baseline {100 * evidence.baseline_accuracy:.2f} %",
            f"> {100 * evidence.floor_at:.2f} % (chance + 2 SE), for Harm and Null",
            holds=not evidence.floor,
        ),
        Clause(
            "below ceiling",
            f"baseline {100 * evidence.baseline_accuracy:.2f} %",
            f"< {100 * evidence.ceiling_at:.2f} % (1 - margin), for Improvement",
            holds=not evidence.ceiling,
        ),
    )


def tags(verdict: Verdict, evidence: Evidence, rule: Rule, *, detected: bool, readable: bool) -> tuple[Tag, ...]:
    """What must be said beside the verdict."""
    low, high = evidence.whole.interval
    claimed, stable = verdict in ("Improvement", "Harm"), evidence.gate == "Pass"
    said: dict[Tag, bool] = {
        "negligible+": verdict == "Null" and detected and evidence.whole.counts.delta > 0,
        "negligible-": verdict == "Null" and detected and evidence.whole.counts.delta < 0,
        "magnitude_unstable": claimed and not stable,
        "material": claimed and stable and (low > rule.margin or high < -rule.margin),
        "floor": evidence.floor,
        "ceiling": evidence.ceiling,
        "format_effect": evidence.format_effect,
        "format_effect_only": detected and not readable and not claimed,
    }
    return tuple(tag for tag, applies in said.items() if applies)


def _points(share: float) -> str:
    return f"{100 * share:+.2f} points"


def _chance(p: float) -> str:
    return f"{p:.3g}" if p > 1e-300 else "< 1e-300"


def _counts(counts: Deltas) -> str:
    return f"gained {counts.gained}, lost {counts.lost} of {counts.n} ({_points(counts.delta)})"


def _each(seeds: tuple[Part, ...]) -> str:
    return ", ".join(f"seed {part.name}: {_points(part.delta)} of {part.n} items" for part in seeds)


def _read(evidence: Evidence) -> str:
    """What reading the answers of both arms showed."""
    if evidence.parse_change is None:
        return "not asked: no answer was written out"
    changed = f"readable answers changed by {_points(evidence.parse_change)}"
    if not evidence.format_effect:
        return changed
    return f"{changed}; readable in both: {_counts(evidence.readable.counts) if evidence.readable else 'none'}"
