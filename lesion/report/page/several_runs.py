"""One page of several runs: what each found, a forest of all their verdicts, and where each run's own report is.

Nothing is pooled: every mark is a verdict that its own run decided by its own rule.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import polars as pl

from lesion.report.figures import forest as forests
from lesion.report.figures.figures import Figure, figures
from lesion.report.figures.parts import marks, tables
from lesion.report.page.cells import cell_views
from lesion.report.page.gates import Table
from lesion.report.page.html import figure_view, library, shipped, templates
from lesion.report.record import Record
from lesion.report.wording.claims import MARKS
from lesion.report.wording.headline import headline
from lesion.report.wording.words import model_name

LINES = 24
"""Half the height of a cell in the forest, pixels: its label has three lines."""
SHOWN = ("accuracy", "heads")
"""Figures of every run that the page shows, too."""
MOST_RUNS = 12
"""Runs whose figures are shown; of others the verdicts alone, so that the page stays small."""


class Source(NamedTuple):
    """An intact run."""

    folder: Path
    record: Record


def across(sources: Sequence[Source], place: Path) -> str:
    """The page of several runs as HTML.

    Args:
        sources: the runs, in the order in which they are told.
        place: the folder in which the page will stand; links to the runs lead from there.
    """
    environment = templates()
    runs = [_run(number, source, place, shows=number < MOST_RUNS) for number, source in enumerate(sources)]
    forest = [figure_view(figure) for figure in forests_of([source.record for source in sources])]
    return environment.get_template("across.html").render(
        runs=runs,
        forests=forest,
        verdicts=_verdicts(sources),
        most=MOST_RUNS,
        version=sources[0].record.manifest.code.version,
        style=shipped(environment, "style.css"),
        charts_script=shipped(environment, "charts.js"),
        library=library() if forest or any(run["figures"] for run in runs) else "",
    )


def forests_of(records: Sequence[Record]) -> list[Figure]:
    """The verdicts of all runs, one forest for each margin and confidence, which its band and its bars show.

    Cells of the same tier and factor stand together, one line for each run.
    """
    groups: dict[tuple[float, float], list[pl.DataFrame]] = {}
    several = len({record.manifest.status for record in records}) > 1
    for number, record in enumerate(records, 1):
        if any(finding.verdict.delta is not None for finding in record.findings):
            rule = record.manifest.study.verdict.margin, record.findings[0].verdict.confidence
            groups.setdefault(rule, []).append(_rows(number, record, says_status=several))
    status = next(iter({record.manifest.status for record in records})) if not several else None
    return [
        _forest(number, margin, confidence, pl.concat(parts), MARKS[status].removesuffix(": ") if status else "")
        for number, ((margin, confidence), parts) in enumerate(groups.items())
    ]


def _forest(number: int, margin: float, confidence: float, rows: pl.DataFrame, mark: str) -> Figure:
    order = {tier: place for place, tier in enumerate(rows["tier"].unique(maintain_order=True))}
    place = pl.col("tier").replace_strict(order, return_dtype=pl.Int64)
    rows = rows.sort(place, "alpha", maintain_order=True)
    spec = forests.verdicts(rows, margin, LINES)
    return Figure(
        f"across-{number}",
        "What each intervention did to accuracy, run by run",
        f"Each mark is one run's own verdict, runs numbered as above: the change in accuracy on its confirmation items,"
        f" with its {100 * confidence:g} % interval; the ring below it is the same edit of a matched random set. Inside"
        f" the grey band (±{100 * margin:g} points) an effect counts as none. Nothing is pooled over runs.",
        {**spec, "title": mark} if mark else spec,
        rows,
        tables.CHANGES,
    )


def _rows(number: int, record: Record, *, says_status: bool) -> pl.DataFrame:
    """A run's rows of the forest, labelled with the run's number, so that no two runs share a line."""
    manifest = record.manifest
    rows = marks.verdict_rows(record, tables.changes(record))
    labels: list[str] = []
    for row in rows.to_dicts():
        whose = [model_name(row["model"]), f"run {number}", *([manifest.status] if says_status else [])]
        said = row["label"].rpartition("|")[2]
        labels.append(f"{row['tier']}, {row['did']}|{', '.join(whose)}|{said}")
    told = [pl.lit(value).alias(name) for name, value in (("run", manifest.run), ("status", manifest.status))]
    return rows.with_columns(pl.Series("label", labels, dtype=pl.String), *told)


def _run(number: int, source: Source, place: Path, *, shows: bool) -> dict[str, Any]:
    """A run as the template needs it."""
    folder, record = source
    drawn = [figure for figure in figures(record) if figure.name in SHOWN] if shows else []
    return {
        "manifest": record.manifest,
        "headline": headline(record),
        "models": ", ".join(map(model_name, record.manifest.study.models)),
        "at": quote(os.path.relpath(folder.resolve(), place.resolve()).replace(os.sep, "/")),
        "figures": [figure_view(figure._replace(name=f"{figure.name}-{number}")) for figure in drawn],
        "names": [figure.name for figure in drawn],
    }


def _verdicts(sources: Sequence[Source]) -> Table:
    """Every cell of every run."""
    rows = [
        (f"{cell.sign} {cell.verdict}", cell.tier, cell.action, cell.model, cell.change, cell.interval, cell.n, cell.p,
         f"run {number}")
        for number, source in enumerate(sources, 1)
        for cell in cell_views(source.record)
    ]  # fmt: skip
    columns = ("verdict", "tier", "what was done", "model", "change, points", "interval", "items", "Holm p", "run")
    return Table("Verdict of every cell, Holm-corrected within its own run", columns, rows)
