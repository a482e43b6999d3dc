"""Double dissociations in words: what was asked, what was found, and no more than that."""

from typing import Any, NamedTuple

import polars as pl

from lesion.report.findings import Finding
from lesion.report.page.gates import Table
from lesion.report.paired_join import COUNTS, NATS, PAIRED
from lesion.report.record import Record
from lesion.report.wording.words import Unit, listed, model_name, p_value, points, unit_of
from lesion.runs.manifest.run import Manifest
from lesion.stats.dissociation.question import Asked, CellEffect, Dissociation, Lead
from lesion.study.gates.gate_verdict import FamilyEvidence, last_evidence

QUERY = f"""SELECT e.model, e.tier, e.arm, {COUNTS},
  {NATS}
{PAIRED}
WHERE b.arm = 'baseline' AND e.stage = 'confirm' AND e.role = 'target'
GROUP BY e.model, e.tier, e.arm
ORDER BY e.model, e.tier, e.arm"""
"""Paired changes under every target, on all confirmation items; the figure has those of the first look."""
DISSOCIATION_TAGS = {
    "complete": "under the deciding ablation neither target harms the other's task: both effects are shown to be inside"
    " the margin",
    "partial": "one of the targets also harms the other's task: the dissociation is a matter of degree",
    "one_sided": "one lead holds and the other does not: a single dissociation at most",
    "floor": "a task has nothing to lose: nothing can be shown there",
    "unequal_headroom": "one task has more than twice the headroom of the other, which comparisons within a task do not"
    " feel",
    "seeds_differ": "a lead is not above 0 in every seed",
    "few_clusters": "too few templates or example sets to speak of others than these",
}
"""What each tag means."""


class Shown(NamedTuple):
    """A question that a reader sees: of the two ways round, the one that is nearer to a dissociation."""

    model: str
    found: Dissociation


class DissociationView(NamedTuple):
    """What the page shows."""

    said: list[str]
    tables: tuple[Table, ...]
    details: tuple[Table, ...]
    """By question, the rule's conditions."""


def shown(manifest: Manifest) -> list[Shown]:
    """Every pair of targets with every pair of tasks once, in the study's order."""
    nearest: dict[tuple[Any, ...], Shown] = {}
    for model, asked in manifest.results.dissociations.items():
        for each in asked.values():
            key = (model, frozenset((each.first, each.second)), frozenset(each.tasks))
            known = nearest.get(key)
            if known is None or _distance(each) < _distance(known.found):
                nearest[key] = Shown(model, each)
    return list(nearest.values())


def _distance(found: Dissociation) -> tuple[int, float]:
    order = ("Double dissociation", "Inconclusive", "No double dissociation", "Invalid")
    return order.index(found.verdict), 1.0 if found.p is None else found.p


def dissociation_view(record: Record) -> DissociationView | None:
    """The page's section; nothing where the study asks for none, or reached no confirmation."""
    told = shown(record.manifest)
    if not told:
        return None
    unit = unit_of(record.manifest.study)
    size = sum(map(len, record.manifest.results.dissociations.values()))
    columns = ("verdict", "question", *(f"lead, {unit.name} (interval)",) * 2, "interaction", "Holm p", "tags")
    rows = [_row(record, each, unit) for each in told]
    details = tuple(
        Table(
            f"{_who(record, each)}{each.found.name}: the rule's conditions",
            ("condition", "found", "needed", "holds"),
            [(c.name, c.quantity, c.threshold, "yes" if c.holds else "no") for c in each.found.clauses],
        )
        for each in told
    )
    title = f"Double dissociations, Holm-corrected over {size} questions; interaction in shares of headroom"
    return DissociationView(said(record), (Table(title, columns, rows), _matrix(record, unit)), details)


def said(record: Record) -> list[str]:
    """A sentence or two for every question."""
    unit = unit_of(record.manifest.study)
    return [_sentence(record, each, unit) for each in shown(record.manifest)]


