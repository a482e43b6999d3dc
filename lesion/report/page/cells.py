"""What the page shows of a run's cells, as words ready for the template."""

from typing import NamedTuple

import polars as pl

from lesion.report.figures.parts.palette import VERDICT_SIGNS
from lesion.report.findings import Finding
from lesion.report.page.gates import Table
from lesion.report.record import Record
from lesion.report.wording.claims import baseline_words, claim, specificity
from lesion.report.wording.evidence import overlap, ranks
from lesion.report.wording.evidence.ablations import ABLATIONS, cell_words, changes_words
from lesion.report.wording.words import (
    MEANINGS,
    TAGS,
    Unit,
    conditional,
    labelled,
    level,
    model_name,
    p_value,
    percent,
    points,
    tier_name,
    unit_of,
)
from lesion.stats.specificity.companion import Companion
from lesion.stats.specificity.contrast import Specificity
from lesion.stats.verdict.cell_verdict import CellVerdict, Part
from lesion.tasks.answers import Reading


class CellView(NamedTuple):
    """One row of the verdict table, and what opens below it."""

    anchor: str
    sign: str
    verdict: str
    meaning: str
    model: str
    tier: str
    action: str
    change: str
    interval: str
    n: str
    counts: str
    p: str
    accuracies: str
    seeds: str
    specific: str
    overlap: str
    """Heads of the target that are function-vector heads, too; a dash where no detector picked heads."""
    claim: str
    primary: str
    """The ablation that decides; empty where a factor scales the target, and in format 1."""
    ablations: tuple[str, ...]
    """Zero, mean and resample, each with its interval and verdict; empty in format 1."""
    brief: tuple[str, ...]
    """The same as bare changes, for a narrow table."""
    as_strong: str
    """How many matched sets do at least as much: `21 of 200`."""
    baseline: str
    """The unedited model, with chance beside it."""
    dependent: bool
    """Whether the ablations disagree."""
    conditional: str
    """What the interval is conditional on; empty where it holds for other examples, too."""
    answers: str
    """Accuracy before and after, beside a continuous outcome."""
    tags: list[tuple[str, str]]
    details: list[Table]


def cell_views(record: Record) -> list[CellView]:
    """Every member of the family, in its order."""
    return [_cell_view(record, number, finding) for number, finding in enumerate(record.findings)]


def _cell_view(record: Record, number: int, finding: Finding) -> CellView:
    chosen, verdict = finding.chosen, finding.verdict
    against, study = finding.specific, record.manifest.study
    unit, claimed = unit_of(study), study.claims is not None
    return CellView(
        anchor=f"cell-{number}",
        sign=VERDICT_SIGNS[verdict.verdict],
        verdict=verdict.verdict,
        meaning=verdict.reason or MEANINGS[verdict.verdict],
        model=model_name(chosen.model),
        tier=tier_name(study, chosen.tier),
        action=labelled(chosen),
        change=unit.said(verdict.delta),
        interval=unit.span(verdict.ci_low, verdict.ci_high),
        n=f"{verdict.n:,}",
        counts=f"{verdict.gained:,} gained, {verdict.lost:,} lost",
        p=p_value(verdict.p_holm),
        accuracies=f"{level(verdict.baseline_accuracy, study)} → {level(verdict.edited_accuracy, study)}",
        seeds="–"
        if verdict.seed_range is None
        else f"{verdict.seed_gate}, range {unit.said(verdict.seed_range).lstrip('+')}",
        specific=ranks.short(record, finding) if claimed else _against(against),
        overlap=overlap.cell(record.manifest, chosen.model, chosen.target),
        claim=claim(record, finding),
        primary=finding.primary or "",
        ablations=tuple(cell_words(finding, name, unit) for name in ABLATIONS) if claimed else (),
        brief=tuple(changes_words(finding, name, unit) for name in ABLATIONS) if claimed else (),
        as_strong=ranks.as_strong_words(finding),
        baseline=baseline_words(record, finding),
        dependent=finding.dependent,
        conditional=conditional(study, chosen.tier).removeprefix(", "),
        answers=answers_words(record, finding),
        tags=tags_of(finding),
        details=_details(finding, unit),
    )


def tags_of(finding: Finding) -> list[tuple[str, str]]:
    """What limits the verdict, and those of the other ablations, each with its meaning."""
    own = [(tag, TAGS[tag]) for tag in finding.verdict.tags]
    for kind, other in finding.ablations.items():
        if kind != finding.primary:
            own += [(f"{kind} ablation: {tag}", TAGS[tag]) for tag in other.tags if tag != "ablation_dependent"]
    return own


