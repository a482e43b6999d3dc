"""`report.html`: one file that works offline, on a telephone, in light and dark, by keyboard and screen reader.

Everything from the run goes through autoescaping; specifications are JSON in script tags, escaped too. The page may
load nothing (its content security policy says so); links lead only to files beside it.
"""

import base64
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lesion.report import caveats
from lesion.report.cells import cell_views
from lesion.report.claims import MARKS, headline, status_words
from lesion.report.explorer import explorer_view
from lesion.report.figures import VEGA_LITE, Figure
from lesion.report.origins import provenance, questions, receipts, unit_views
from lesion.report.record import Record
from lesion.report.timeline import Table, timeline
from lesion.report.words import model_name, target_words, task_words
from lesion.runs.explored import read_explored

_EXPOSED = "window.vegaEmbed = vegaEmbed;"
"""What the bundle offers to the page."""
SHOWN_ROWS = 60
"""Rows of a figure's table that the page shows; all are in its CSV."""


def page(record: Record, drawn: tuple[Figure, ...], folder: Path) -> str:
    """The page of a run as HTML, at most some megabytes whatever the size of the run."""
    manifest = record.manifest
    environment = Environment(
        loader=PackageLoader("lesion.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(
        manifest=manifest,
        study=manifest.study,
        headline=headline(record).partition("; "),
        confidence=f"{100 * record.findings[0].verdict.confidence:g} %" if record.findings else "",
        mark=MARKS[manifest.status],
        status_words=status_words(manifest),
        models=[model_name(model) for model in manifest.study.models],
        targets=[
            f"{model_name(model)}: {target_words(manifest, model, licensed=False)}" for model in manifest.plan.targets
        ],
        tiers=[(tier, task_words(task)) for tier, task in manifest.study.tasks.items()],
        cells=cell_views(record),
        figures={figure.name: _figure(figure, folder) for figure in drawn},
        lead=_lead(record, drawn),
        steps=timeline(manifest),
        receipts=receipts(record),
        questions=questions(record),
        deviations=caveats.deviations(record),
        open_questions=caveats.open_questions(record),
        limits=caveats.limits(record),
        provenance=provenance(record),
        units=unit_views(record),
        prompt_files=sorted(path.name for path in (folder / "prompts").glob("*.parquet")),
        explorer=explorer_view(record, read_explored(folder)),
        style=Markup(_shipped(environment, "style.css")),
        charts_script=Markup(_shipped(environment, "charts.js")),
        explorer_script=Markup(_shipped(environment, "explorer.js")),
        library=Markup(_library() if drawn else ""),
    )


def _shipped(environment: Environment, name: str) -> str:
    """The text of a file that the page holds whole."""
    return environment.loader.get_source(environment, name)[0] if environment.loader else ""


def _lead(record: Record, drawn: tuple[Figure, ...]) -> str:
    """Name of the figure that shows the headline: the verdicts, or the baseline that stopped the run."""
    names = [figure.name for figure in drawn]
    stopped_at = record.manifest.gates[-1].stage if record.manifest.gates else ""
    return next((name for name in ("verdicts", stopped_at) if name in names), "")


def _figure(figure: Figure, folder: Path) -> dict[str, Any]:
    """A figure as the template needs it."""
    svg = (folder / "figures" / f"{figure.name}.svg").read_bytes()
    rows = [tuple(map(_cell, row)) for row in figure.rows.head(SHOWN_ROWS).iter_rows()]
    left = figure.rows.height - len(rows)
    caption = f"Rows of this figure{f' (the first {len(rows)}; {left} more in the CSV)' if left else ''}"
    return {
        "name": figure.name,
        "title": figure.title,
        "reading": figure.reading,
        "spec": figure.spec,
        "query": figure.query,
        "table": Table(caption, tuple(figure.rows.columns), rows),
        "picture": base64.b64encode(svg).decode(),
    }


def _cell(value: object) -> str:
    """A table cell: floats with four significant digits."""
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@lru_cache(maxsize=1)
def _library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script that holds no closing script tag."""
    bundle = vl_convert.javascript_bundle(_EXPOSED, vl_version=VEGA_LITE)
    return re.sub(r"</(script)", r"<\\/\1", bundle, flags=re.IGNORECASE).replace("<!--", "\\x3C!--")