def _who(record: Record, each: Shown) -> str:
    return f"{model_name(each.model)}: " if len(record.manifest.study.models) > 1 else ""


def _sentence(record: Record, each: Shown, unit: Unit) -> str:
    found, who = each.found, _who(record, each)
    if found.verdict == "Invalid":
        return f"{who}Invalid, {found.name}: {found.reason}."
    one, other = found.leads
    if found.verdict == "Double dissociation":
        return (
            f"{who}Double dissociation: {_lead(one, found, unit)}, and {_lead(other, found, unit)}. One mechanism that"
            f" both targets weaken by unequal strength cannot give this order.{_limits(record, each, unit)}"
        )
    if found.verdict == "No double dissociation":
        low = min(found.leads, key=lambda lead: lead.high - lead.margin)
        return (
            f"{who}No double dissociation of {found.first} and {found.second} on {found.tasks[0]} and {found.tasks[1]}:"
            f" {_lead(low, found, unit)}, which is below the margin of {unit.plain(low.margin)} {unit.name}."
        )
    failed = next((c for c in found.clauses if not c.holds), None)
    why = f" First condition that is not met: {failed.name} ({failed.quantity})." if failed is not None else ""
    return (
        f"{who}Inconclusive: a double dissociation of {found.first} (on {found.tasks[0]}) and {found.second} (on"
        f" {found.tasks[1]}) is neither shown nor ruled out.{why}"
    )


def _lead(lead: Lead, found: Dissociation, unit: Unit) -> str:
    more = "more" if lead.lead >= 0 else "less"
    ends = (lead.low, lead.high) if lead.lead >= 0 else (-lead.high, -lead.low)
    return (
        f"{lead.own} harms {lead.task} {_size(lead.lead, unit)} {more} than {lead.other} does"
        f" ({100 * found.confidence:g} % CI {unit.span(*ends)}, {lead.n:,} items)"
    )


def _size(value: float, unit: Unit) -> str:
    """An amount with its unit, without a sign."""
    return f"{unit.said(abs(value)).lstrip('+')} {unit.name}"


def _limits(record: Record, each: Shown, unit: Unit) -> str:
    """What limits the sentence: other harms, sets that may do the same, other ablations."""
    found, parts = each.found, list[str]()
    if crossed := [lead for lead in found.leads if lead.p_other <= record.manifest.study.verdict.alpha / 2]:
        words = [f"{lead.other} also harms {lead.task} (by {_size(lead.other_harm, unit)})" for lead in crossed]
        parts.append(f"It is a matter of degree: {listed(words)}.")
    own = [_cell(record, each.model, lead) for lead in found.leads]
    if any(cell is None or cell.rank is None or cell.rank.status != "specific" for cell in own):
        parts.append(
            "It is about these two sets of sites: random sets of the same kind are not shown to do less, so it names no"
            " kind of head."
        )
    if any(cell is not None and cell.dependent for cell in own):
        parts.append("Zero, mean and resample ablation disagree on a cell, so it holds for the primary ablation alone.")
    return "".join(f" {part}" for part in parts)


def _cell(record: Record, model: str, lead: Lead) -> Finding | None:
    tier = lead.task.partition(":")[0]
    cells = (f for f in record.findings if (f.chosen.model, f.chosen.tier, f.chosen.target) == (model, tier, lead.own))
    return next((f for f in cells if f.chosen.alpha == 0), None)


def _row(record: Record, each: Shown, unit: Unit) -> tuple[str, ...]:
    found = each.found
    name = f"{_who(record, each)}{found.name}"
    if not found.leads:
        return found.verdict, name, "–", "–", "–", "–", found.reason
    leads = [f"{unit.said(lead.lead)} ({unit.span(lead.low, lead.high)})" for lead in found.leads]
    both = "–"
    if found.interaction is not None and found.interaction_low is not None and found.interaction_high is not None:
        ends = f"{points(found.interaction_low, 0)} to {points(found.interaction_high, 0)}"
        both = f"{points(found.interaction, 0)} % ({ends})"
    p = found.p_none_holm if found.verdict == "No double dissociation" else found.p_holm
    tags = "; ".join(f"{tag}: {DISSOCIATION_TAGS[tag]}" for tag in found.tags)
    return found.verdict, name, *leads, both, p_value(p), tags


