"""The evidence for each clause of the rule, written out for a reader, and the tags that go with a verdict."""

from lesion.stats.paired.tests import Deltas
from lesion.stats.power import UNREACHABLE
from lesion.stats.verdict.cell_measures import REPRESENTATIVE, Evidence
from lesion.stats.verdict.cell_verdict import Clause, Part, Tag
from lesion.stats.verdict.rule import Rule, Verdict


def clauses(evidence: Evidence, p_holm: float, p_equivalence_holm: float, *, readable: bool) -> tuple[Clause, ...]:
    """The rule's conditions in the order in which they are asked; `readable`: is the effect more than format?"""
    whole, rule, level = evidence.whole, evidence.rule, f"{100 * evidence.rule.confidence:.3g} %"
    gaining = [part.name for part in evidence.strata if part.delta > 0 and part.p_holm <= evidence.alpha_strata]
    losing = [part.name for part in evidence.strata if part.delta < 0 and part.p_holm <= evidence.alpha_strata]
    low, high = whole.interval
    at = f"baseline {_level(evidence.baseline, rule)}"
    return (
        Clause("instrument sound", "nothing amiss", "no fault named", holds=True),
        Clause(
            "strata disagree",
            f"gain: {', '.join(gaining) or 'none'}; lose: {', '.join(losing) or 'none'}",
            f"one gains and one loses, Holm p <= {evidence.alpha_strata:.3g} over {len(evidence.strata)} strata",
            holds=evidence.conflict,
        ),
        Clause(
            "equivalent",
            f"{level} interval {_size(low, rule)} to {_size(high, rule)}{_about(evidence)};"
            f" Holm p {_chance(p_equivalence_holm)}",
            f"inside ±{_bare(rule.margin, rule)}, Holm p < {rule.alpha_look:g}",
            holds=p_equivalence_holm < rule.alpha_look,
        ),
        Clause(
            "seeds stable",
            f"{evidence.gate}: range {_range(evidence.seed_range, rule)}; {_each(evidence.seeds, rule)}",
            f"range < {_bare(rule.spread, rule)}, {_needs(evidence)} in each of 3 seeds that differ",
            holds=evidence.gate == "Pass",
        ),
        Clause(
            "detected",
            f"{_counts(whole.counts, whole.delta, rule)}; p {_chance(whole.p)}, Holm p {_chance(p_holm)}",
            f"Holm p <= {rule.alpha_look:g}",
            holds=p_holm <= rule.alpha_look,
        ),
        Clause(
            "every seed on one side",
            "; ".join(
                f"seed {part.name}: {_size(part.low, rule)} to {_size(part.high, rule)}" for part in evidence.seeds
            ),
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
            at,
            f"> {_level(evidence.floor_at, rule)} (chance + 2 SE), for Harm and Null",
            holds=not evidence.floor,
        ),
        Clause(
            "below ceiling",
            at,
            f"< {_level(evidence.ceiling_at, rule)} ({_ceiling(rule)}), for Improvement",
            holds=not evidence.ceiling,
        ),
        *(_second_edition(evidence, at) if rule.edition == 2 else ()),
    )


def _second_edition(evidence: Evidence, at: str) -> tuple[Clause, ...]:
    """What the first rule did not ask."""
    rule, enough = evidence.rule, f"{REPRESENTATIVE} or more, or all that there are, for Null"
    many = "items stand for themselves" if evidence.clusters is None else f"{evidence.clusters} templates or prefixes"
    return (
        Clause(
            "room to fall",
            f"{at}, chance {_level(evidence.chance, rule)}",
            f"more than the margin of {_bare(rule.margin, rule)} above chance, for Null",
            holds=not evidence.no_fall,
        ),
        Clause(
            "enough to speak of others",
            f"{many}, all that there are" if evidence.exhaustive and evidence.clusters is not None else many,
            enough,
            holds=not evidence.few,
        ),
    )


def tags(verdict: Verdict, evidence: Evidence, *, detected: bool, readable: bool) -> tuple[Tag, ...]:
    """What must be said beside the verdict."""
    low, high = evidence.whole.interval
    rule, delta = evidence.rule, evidence.whole.delta
    claimed, stable = verdict in ("Improvement", "Harm"), evidence.gate == "Pass"
    said: dict[Tag, bool] = {
        "negligible+": verdict == "Null" and detected and delta > 0,
        "negligible-": verdict == "Null" and detected and delta < 0,
        "magnitude_unstable": claimed and not stable,
        "material": claimed and stable and (low > rule.margin or high < -rule.margin),
        "floor": evidence.floor,
        "ceiling": evidence.ceiling,
        "format_effect": evidence.format_effect,
        "format_effect_only": detected and not readable and not claimed,
        "few_clusters": evidence.few,
    }
    return tuple(tag for tag, applies in said.items() if applies)


def _size(difference: float, rule: Rule) -> str:
    """A difference with its sign and unit."""
    return f"{100 * difference:+.2f} points" if rule.outcome == "accuracy" else f"{difference:+.4f} nats"


def _range(width: float, rule: Rule) -> str:
    return f"{100 * width:.2f} points" if rule.outcome == "accuracy" else f"{width:.4f} nats"


def _bare(threshold: float, rule: Rule) -> str:
    return f"{100 * threshold:g} points" if rule.outcome == "accuracy" else f"{threshold:g} nats"


def _level(outcome: float, rule: Rule) -> str:
    """A mean outcome with its unit."""
    return f"{100 * outcome:.2f} %" if rule.outcome == "accuracy" else f"{outcome:.4f} nats"


def _ceiling(rule: Rule) -> str:
    names = {"accuracy": "1 - margin", "answer_logprob": "0 - margin", "logit_diff": "none for a logit difference"}
    return names[rule.outcome]


def _about(evidence: Evidence) -> str:
    """What the interval speaks of."""
    said: list[str] = []
    if evidence.rule.edition == 2 and evidence.clusters is not None:
        said.append(f"over {evidence.clusters} templates or prefixes, the most extreme counted twice")
    if evidence.conditional:
        said.append(f"conditional on {len(evidence.seeds)} example sets")
    return f" ({'; '.join(said)})" if said else ""


def _needs(evidence: Evidence) -> str:
    if evidence.gate_needs >= UNREACHABLE:
        return "prefixes that differ less, or more of them; no number of items suffices"
    return f"{evidence.gate_needs} items or more"


def _chance(p: float) -> str:
    return f"{p:.3g}" if p > 1e-300 else "< 1e-300"


def _counts(counts: Deltas, delta: float, rule: Rule) -> str:
    words = ("gained", "lost") if rule.outcome == "accuracy" else ("rose", "fell")
    return f"{words[0]} {counts.gained}, {words[1]} {counts.lost} of {counts.n} ({_size(delta, rule)})"


def _each(seeds: tuple[Part, ...], rule: Rule) -> str:
    return ", ".join(f"seed {part.name}: {_size(part.delta, rule)} of {part.n} items" for part in seeds)


def _read(evidence: Evidence) -> str:
    """What reading the answers of both arms showed."""
    if evidence.parse_change is None:
        return "not asked: no answer was written out"
    rule = evidence.rule
    changed = f"readable answers changed by {_size(evidence.parse_change, rule)}"
    if not evidence.format_effect:
        return changed
    both = evidence.readable
    return f"{changed}; readable in both: {_counts(both.counts, both.delta, rule) if both else 'none'}"
