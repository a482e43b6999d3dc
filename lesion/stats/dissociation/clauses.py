"""The evidence for each clause of a dissociation, written out for a reader, and the tags that go with its verdict."""

from collections.abc import Sequence

from lesion.stats.dissociation.question import DissociationTag, Lead
from lesion.stats.verdict.cell_measures import REPRESENTATIVE
from lesion.stats.verdict.cell_verdict import Clause
from lesion.stats.verdict.rule import Rule

UNEQUAL = 2.0
"""Tasks differ in headroom where one has more than so many times that of the other."""


def clauses(leads: Sequence[Lead], rule: Rule, size: int, p_holm: float, p_none_holm: float) -> tuple[Clause, ...]:
    """The rule's conditions in the order in which they are asked."""
    return (
        Clause("instrument sound", "nothing amiss", "no fault named", holds=True),
        Clause(
            "room to lose",
            "; ".join(f"{each.task}: baseline {_number(each.headroom, rule)} above chance" for each in leads),
            "each task above guessing, and by more than its margin",
            holds=not any(each.floor for each in leads),
        ),
        *(
            Clause(
                f"{each.own} harms {each.task}",
                f"{_number(each.harm, rule)} lost; one-sided p {each.p_harm:.2g}",
                f"p <= {rule.alpha_look:g}",
                holds=each.p_harm <= rule.alpha_look,
            )
            for each in leads
        ),
        *(
            Clause(
                f"{each.own} harms {each.task} more than {each.other} does",
                f"by {_number(each.lead, rule)} ({100 * rule.confidence:.3g} % interval {_number(each.low, rule)} to"
                f" {_number(each.high, rule)}) on the same {each.n:,} items; one-sided p {each.p_lead:.2g}",
                f"above {_number(each.margin, rule)}, p <= {rule.alpha_look:g}",
                holds=each.p_lead <= rule.alpha_look,
            )
            for each in leads
        ),
        *(
            Clause(
                f"{each.own} takes a larger share of {each.task} than of {away.task}",
                f"{_percent(each.harm / each.headroom)} of the headroom against"
                f" {_percent(away.other_harm / away.headroom)}; one-sided p {each.p_between:.2g}",
                f"p <= {rule.alpha_look:g}",
                holds=each.p_between <= rule.alpha_look,
            )
            for each, away in zip(leads, reversed(leads), strict=True)
            if each.headroom > 0 and away.headroom > 0
        ),
        Clause(
            "every seed in the same direction",
            "; ".join(f"{e.task}: {', '.join(_number(seed, rule) for seed in e.seeds)}" for e in leads),
            "every lead above 0 in every seed",
            holds=all(min(each.seeds) > 0 for each in leads),
        ),
        Clause(
            "all of these, over every question",
            f"largest p, Holm over {size}: {p_holm:.2g}",
            f"p <= {rule.alpha_look:g}",
            holds=p_holm <= rule.alpha_look,
        ),
        Clause(
            "a lead below its margin",
            f"twice the smaller p, Holm over {size}: {p_none_holm:.2g}",
            f"p <= {rule.alpha_look:g}: no double dissociation",
            holds=p_none_holm <= rule.alpha_look,
        ),
    )


def tags(leads: Sequence[Lead], rule: Rule, *, exhaustive: bool) -> tuple[DissociationTag, ...]:
    """What a reader must know beside the verdict."""
    level, rooms = rule.alpha_look, [each.headroom for each in leads]
    holds = [each.p_harm <= level and each.p_lead <= level for each in leads]
    few = any(each.clusters is not None and each.clusters < REPRESENTATIVE for each in leads)
    spared = all(each.p_spared < level for each in leads)
    named: list[tuple[DissociationTag, bool]] = [
        ("complete", spared),
        ("partial", not spared and any(each.p_other <= level for each in leads)),
        ("one_sided", sum(holds) == 1),
        ("floor", any(each.floor for each in leads)),
        ("unequal_headroom", min(rooms) <= 0 or max(rooms) > UNEQUAL * min(rooms)),
        ("seeds_differ", any(min(each.seeds) <= 0 for each in leads)),
        ("few_clusters", few and not exhaustive),
    ]
    return tuple(name for name, fits in named if fits)


def _number(value: float, rule: Rule) -> str:
    return f"{100 * value:.1f} points" if rule.outcome == "accuracy" else f"{value:.3g} nats"


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"