def _matrix(record: Record, unit: Unit) -> Table:
    """Every cell of the matrix, for those who read tables."""
    columns = ("target", "task", "items", f"change, {unit.name} (interval)", "share of headroom")
    lines = [
        (
            f"{model_name(model)}: {each.target}" if len(record.manifest.study.models) > 1 else each.target,
            each.task, f"{each.n:,}", f"{unit.said(each.delta)} ({unit.span(each.low, each.high)})",
            "–" if each.share is None else f"{points(each.share, 0)} %",
        )
        for model, cells in record.manifest.results.matrix.items()
        for each in cells
    ]  # fmt: skip
    return Table("Every target on every task, each interval on its own", columns, lines)


def cells(record: Record) -> pl.DataFrame:
    """One row for each target and task of the matrix, and one for random sets like each target, in the study's unit."""
    unit, rows = unit_of(record.manifest.study), list[dict[str, Any]]()
    held = {
        (each.model, lead.own, lead.task)
        for each in shown(record.manifest)
        if each.found.verdict == "Double dissociation"
        for lead in each.found.leads
    }
    for model, effects in record.manifest.results.matrix.items():
        for each in effects:
            rows.append(
                {"model": model, "target": each.target, "task": each.task, "series": "target", "n": each.n,
                 "effect": unit.factor * each.delta, "low": unit.factor * each.low, "high": unit.factor * each.high,
                 "share": None if each.share is None else 100 * each.share,
                 "holds": (model, each.target, each.task) in held}
            )  # fmt: skip
            rows += _random(record, model, each, unit)
    return pl.DataFrame(rows, infer_schema_length=None)


def _random(record: Record, model: str, cell: CellEffect, unit: Unit) -> list[dict[str, Any]]:
    """Mean and range of the matched random sets that discovery measured, where the task is a whole tier."""
    seen = last_evidence(record.manifest.gates, "discovery", FamilyEvidence)
    here = (c for c in record.manifest.plan.family if (c.model, c.tier, c.target) == (model, cell.task, cell.target))
    chosen = next((each for each in here if each.alpha == 0), None)
    if seen is None or chosen is None:
        return []
    many = len(record.manifest.plan.controls.get(chosen.aim, ()))
    names = {chosen.condition("control", number).name for number in range(many)}
    found = [row for row in seen.table if (row.model, row.tier) == (model, cell.task) and row.arm in names]
    deltas = [row.outcome_delta if record.manifest.study.continuous else row.delta for row in found]
    values = [unit.factor * each for each in deltas if each is not None]
    if not values:
        return []
    mean, room = sum(values) / len(values), cell.baseline - cell.chance
    return [
        {"model": model, "target": f"random, like {cell.target}", "task": cell.task, "series": "random",
         "n": found[0].n, "effect": mean, "low": min(values), "high": max(values),
         "share": 100 * mean / unit.factor / room if room > 0 else None, "holds": False}
    ]  # fmt: skip


def ask_words(asked: Asked) -> str:
    """A question as a plan prints it."""
    return f"Is {asked.first} needed more for {asked.tasks[0]}, and {asked.second} more for {asked.tasks[1]}?"


def reading(record: Record) -> str:
    """What to see in the heat map."""
    unit = unit_of(record.manifest.study)
    confidence = 100 * next(iter(next(iter(record.manifest.results.matrix.values())))).confidence
    return (
        f"Numbers: change in {unit.name} with its {confidence:g} % interval, on the items of the first look. Colour:"
        " the same as a share of what the task has to lose (orange: harm). Outlined with ◆: cells of a double"
        " dissociation. Random rows: mean and range of matched random sets on discovery items, exploratory."
    )
