"""A strip of dots for each cell: every matched set, and the target among them, each strip on a scale of its own."""

from typing import Any

import altair as alt
import polars as pl

from lesion.report.figures.parts.charts import constants, data, finished, numbers, tips
from lesion.report.figures.parts.palette import CONTROL, TARGET

WIDTH, HEIGHT = 600, 46


def strips(rows: pl.DataFrame, title: str) -> dict[str, Any]:
    """One strip per cell of `ranks.rows`; `title` is that of the axis."""
    cells = [cell for _, cell in rows.group_by("label", maintain_order=True)]
    parts = [_strip(cell, title if place == len(cells) - 1 else None) for place, cell in enumerate(cells)]
    return finished(alt.vconcat(*parts, spacing=10), "strips")


def _strip(rows: pl.DataFrame, title: str | None) -> Any:
    ends = [0.0, *numbers(rows, "effect")]
    room = 0.04 * (max(ends) - min(ends)) or 1.0
    x = alt.X(
        "effect:Q",
        title=title,
        scale=alt.Scale(domain=[min(ends) - room, max(ends) + room], nice=False),
        axis=alt.Axis(tickCount=6, titleAnchor="end", grid=False),
    )
    y = alt.Y("lift:Q", axis=None, scale=alt.Scale(domain=[-0.1, 1.1]))
    told = tips(sites="set", series="what", effect="change", n="items")
    base = alt.Chart(data(rows))
    sets = base.transform_filter("datum.series == 'set'").mark_point(filled=True, size=26, opacity=0.5, color=CONTROL)
    target = base.transform_filter("datum.series == 'target'")
    layers = [
        alt.Chart(constants(zero=0)).mark_rule(color=CONTROL, strokeDash=[3, 3]).encode(x="zero:Q"),
        sets.encode(x=x, y=y, tooltip=told),
        target.mark_rule(color=TARGET, strokeWidth=2).encode(x=x),
        target.mark_point(filled=True, size=150, opacity=1, color=TARGET, shape="diamond").encode(
            x=x, y=y, tooltip=told
        ),
    ]  # fmt: skip
    label = str(rows["label"][0]).split("|")
    return alt.layer(*layers, width=WIDTH, height=HEIGHT, title=alt.Title(label, anchor="start"))
