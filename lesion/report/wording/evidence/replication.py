"""What the replication on other models found, as words and as rows of a forest plot.

Every number stands in the manifest's results; rows of the source's cells come from its confirmation, those of other
models from the replication's own items.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import polars as pl

from lesion.report.figures import forest as forests
from lesion.report.figures.parts.marks import unit_words
from lesion.report.page.gates import Table
from lesion.report.paired_join import COUNTS, PAIRED
from lesion.report.record import Record
from lesion.report.wording.words import did, listed, model_name, p_value, points, target_words, task_words
from lesion.runs.manifest.run import Manifest
from lesion.stats.meta_analysis import Pooled, Predicted
from lesion.stats.specificity.contrast import Specificity
from lesion.stats.specificity.rank import RankSpecificity
from lesion.stats.verdict.cell_verdict import CellVerdict
from lesion.study.gates.gate_verdict import DetectionEvidence, last_evidence
from lesion.study.results import ReplicatedConfiguration, ReplicationResults

QUERY = f"""SELECT e.stage, e.model, e.tier, e.arm, {COUNTS}
{PAIRED}
WHERE b.arm = 'baseline' AND e.stage IN ('confirm', 'replicate') AND e.role = 'target'
GROUP BY e.stage, e.model, e.tier, e.arm
ORDER BY e.tier, e.arm, e.stage, e.model"""
"""Paired changes of the target on the source's and the other models' confirmation items."""

_VERDICTS = {
    "replicated": "Replicated: every other model gives the same verdict",
    "partly replicated": "Partly replicated: some of the other models give the same verdict",
    "not replicated": "Not replicated: no other model gives the same verdict",
    "contradicted": "Contradicted: another model gives the opposite verdict",
}


class ReplicationView(NamedTuple):
    """The replication as the page shows it."""

    said: str
    """In a sentence or two."""
    why: str
    """How the configurations were chosen."""
    tables: tuple[Table, ...]


def found(record: Record) -> ReplicationResults | None:
    """The replication's results; nothing where the study has none, or the run did not come so far."""
    results = record.manifest.results.replication
    return results if results is not None and results.cells else None


def replication_view(record: Record) -> ReplicationView | None:
    """What the page says of it."""
    results = found(record)
    if results is None:
        return None
    return ReplicationView(
        said(record), _why(results), (_stands(record), _answers(record, results), _cells(record, results))
    )


def said(record: Record) -> str:
    """What was replicated and what came of it, a sentence for each answer."""
    results = found(record)
    if results is None:
        return ""
    tasks, parts = record.manifest.study.tasks, list[str]()
    for answer, words in _VERDICTS.items():
        here = [each for each in results.configurations if each.answer == answer]
        if here:
            places = [f"{edit_of(record, each)} on {each.tier} ({task_words(tasks[each.tier])})" for each in here]
            parts.append(f"{words}: {listed(places)}.")
    parts += [f"{model_name(model)} has no counterpart: {why}." for model, why in results.unmapped.items()]
    return " ".join(parts)


def _why(results: ReplicationResults) -> str:
    source = model_name(results.source)
    improved = any(each.why == "improvement" for each in results.configurations)
    chosen = (
        f"the Improvements of {source}"
        if improved
        else f"nothing improved in {source}, so the cells of its family with the largest change in discovery"
    )
    return (
        f"Fixed before the data: {chosen}, and the positive control, tried on other models at the sites that stand for"
        " the target there, by detector rank and relative depth. Each cell has a number of items of its own; Holm runs"
        " over all of them."
    )


def _stands(record: Record) -> Table:
    seen = last_evidence(record.manifest.gates, "detect", DetectionEvidence)
    rows = [
        (
            model_name(model), each.source, each.site, str(each.rank),
            f"{each.source_depth:.2f} → {each.depth:.2f}",
        )
        for model, stands in (seen.mapped if seen is not None else {}).items()
        for each in stands
    ]  # fmt: skip
    return Table("Which heads stand for the source's", ("model", "source", "stands for it", "rank", "depth"), rows)


def _answers(record: Record, results: ReplicationResults) -> Table:
    rows = [
        (
            each.tier, edit_of(record, each), each.why, each.answer or "not tried",
            _pooled(each.pooled), _heterogeneity(each.pooled),
        )
        for each in results.configurations
    ]  # fmt: skip
    columns = ("tier", "what was done", "why it was chosen", "answer", "random effects, points", "heterogeneity")
    return Table(f"What came of each configuration ({unit_words(record)})", columns, rows)