def _against(against: Specificity | None) -> str:
    """Format 1: the contrast with the random sets, of which each seed met one."""
    return "no controls" if against is None else f"{'yes' if against.holds else 'no'}, {points(against.delta)}"


def answers_words(record: Record, finding: Finding) -> str:
    """`accuracy 98.5 % → 84.1 %`, counted from the rows, where a continuous outcome is judged; else empty."""
    if record.manifest.study.outcome == "accuracy":
        return ""
    chosen = finding.chosen
    here = record.items.filter(stage="confirm", model=chosen.model, tier=chosen.tier)
    edited = here.filter(arm=chosen.arm)
    key = ["split", "seed", "index"]
    both = edited.join(here.filter(arm="baseline").select(*key, pl.col("correct").alias("before")), on=key)
    if not both.height:
        return ""
    before, after = (float(both[name].sum()) / both.height for name in ("before", "correct"))
    return f"accuracy {percent(before)} → {percent(after)}"


def _details(finding: Finding, unit: Unit) -> list[Table]:
    verdict = finding.verdict
    clauses = [(c.name, c.quantity, c.threshold, "yes" if c.holds else "no") for c in verdict.clauses]
    columns = ("items", "gained", "lost", "change", "95 % interval")
    kinds = [_part(part, unit) for part in verdict.strata]
    tables = [
        Table("The rule's conditions, in the order asked", ("condition", "found", "needed", "holds"), clauses),
        Table("By seed", ("seed", *columns), [_part(part, unit)[:6] for part in verdict.seeds]),
        Table("By kind of item (a conflict makes the verdict Mixed)", ("kind", *columns, "Holm p"), kinds),
    ]
    if finding.ablations:
        heads = ("ablation", *columns, "verdict by the same rule")
        lines = [_ablation(kind, each, unit, finding.primary) for kind, each in finding.ablations.items()]
        tables.append(Table("Every ablation on the confirmation items that it can be tried on", heads, lines))
    if finding.rank is not None and finding.rank.effects:
        heads, sets = ("set", f"change, {unit.name}"), ranks.strongest(finding)
        lines = [(name, unit.said(effect)) for name, effect in sets]
        tables.append(Table("The most extreme matched sets; the figure shows all", heads, lines))
    if finding.companions:
        heads = ("ablation", *columns, "shows the same")
        rows = [_companion(kind, each) for kind, each in finding.companions.items()]
        tables.append(Table("Mean and resample ablation on the same items (no members of the family)", heads, rows))
    if finding.readings:
        heads = ("arm", "items", "readable", "parse rate", "exact matches", "right numbers")
        lines = [_reading(arm, each) for arm, each in finding.readings.items()]
        tables.append(Table("Could the written answers be read?", heads, lines))
    if finding.specific is not None:
        tables.append(Table("Against the matched random set", ("what it says",), [(specificity(finding),)]))
    return [table for table in tables if table.rows]


def _ablation(kind: str, verdict: CellVerdict, unit: Unit, primary: str | None) -> tuple[str, ...]:
    counts = (f"{verdict.n:,}", f"{verdict.gained:,}", f"{verdict.lost:,}", unit.said(verdict.delta))
    words = f"{verdict.verdict}{f': {verdict.reason}' if verdict.reason else ''}"
    return (
        f"{kind}{' (primary)' if kind == primary else ''}",
        *counts,
        unit.span(verdict.ci_low, verdict.ci_high),
        words,
    )


def _companion(kind: str, companion: Companion) -> tuple[str, ...]:
    ends = "–" if companion.ci_low is None else f"{points(companion.ci_low)} to {points(companion.ci_high)}"
    counts = (f"{companion.n:,} of {companion.of:,}", f"{companion.gained:,}", f"{companion.lost:,}")
    answer = {"agrees": "yes", "differs": "no"}.get(companion.answer, companion.answer)
    return kind, *counts, points(companion.delta), ends, f"{answer}: {companion.reason}" if companion.reason else answer


def _reading(arm: str, reading: Reading) -> tuple[str, ...]:
    counts = (reading.items, reading.readable, reading.exact, reading.number)
    items, readable, exact, number = (f"{each:,}" for each in counts)
    return arm, items, readable, percent(reading.rate), exact, number


def _part(part: Part, unit: Unit) -> tuple[str, ...]:
    return (
        part.name,
        f"{part.n:,}",
        f"{part.gained:,}",
        f"{part.lost:,}",
        unit.said(part.delta),
        unit.span(part.low, part.high),
        p_value(part.p_holm),
    )
