"""The target among its matched sets: in words, as rows, and as a strip of dots.

The whole distribution is shown, never its mean alone: sets differ from each other, and a mean over them hides it.
"""

from typing import Any

import polars as pl

from lesion.report.figures.parts.marks import panel, unit_words
from lesion.report.paired_join import COUNTS, NATS, PAIRED
from lesion.report.record import Finding, Record
from lesion.report.wording.words import Unit, labelled, listed, p_value, unit_of
from lesion.stats.specificity.rank import RankSpecificity
from lesion.study.arms.edits import EdgeKnockOut, Steering

QUERY = f"""SELECT e.stage, e.model, e.tier, e.arm, {COUNTS},
  {NATS}
{PAIRED}
WHERE b.arm = 'baseline' AND e.stage = 'specificity' AND e.role IN ('target', 'set')
GROUP BY e.stage, e.model, e.tier, e.arm
ORDER BY e.model, e.tier, e.arm"""
"""Paired changes under the target and every matched set, on the same items."""
STEERED = {
    "random": "random vectors of the same length there, in any direction",
    "shuffled": "vectors of the same length there, made from the same prompts with their pairs shuffled",
}
"""What a steering vector is ranked among, by `control`."""


def among(record: Record, rank: RankSpecificity) -> str:
    """`random heads of its layer`, `random heads of the model`, or `random vectors of the same length there`."""
    edit = record.manifest.study.sweep.edit
    if isinstance(edit, Steering):
        return STEERED[edit.control]
    if isinstance(edit, EdgeKnockOut) and edit.control == "edges":
        return "random edges of the same heads, drawn anew for each item"
    where = "of its layer" if rank.population == "layer" else "of the model"
    return f"random {unit_words(record)} {where}"


def short(record: Record, finding: Finding) -> str:
    """For a table: `specific: rank 1 of 200, p 0.005 (0.010 corrected); random heads of its layer`."""
    rank = finding.rank
    if rank is None or rank.status == "not asked":
        return _unasked(record, finding)
    if rank.status == "not evaluable":
        return f"NOT EVALUABLE: {rank.reason}"
    place = f"rank {rank.rank} of {rank.sets + 1}, p {p_value(rank.p)} (Holm {p_value(rank.p_holm)})"
    return f"{rank.status}: {place}; {among(record, rank)}"


def sentence(record: Record, finding: Finding) -> str:
    """Where the target stands, in a sentence or two."""
    rank = finding.rank
    if rank is None or rank.status == "not asked":
        return f"Specificity: {_unasked(record, finding)}."
    unit = unit_of(record.manifest.study)
    place = (
        f"the target ({unit.said(rank.target)} {unit.name}) ranks {rank.rank} of {rank.sets + 1} among {rank.sets:,}"
        f" sets of {among(record, rank)} on the same {rank.items:,} items, p {p_value(rank.p)}, Holm p"
        f" {p_value(rank.p_holm)}"
    )
    named = [f"{name} {unit.said(effect)}" for name, effect in strongest(finding)]
    sets = f" The strongest sets: {listed(named)}.{_near(finding)}" if named else ""
    if rank.status == "not evaluable":
        return f"Specificity is NOT EVALUABLE ({rank.reason}); {place}.{sets}"
    if rank.status == "specific":
        return f"Specific: it does more than nearly all sets of {among(record, rank)}; {place}.{sets}"
    return f"Not specific: it is not shown to do more than {among(record, rank)}; {place}.{sets}"


def _near(finding: Finding) -> str:
    """The rank among sets of the target's own layers, as a sentence with a space before it; else empty."""
    if (near := finding.within) is None:
        return ""
    return (
        f" Among {len(near.sets)} of {near.exist:,} sets of its own layers it ranks {near.rank} of"
        f" {len(near.sets) + 1}, p {p_value(near.p)} (shown beside the claim, not part of it)."
    )


def strongest(finding: Finding) -> list[tuple[str, float]]:
    """The five most extreme matched sets with their effects, by name."""
    rank = finding.rank
    if rank is None:
        return []
    return [(set_name(finding, number), rank.effects[number]) for number in rank.strongest]


def as_strong(finding: Finding) -> list[tuple[str, float]]:
    """Of the strongest matched sets, those that do at least as much as the target."""
    rank = finding.rank
    if rank is None or rank.status == "not asked":
        return []
    sign = -1 if finding.verdict.verdict == "Harm" else 1
    return [(name, effect) for name, effect in strongest(finding) if sign * effect >= sign * rank.target - 1e-9]


def set_name(finding: Finding, number: int) -> str:
    """`L1H4+L1H7`; of many sites the first and the last; the number where the sets are not recorded."""
    if number >= len(finding.sets):
        return f"set {number}"
    sites = finding.sets[number]
    if sum(each == sites for each in finding.sets) > 1:  # random vectors or edges at the target's own place
        return f"set {number}"
    return "+".join(sites) if len(sites) <= 4 else f"{'+'.join(sites[:2])}…{sites[-1]}"


def _unasked(record: Record, finding: Finding) -> str:
    if finding.verdict.verdict not in ("Improvement", "Harm"):
        return "not asked, for there is no detected effect"
    claims = record.manifest.study.claims
    if claims is not None and not claims.sets:
        return "not asked: the study has no matched sets, so nothing may be called specific"
    return "not measured"


def rows(record: Record) -> pl.DataFrame:
    """One row per set and one per target of every cell that asked; effects in points or nats."""
    unit = unit_of(record.manifest.study)
    found: list[dict[str, Any]] = []
    for finding in record.findings:
        rank = finding.rank
        if rank is None or rank.status == "not asked" or not rank.effects:
            continue
        cell = f"{panel(record, finding.chosen.model, finding.chosen.tier)}, {labelled(finding.chosen)}"
        place = f"rank {rank.rank} of {rank.sets + 1}, p {p_value(rank.p)}: {_status(rank)}"
        keys = {
            "label": f"{cell}|{place}", "model": finding.chosen.model, "tier": finding.chosen.tier,
            "edit": finding.chosen.edit, "n": rank.items,
        }  # fmt: skip
        for number, effect in enumerate(rank.effects):
            name = set_name(finding, number)
            found.append(
                {**keys, "series": "set", "sites": name, "effect": unit.factor * effect, "lift": _lift(number)}
            )
        sites = "+".join(record.manifest.plan.targets.get(finding.chosen.aim, ()))
        found.append({**keys, "series": "target", "sites": sites, "effect": unit.factor * rank.target, "lift": 0.5})
    return pl.DataFrame(found, infer_schema_length=None)


def _status(rank: RankSpecificity) -> str:
    return "NOT EVALUABLE" if rank.status == "not evaluable" else rank.status


def _lift(number: int) -> float:
    """A height between 0 and 1 that spreads neighbours, the same each time (the golden ratio's multiples)."""
    return (0.618034 * (number + 1)) % 1


def reading(record: Record, unit: Unit) -> str:
    """What to see in the strip."""
    populations = list(dict.fromkeys(among(record, f.rank) for f in record.findings if f.rank is not None))
    return (
        f"Each grey dot is one matched set ({listed(populations)}), the filled mark is the target: the change in"
        f" {unit.name} under the same edit on the same items. An effect is specific only if hardly any set does as"
        " much."
    )
