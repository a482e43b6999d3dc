"""Staged ablation: accuracy against the number of heads that are zeroed together, by score and in a random order.

The heads of each step are read from the run's own units, so a curve says what was done and not what was meant.
"""

from typing import Any

import altair as alt
import polars as pl

from lesion.report.figures.by_factor import HEIGHT, NAME_ROOM, WIDTH, facets
from lesion.report.figures.parts.charts import finished, numbers, scale, tips
from lesion.report.figures.parts.marks import APART, apart, with_panels
from lesion.report.figures.parts.palette import CONTROL, TARGET
from lesion.report.record import Record

LOWEST = 0.03
"""Accuracy at which a line's name stands at the lowest."""
ORDERS = {"by score": TARGET, "random": CONTROL}
"""Order in which heads are added -> colour."""


def staged_marks(record: Record, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows, the unedited model as the start of every line, and the lines' names right of their ends."""
    marks = with_panels(record, rows)
    lines = marks.filter(pl.col("order") != "unedited")
    start = marks.filter(pl.col("order") == "unedited").drop("order")
    starts = lines.select("panel", "order").unique(maintain_order=True).join(start, on="panel")
    named: list[dict[str, Any]] = []
    for (panel,), here in lines.group_by("panel", maintain_order=True):
        last = here["zeroed"].max()
        ends = here.filter(pl.col("zeroed") == last).select("order", "accuracy").iter_rows()
        places = apart(dict(ends), APART, most=1.0)
        lift = max(0.0, LOWEST - min(places.values()))
        named += [
            {"panel": panel, "zeroed": last, "name": order, "name_y": place + lift} for order, place in places.items()
        ]
    return pl.concat([lines, starts, pl.DataFrame(named)], how="diagonal_relaxed")


def staged(rows: pl.DataFrame) -> dict[str, Any]:
    """One panel for each model and tier; every panel shows the whole scale, so that small effects look small."""
    most = int(max(numbers(rows, "zeroed")))
    ticks = list(range(0, most + 1, -(-most // 12)))
    axis = alt.Axis(values=ticks, format="d", grid=False)
    domain = alt.Scale(domain=[0, most * (1 + NAME_ROOM)], nice=False)
    places: dict[str, Any] = {
        "x": alt.X("zeroed:Q", title="heads zeroed together", axis=axis, scale=domain),
        "y": alt.Y(
            "accuracy:Q", title="accuracy", axis=alt.Axis(format="~%", tickCount=5), scale=alt.Scale(domain=[0, 1])
        ),
        "color": alt.Color("order:N", scale=scale(ORDERS), legend=None),
        "tooltip": tips(
            panel="tier", order="order", zeroed="heads zeroed", sites="which", accuracy="accuracy", low="from",
            high="to", n="items",
        ),
    }  # fmt: skip
    lines = alt.Chart().transform_filter("isValid(datum.order)")
    names = alt.Chart().transform_filter("isValid(datum.name)").mark_text(align="left", dx=6)
    layers = [
        lines.mark_line(strokeWidth=1.5, strokeDash=[5, 3]).encode(**places),
        lines.mark_point(filled=False, size=28, opacity=1).encode(**places),
        names.encode(x=places["x"], y="name_y:Q", text="name:N"),
    ]
    chart = alt.layer(*layers).properties(width=WIDTH, height=HEIGHT)
    return finished(facets(chart, rows), "panels")
