"""Score against effect: does the detector's score of a head say what zeroing that head alone does?"""

from math import inf
from typing import Any

import altair as alt
import polars as pl

from lesion.report.figures.by_factor import HEIGHT, WIDTH, facets
from lesion.report.figures.parts.charts import finished, numbers, scale, tips
from lesion.report.figures.parts.marks import APART, apart, with_panels
from lesion.report.figures.parts.palette import CONTROL, TARGET
from lesion.report.record import Record

MOST_NAMED = 6
"""Heads of a target that are named in a panel, those that move accuracy upwards most or downwards least first."""
KINDS = {"target": TARGET, "other": CONTROL}
"""Head of the target or not -> colour; they differ in filling, too."""


def score_marks(record: Record, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with their panels, whether a head belongs to the target, and the target's names, none upon another."""
    targets = [f"{model} {site}" for model, _, sites in record.manifest.plan.aims() for site in sites]
    site = pl.format("L{}H{}", "layer", "head")
    chosen = pl.format("{} {}", "model", site).is_in(targets)
    kind = pl.when(chosen).then(pl.lit("target")).otherwise(pl.lit("other")).alias("series")
    marks = with_panels(record, rows).with_columns(site.alias("site"), kind)
    height = max([*numbers(marks, "high"), 0.0]) - min([*numbers(marks, "low"), 0.0])
    named: list[dict[str, Any]] = []
    for (panel,), here in marks.filter(pl.col("series") == "target").group_by("panel", maintain_order=True):
        picked = here.sort("points", descending=True).head(MOST_NAMED)
        places = apart(dict(picked.select("site", "points").iter_rows()), APART * height, most=inf)
        for name, score in picked.select("site", "score").iter_rows():
            named.append({"panel": panel, "name": name, "name_y": places[name], "score": score})
    return pl.concat([marks, pl.DataFrame(named)], how="diagonal_relaxed")


def scores(rows: pl.DataFrame) -> dict[str, Any]:
    """One panel for each model and tier; effects share one scale."""
    ends = [*numbers(rows, "low"), *numbers(rows, "high"), 0.0]
    room = 0.08 * (max(ends) - min(ends)) + 1e-9
    effects = alt.Scale(domain=[min(ends) - room, max(ends) + room], nice=False)
    places: dict[str, Any] = {
        "x": alt.X("score:Q", title="detector score", scale=alt.Scale(domain=[0, 1.1], nice=False),
                   axis=alt.Axis(values=[0, 0.5, 1], format="~g", grid=False)),
        "color": alt.Color("series:N", scale=scale(KINDS), legend=None),
        "tooltip": tips(site="head", panel="tier", series="belongs to", score="score", points="change, points",
                        low="from", high="to", n="items"),
    }  # fmt: skip
    y = alt.Y("points:Q", title="change when zeroed alone, points", scale=effects)
    base = alt.Chart().transform_filter("isValid(datum.series)")
    names = alt.Chart().transform_filter("isValid(datum.name)").mark_text(align="right", dx=-8)
    picked = base.transform_filter("datum.series == 'target'")
    others = base.transform_filter("datum.series == 'other'")
    layers = [
        alt.Chart().mark_rule(color=CONTROL, strokeDash=[2, 3]).encode(y=alt.datum(0)),
        base.mark_rule(strokeWidth=1, opacity=0.6).encode(y="low:Q", y2="high:Q", **places),
        others.mark_point(filled=False, size=36, opacity=1).encode(y=y, **places),
        picked.mark_point(filled=True, size=70, opacity=1).encode(y=y, **places),
        names.encode(x=places["x"], y="name_y:Q", text="name:N"),
    ]
    chart = alt.layer(*layers).properties(width=WIDTH, height=HEIGHT)
    return finished(facets(chart, rows), "panels")