def _pooled(pooled: Pooled | Predicted | None) -> str:
    if pooled is None:
        return "–"
    return f"{points(pooled.delta)} ({points(pooled.low)} to {points(pooled.high)})"


def _heterogeneity(pooled: Pooled | Predicted | None) -> str:
    if pooled is None:
        return "–"
    return (
        f"Q = {pooled.q:.1f} (p {p_value(pooled.p)}), I² = {100 * pooled.i_squared:.0f} %,"
        f" τ = {100 * pooled.tau:.1f} points"
    )


def _cells(record: Record, results: ReplicationResults) -> Table:
    cells = [(each, results.cells[each.id]) for each in record.manifest.plan.replicas if each.id in results.cells]
    rows = [
        (
            model_name(chosen.model), chosen.tier, did(chosen.edit), cell.verdict,
            points(cell.delta), _ends(cell), f"{cell.n:,}", p_value(cell.p_holm),
            beyond(results.specific.get(chosen.id)),
        )
        for chosen, cell in cells
    ]  # fmt: skip
    columns = (
        "model", "tier", "what was done", "verdict", "change, points", "interval", "items", "Holm p",
        "beyond random set",
    )  # fmt: skip
    return Table("Verdict of every replicated cell", columns, rows)


def _ends(cell: CellVerdict) -> str:
    return "–" if cell.ci_low is None else f"{points(cell.ci_low)} to {points(cell.ci_high)}"


def edit_of(record: Record, configuration: ReplicatedConfiguration) -> str:
    """What was done, as a verb."""
    return edit_in(record.manifest, configuration)


def edit_in(manifest: Manifest, configuration: ReplicatedConfiguration) -> str:
    """What was done, as a verb, by the source's cell."""
    return next(did(chosen.edit) for chosen in manifest.plan.family if chosen.id == configuration.source)


def beyond(against: RankSpecificity | Specificity | None) -> str:
    """Whether a cell's effect is its target's own: format 2 by rank, format 1 by the contrast with random sets."""
    if isinstance(against, RankSpecificity):
        if against.status in ("specific", "not specific"):
            return f"{against.status}: rank {against.rank} of {against.sets + 1}, p {p_value(against.p)}"
        return "NOT EVALUABLE" if against.status == "not evaluable" else "not asked"
    return "no controls" if against is None else f"{'yes' if against.holds else 'no'}, {points(against.delta)}"


def forest_rows(record: Record) -> pl.DataFrame:
    """One row per configuration and model, and one for their random-effects mean."""
    results = found(record)
    if results is None:
        return pl.DataFrame()
    cells = record.manifest.results.every_cell()
    models = {chosen.id: chosen.model for chosen in record.manifest.plan.members()}
    rows: list[dict[str, object]] = []
    for each in results.configurations:
        here = {"panel": f"{each.tier}, {edit_of(record, each)}", "tier": each.tier, "alpha": each.alpha}
        names = [each.source, *each.replicas]
        rows += [_row(here, models[name], cells[name], source=name == each.source) for name in names]
        if pooled := each.pooled:
            ends = {"points": pooled.delta, "low": pooled.low, "high": pooled.high}
            rows.append(
                {
                    **here, "label": "all models, random effects", "series": "pooled", "verdict": "pooled", "n": 0,
                    **{name: 100 * value for name, value in ends.items()},
                }
            )  # fmt: skip
    return pl.DataFrame([row for row in rows if row["points"] is not None], infer_schema_length=None)


def _row(here: Mapping[str, object], model: str, cell: CellVerdict, *, source: bool) -> dict[str, object]:
    ends = {"points": cell.delta, "low": cell.ci_low, "high": cell.ci_high}
    percentages = {key: None if value is None else 100 * value for key, value in ends.items()}
    label = f"{model_name(model)}{' (source)' if source else ''}"
    return {
        **here,
        "label": label,
        "series": "source" if source else "other",
        "verdict": cell.verdict,
        "n": cell.n,
    } | percentages


def forest(record: Record, rows: pl.DataFrame) -> dict[str, Any]:
    """The forest plot of `forest_rows`."""
    return forests.replication(rows, record.manifest.study.verdict.margin)


def reading(record: Record) -> str:
    """What to see in the forest plot."""
    first = record.manifest.study.models[0]
    return (
        f"Each panel is one configuration of {model_name(first)}: the change in accuracy there and on the other models,"
        " each with its 95 % interval, on confirmation items. Below them the random-effects mean; where models differ"
        f" more than their items explain, it is wide. Target: {target_words(record.manifest, first, licensed=False)}."
    )
