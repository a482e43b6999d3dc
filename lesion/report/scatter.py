"""Score against effect: does the detector's score of a head say what zeroing that head alone does?"""

from typing import Any

import altair as alt
import polars as pl

from lesion.report.charts import TEXT_SIZE, data, finished, numbers, scale, tips
from lesion.report.drawing import with_panels
from lesion.report.palette import CONTROL, TARGET
from lesion.report.panels import HEIGHT, WIDTH
from lesion.report.record import Record

KINDS = {"target": TARGET, "other": CONTROL}
"""Head of the target or not -> colour; they differ in filling, too."""


def score_marks(record: Record, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with their panels, the head's name, and whether it belongs to the target."""
    targets = [f"{model} {site}" for model, sites in record.manifest.plan.targets.items() for site in sites]
    site = pl.format("L{}H{}", "layer", "head")
    chosen = pl.format("{} {}", "model", site).is_in(targets)
    kind = pl.when(chosen).then(pl.lit("target")).otherwise(pl.lit("other")).alias("series")
    return with_panels(record, rows).with_columns(site.alias("site"), kind)


def scores(rows: pl.DataFrame) -> dict[str, Any]:
    """One panel for each model and tier; effects share one scale."""
    ends = [*numbers(rows, "low"), *numbers(rows, "high"), 0.0]
    room = 0.08 * (max(ends) - min(ends)) + 1e-9
    effects = alt.Scale(domain=[min(ends) - room, max(ends) + room], nice=False)
    places: dict[str, Any] = {
        "x": alt.X("score:Q", title="detector score", scale=alt.Scale(domain=[0, 1.1], nice=False),
                   axis=alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], format="~g", grid=False)),
        "color": alt.Color("series:N", scale=scale(KINDS), legend=None),
        "tooltip": tips(site="head", panel="tier", series="belongs to", score="score", points="change, points",
                        low="from", high="to", n="items"),
    }  # fmt: skip
    y = alt.Y("points:Q", title="change when zeroed alone, points", scale=effects)
    base = alt.Chart()
    picked = base.transform_filter("datum.series == 'target'")
    others = base.transform_filter("datum.series == 'other'")
    layers = [
        alt.Chart().mark_rule(color=CONTROL, strokeDash=[2, 3]).encode(y=alt.datum(0)),
        base.mark_rule(strokeWidth=1, opacity=0.6).encode(y="low:Q", y2="high:Q", **places),
        others.mark_point(filled=False, size=36, opacity=1).encode(y=y, **places),
        picked.mark_point(filled=True, size=70, opacity=1).encode(y=y, **places),
        picked.mark_text(align="right", dx=-8, fontSize=TEXT_SIZE).encode(x=places["x"], y=y, text="site:N"),
    ]
    facet: Any = alt.Facet("panel:N", title=None, sort=rows["panel"].unique(maintain_order=True).to_list())
    chart: Any = alt.layer(*layers).properties(width=WIDTH, height=HEIGHT)
    columns = min(3, rows["panel"].n_unique())
    return finished(chart.facet(facet, data=data(rows), columns=columns), "panels")
