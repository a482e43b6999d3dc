"""What the page shows of a run's cells, as words ready for the template."""

from typing import NamedTuple

from lesion.report.claims import claim, specificity
from lesion.report.palette import VERDICT_SIGNS
from lesion.report.record import Finding, Record
from lesion.report.timeline import Table
from lesion.report.words import MEANINGS, TAGS, action, ends, model_name, p_value, percent, points, signed
from lesion.stats.companion import Companion
from lesion.stats.verdict import Part
from lesion.study.reading import Reading


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
    claim: str
    tags: list[tuple[str, str]]
    details: list[Table]


def cell_views(record: Record) -> list[CellView]:
    """Every member of the family, in its order."""
    return [_cell_view(record, number, finding) for number, finding in enumerate(record.findings)]


def _cell_view(record: Record, number: int, finding: Finding) -> CellView:
    chosen, verdict = finding.chosen, finding.verdict
    against = finding.specific
    return CellView(
        anchor=f"cell-{number}",
        sign=VERDICT_SIGNS[verdict.verdict],
        verdict=verdict.verdict,
        meaning=verdict.reason or MEANINGS[verdict.verdict],
        model=model_name(chosen.model),
        tier=chosen.tier,
        action=action(chosen.alpha),
        change=points(verdict.delta),
        interval=ends(verdict),
        n=f"{verdict.n:,}",
        counts=f"{verdict.gained:,} gained, {verdict.lost:,} lost",
        p=p_value(verdict.p_holm),
        accuracies=f"{percent(verdict.baseline_accuracy)} → {percent(verdict.edited_accuracy)}",
        seeds="–"
        if verdict.seed_range is None
        else f"{verdict.seed_gate}, range {signed(100 * verdict.seed_range).lstrip('+')}",
        specific="no controls" if against is None else f"{'yes' if against.holds else 'no'}, {points(against.delta)}",
        claim=claim(record, finding),
        tags=[(tag, TAGS[tag]) for tag in verdict.tags],
        details=_details(finding),
    )


def _details(finding: Finding) -> list[Table]:
    verdict = finding.verdict
    clauses = [(c.name, c.quantity, c.threshold, "yes" if c.holds else "no") for c in verdict.clauses]
    columns = ("items", "gained", "lost", "change", "95 % interval")
    kinds = [_part(part) for part in verdict.strata]
    tables = [
        Table("The rule's conditions, in the order asked", ("condition", "found", "needed", "holds"), clauses),
        Table("By seed", ("seed", *columns), [_part(part)[:6] for part in verdict.seeds]),
        Table("By kind of item (a conflict makes the verdict Mixed)", ("kind", *columns, "Holm p"), kinds),
    ]
    if finding.companions:
        heads = ("ablation", *columns, "shows the same")
        rows = [_companion(kind, each) for kind, each in finding.companions.items()]
        tables.append(Table("Mean and resample ablation on the same items (no members of the family)", heads, rows))
    if finding.readings:
        heads = ("arm", "items", "readable", "parse rate", "exact matches", "right numbers")
        told = [_reading(arm, each) for arm, each in finding.readings.items()]
        tables.append(Table("Could the written answers be read?", heads, told))
    if finding.specific is not None:
        tables.append(Table("Against the matched random set", ("what it says",), [(specificity(finding),)]))
    return [table for table in tables if table.rows]


def _companion(kind: str, found: Companion) -> tuple[str, ...]:
    ends = "–" if found.ci_low is None else f"{points(found.ci_low)} to {points(found.ci_high)}"
    counts = (f"{found.n:,} of {found.of:,}", f"{found.gained:,}", f"{found.lost:,}")
    said = {"agrees": "yes", "differs": "no"}.get(found.answer, found.answer)
    return kind, *counts, points(found.delta), ends, f"{said}: {found.reason}" if found.reason else said


def _reading(arm: str, found: Reading) -> tuple[str, ...]:
    counts = (found.items, found.readable, found.exact, found.number)
    items, readable, exact, number = (f"{each:,}" for each in counts)
    return arm, items, readable, percent(found.rate), exact, number


def _part(part: Part) -> tuple[str, ...]:
    ends = f"{points(part.low)} to {points(part.high)}"
    return (
        part.name,
        f"{part.n:,}",
        f"{part.gained:,}",
        f"{part.lost:,}",
        points(part.delta),
        ends,
        p_value(part.p_holm),
    )
