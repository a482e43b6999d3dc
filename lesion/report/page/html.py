"""What every HTML file of the laboratory is made with: templates, the drawing library, and a figure as they need it.

Everything goes through autoescaping; specifications are JSON in script tags, escaped too. A page may load nothing: its
content security policy says so.
"""

import base64
import hashlib
import re
from functools import lru_cache
from typing import Any

import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lesion.report.figures.exports import csv, svg
from lesion.report.figures.figures import VEGA_LITE, Figure
from lesion.report.page.gates import Table
from lesion.runs.manifest.run import Manifest

_EXPOSED = "window.vegaEmbed = vegaEmbed;"
"""What the bundle offers to the page."""
SHOWN_ROWS = 60
"""Rows of a figure's table that a page shows; all are in its CSV."""


def templates() -> Environment:
    """The package's templates, which escape whatever they are given."""
    return Environment(
        loader=PackageLoader("lesion.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def shipped(environment: Environment, name: str) -> Markup:
    """The text of a file that a page holds whole."""
    return Markup(environment.loader.get_source(environment, name)[0] if environment.loader else "")


def figure_view(figure: Figure) -> dict[str, Any]:
    """A figure as the templates need it."""
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
        "picture": base64.b64encode(svg(figure)).decode(),
        "csv": base64.b64encode(csv(figure)).decode(),
        "sha256": hashlib.sha256(csv(figure)).hexdigest(),
    }


def figure_page(figure: Figure, manifest: Manifest) -> str:
    """One figure as an HTML file of its own, with its rows, its query and its run."""
    environment = templates()
    return environment.get_template("figure.html").render(
        figure=figure_view(figure),
        manifest=manifest,
        style=shipped(environment, "style.css"),
        charts_script=shipped(environment, "charts.js"),
        library=library(),
    )


def _cell(value: object) -> str:
    """A table cell: floats with four significant digits."""
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@lru_cache(maxsize=1)
def library() -> Markup:
    """Vega, Vega-Lite and Vega-Embed as one script that holds no closing script tag."""
    bundle = vl_convert.javascript_bundle(_EXPOSED, vl_version=VEGA_LITE)
    return Markup(re.sub(r"</(script)", r"<\\/\1", bundle, flags=re.IGNORECASE).replace("<!--", "\\x3C!--"))
