"""The figures of a run: name, title, what to see in it, one specification, the rows that it draws and their query.

`exports` writes each as NAME.vl.json (the specification, data included), .svg, .png, .pdf, .csv and .parquet (the rows)
and .sql (the query).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import altair as alt
import polars as pl

from lesion.report.figures import by_factor, cumulative, dissociation, head_maps, score_vs_effect, verdict_panels
from lesion.report.figures import forest as forests
from lesion.report.figures.parts import marks as drawing
from lesion.report.figures.parts import tables
from lesion.report.figures.parts.charts import TEXT_SIZE
from lesion.report.figures.parts.palette import FAINT, FONT, INK, PAPER
from lesion.report.record import Record, detector_of
from lesion.report.wording.claims import MARKS
from lesion.report.wording.evidence import dissociations, replication
from lesion.report.wording.words import listed, outcome_words, unit_of
from lesion.runs.manifest.run import Status
from lesion.study.plan import swept

PNG_SCALE = 2
"""Pixels per point of the exported pictures."""
VEGA_LITE = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
"""Version of the grammar that altair writes; pictures and page are drawn by the same."""


class Figure(NamedTuple):
    """A picture that can be made again from rows."""

    name: str
    title: str
    reading: str
    """What to look for, in a sentence or two."""
    spec: dict[str, Any]
    rows: pl.DataFrame
    query: str
    """SQL over the table `items` of all runs, as `lesion query` answers it; it names its run."""


def figures(record: Record) -> tuple[Figure, ...]:
    """Every figure that the run has rows for, the one that shows the verdict first."""
    made = (make(record) for make in _MAKERS)
    run, status = record.manifest.run, record.manifest.status
    return tuple(_marked(figure, run, status) for figure in made if figure is not None)


def _marked(figure: Figure, run: str, status: Status) -> Figure:
    """The figure with its run's status in the picture, unless it is confirmatory, and in every row; its query names it.

    Pictures and tables travel without their page.
    """
    rows = figure.rows.with_columns(pl.lit(status).alias("status"))
    mark = MARKS[status].removesuffix(": ")
    spec = {**figure.spec, "title": mark} if mark else figure.spec
    return figure._replace(rows=rows, spec=spec, query=tables.of_run(figure.query, run))


def themed(
    spec: dict[str, Any], ink: str = INK, faint: str = FAINT, paper: str = PAPER, size: float = TEXT_SIZE
) -> dict[str, Any]:
    """A specification with colours of text, grid and paper, and the size of its text in pixels."""
    axis = {
        "labelColor": ink, "titleColor": ink, "gridColor": faint, "domainColor": faint, "tickColor": faint,
        "labelFontSize": size, "titleFontSize": size, "titleFontWeight": "normal",
    }  # fmt: skip
    config = {
        "font": FONT, "background": paper, "axis": axis, "text": {"color": ink, "fontSize": size},
        "view": {"stroke": None},
        "title": {"color": ink, "fontSize": size + 1, "anchor": "start", "subtitleColor": ink,
                  "subtitleFontSize": size},
        "header": {"labelColor": ink, "labelFontSize": size + 1},
        "legend": {"labelColor": ink, "labelFontSize": size}, "aria": False,
    }  # fmt: skip
    return {**spec, "config": config}


def _verdicts(record: Record) -> Figure | None:
    if not any(finding.verdict.delta is not None for finding in record.findings):
        return None
    if record.manifest.study.claims is not None:
        return _panels(record)
    rows = drawing.verdict_rows(record, tables.changes(record))
    margin, confidence = record.manifest.study.verdict.margin, 100 * record.findings[0].verdict.confidence
    return Figure(
        "verdicts",
        "What each intervention did to accuracy",
        f"Each mark is the change in accuracy on confirmation items, with its {confidence:g} % interval; the ring below"
        f" it is the same edit of matched random {drawing.unit_words(record)}. Inside the grey band"
        f" (±{100 * margin:g} points) an effect counts as none.",
        forests.verdicts(rows, margin),
        rows,
        tables.CHANGES,
    )


def _panels(record: Record) -> Figure:
    """The verdicts of a study of format 2: all ablations and all matched sets, a panel for each cell."""
    rows, study = verdict_panels.rows(record), record.manifest.study
    unit, confidence = unit_of(study), 100 * record.findings[0].verdict.confidence
    several = any(finding.primary is not None for finding in record.findings)
    rings = " Hollow: the other ablations." if several else ""
    what = outcome_words(study)
    sets = " Grey dots: random sets under the same edit; the tick is the target on their items." if (
        rows.filter(pl.col("series") == "set").height) else ""  # fmt: skip
    return Figure(
        "verdicts",
        f"Change in {what}, one panel a test",
        f"Filled: the edit that decides, with its {confidence:g} % interval.{rings}{sets} Grey band: effects smaller"
        f" than the margin, {unit.plain(study.verdict.margin)} {'of the headroom' if study.headroom else unit.name}."
        " Scales differ between panels.",
        verdict_panels.panels(rows, unit.factor * study.verdict.margin, f"change in {what}, {unit.name}"),
        rows,
        verdict_panels.QUERY,
    )


def _dissociation(record: Record) -> Figure | None:
    if not any(record.manifest.results.matrix.values()):
        return None
    rows, unit = dissociations.cells(record), unit_of(record.manifest.study)
    what = f"change in {outcome_words(record.manifest.study)}, {unit.name}; orange: losses"
    return Figure(
        "dissociation",
        "Which target does which task need?",
        dissociations.reading(record),
        dissociation.heat_map(rows, unit.digits, what),
        rows,
        dissociations.QUERY,
    )


def _accuracy(record: Record) -> Figure | None:
    rows = tables.accuracy(record)
    if not rows.filter(pl.col("series") != "baseline").height:
        return None
    return Figure(
        "accuracy",
        "Accuracy against the factor",
        "Dashed lines with rings are discovery: exploratory, they only chose what to confirm. Filled marks are"
        " confirmation, with 95 % intervals. The dotted line is the unedited model.",
        by_factor.accuracy(drawing.accuracy_marks(record, rows), list(swept(record.manifest.study))),
        rows,
        tables.ACCURACY,
    )


def _heads(record: Record) -> Figure | None:
    rows = tables.heads(record)
    if not rows.height:
        return None
    detector = (detector_of(record.manifest) or "detector").replace("_", "-")
    picked = listed(list(dict.fromkeys(site for at in record.manifest.plan.aims() for site in at.sites)))
    return Figure(
        "heads",
        "What each head looks like, and what zeroing it alone does",
        f"The first map is the {detector} score (0 to 1), the others the change in accuracy in points when that head"
        f" alone is zeroed: exploratory, on {record.manifest.study.sweep.items:,} discovery items a tier, not corrected"
        f" for the number of heads. Outlined: the target, {picked}.",
        head_maps.heads(drawing.head_marks(record, rows)),
        rows,
        tables.HEADS,
    )


def _scores(record: Record) -> Figure | None:
    rows = tables.scores(record)
    if not rows.height:
        return None
    return Figure(
        "scores",
        "Does a head's score say what zeroing it does?",
        "Each mark is one head: across, the detector's score; up and down, the change in accuracy when that head alone"
        " is zeroed, with its 95 % interval. Filled and named: the target. Exploratory, on discovery items, not"
        " corrected for the number of heads; a head that others stand in for can score high and change nothing.",
        score_vs_effect.scores(score_vs_effect.score_marks(record, rows)),
        rows,
        tables.HEADS,
    )


def _staged(record: Record) -> Figure | None:
    rows = tables.staged(record)
    if not rows.height:
        return None
    return Figure(
        "staged",
        "Heads zeroed one after another",
        "Accuracy on discovery items when more and more heads are zeroed together: in the order of the detector's"
        " score, the highest first, and in a random order. Where the first line falls faster, the high scores matter."
        " Exploratory: dashed lines with rings, no verdict rests on them.",
        cumulative.staged(cumulative.staged_marks(record, rows)),
        rows,
        tables.STAGED,
    )


def _baseline(record: Record) -> Figure | None:
    rows = tables.baseline(record)
    if not rows.height:
        return None
    study = record.manifest.study
    spread = None if study.continuous else study.baseline.spread
    told = (
        f"The gate judges the mean outcome instead: all seeds within {study.baseline.spread:g} nats."
        if spread is None
        else f"A tier passes when all its seeds fit into the grey band, {100 * spread:g} points wide."
    )
    return Figure(
        "baseline",
        "Is the unedited model stable?",
        f"Each dot is one seed's accuracy, numbered: its own items and its own few-shot examples. {told}",
        forests.baseline(drawing.baseline_marks(record, rows), spread),
        rows,
        tables.BASELINE,
    )


def _deltas(record: Record) -> Figure | None:
    rows = tables.deltas(record)
    if not rows.height:
        return None
    return Figure(
        "deltas",
        "How sure the model is",
        "Mean change, item by item, of the entropy at the first answer token (up: less sure) and of the logit"
        " difference between right and wrong answer (down: less able to tell them apart). Rings are discovery, filled"
        " marks confirmation with normal 95 % intervals. No verdict rests on these.",
        by_factor.deltas(drawing.delta_marks(record, rows), list(swept(record.manifest.study))),
        rows,
        tables.DELTAS,
    )


def _replication(record: Record) -> Figure | None:
    rows = replication.forest_rows(record)
    if not rows.height:
        return None
    spec = replication.forest(record, rows)
    title = "Does it hold on other models?"
    return Figure("replication", title, replication.reading(record), spec, rows, replication.QUERY)


_MAKERS: tuple[Callable[[Record], Figure | None], ...] = (
    _verdicts, _dissociation, _replication, _accuracy, _heads, _scores, _staged, _baseline, _deltas,
)  # fmt: skip
