"""The target among its matched sets, in words.

The whole distribution is shown, never its mean alone: sets differ from each other, and a mean over them hides it.
"""

from lesion.report.figures.parts.marks import unit_words
from lesion.report.findings import Finding
from lesion.report.record import Record
from lesion.report.wording.words import listed, p_value, unit_of
from lesion.stats.specificity.rank import RankSpecificity
from lesion.study.arms.edits import EdgeKnockOut, Steering

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


def random_words(record: Record) -> str:
    """What matched sets are made of: `random heads`, `random vectors`, `vectors of shuffled pairs`, `random edges`."""
    edit = record.manifest.study.sweep.edit
    if isinstance(edit, Steering) and edit.control == "shuffled":
        return "vectors of shuffled pairs"
    edges = isinstance(edit, EdgeKnockOut) and edit.control == "edges"
    return "random edges" if edges else f"random {unit_words(record)}"


def as_many(finding: Finding) -> int:
    """How many matched sets do at least as much as the target; 0 where none were measured."""
    return 0 if finding.rank is None else finding.rank.rank - 1


def as_strong_words(finding: Finding) -> str:
    """`21 of 200`, of matched sets; a dash where none were measured."""
    rank = finding.rank
    if rank is None or rank.status == "not asked" or not rank.effects:
        return "–"
    return f"{as_many(finding):,} of {rank.sets:,}"


def against(record: Record, finding: Finding) -> str:
    """`21 of 200 sets of random heads do as much; the strongest, L0H3+L1H4, −99.2 points against −92.7 on …`."""
    rank = finding.rank
    if rank is None or not rank.effects:
        return ""
    unit = unit_of(record.manifest.study)
    many = as_many(finding)
    number, do = ("none", "does") if not many else (f"{many:,}", "does" if many == 1 else "do")
    name, effect = strongest(finding)[0]
    return (
        f"{number} of {rank.sets:,} sets of {among(record, rank)} {do} as much; the strongest, {name},"
        f" {unit.said(effect)} {unit.name} against {unit.said(rank.target)} on the same {rank.items:,} items"
    )


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
