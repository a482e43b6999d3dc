"""Figures against the factor, one panel for each model and tier: accuracy, and the changes in certainty.

Discovery is drawn as dashed lines with rings, confirmation as filled marks with intervals: they cannot be taken for one
another. Lines are named at their right end.
"""

from typing import Any

import altair as alt
import polars as pl

from lesion.report.figures.parts.charts import data, finished, scale, tips
from lesion.report.figures.parts.palette import CONTROL, SERIES
from lesion.report.figures.parts.tables import CERTAINTY
from lesion.study.metric_table import METRICS

WIDTH, HEIGHT, LOW_HEIGHT = 260, 210, 150
NAME_ROOM = 0.45
"""Room for the names right of the last factor, as a share of the factors' range."""
_SHAPES = {"target": "circle", "control": "square"}


def accuracy(rows: pl.DataFrame, alphas: list[float]) -> dict[str, Any]:
    """Accuracy against the factor; every panel shows the whole scale, so that small effects look small."""
    whole = alt.Y(
        "accuracy:Q", title="accuracy", axis=alt.Axis(format="~%", tickCount=5), scale=alt.Scale(domain=[0, 1])
    )
    still = alt.Chart().transform_filter("datum.series == 'baseline' && datum.main").mark_rule(**_dotted())
    chart = _swept("accuracy", whole, still.encode(y=whole, **_span(alphas)), alphas, HEIGHT)
    return finished(facets(chart, rows), "panels")


def deltas(rows: pl.DataFrame, alphas: list[float]) -> dict[str, Any]:
    """Mean paired change of entropy and of the logit difference against the factor, one row of panels each."""
    parts: list[Any] = []
    for metric in CERTAINTY:
        title = f"Δ {METRICS[metric].words}, {METRICS[metric].unit}"
        still = alt.Chart().mark_rule(**_dotted()).encode(y=alt.datum(0), **_span(alphas))
        chart = _swept("mean", alt.Y("mean:Q", title=title), still, alphas, LOW_HEIGHT)
        parts.append(facets(chart, rows.filter(pl.col("metric") == metric)))
    return finished(alt.vconcat(*parts), "stack")


def _swept(field: str, y: alt.Y, still: alt.Chart, alphas: list[float], height: int) -> Any:
    """What both figures draw over the rule of the unedited model."""
    places: dict[str, Any] = {
        "x": _factor(alphas),
        "color": alt.Color("series:N", scale=scale(SERIES), legend=None),
        "tooltip": tips(
            panel="tier", series="series", stage="stage", alpha="factor", low="from", high="to", n="items",
            **{field: field},
        ),
    }  # fmt: skip
    edited = alt.Chart().transform_filter("isValid(datum.series) && datum.series != 'baseline'")
    swept = edited.transform_filter("datum.stage == 'discovery'")
    confirmed = edited.transform_filter("datum.stage == 'confirm'")
    names = alt.Chart().transform_filter("isValid(datum.name)").mark_text(align="left", dx=6)
    layers = [
        still,
        swept.mark_line(strokeWidth=1.5, strokeDash=[5, 3]).encode(y=y, detail="arm_set:N", **places),
        swept.mark_point(filled=False, size=28, opacity=1).encode(y=y, **places),
        confirmed.mark_rule(strokeWidth=2).encode(y="low:Q", y2="high:Q", **places),
        confirmed.mark_point(filled=True, size=80, opacity=1).encode(
            y=y, shape=alt.Shape("series:N", scale=scale(_SHAPES), legend=None), **places
        ),
        names.encode(x=places["x"], y="name_y:Q", text="name:N"),
    ]
    return alt.layer(*layers).properties(width=WIDTH, height=height)


def _factor(alphas: list[float]) -> alt.X:
    """An axis with a mark at every factor that was tried."""
    axis = alt.Axis(
        values=sorted({*alphas, 1.0}), labelExpr="format(datum.value, '~g')", labelOverlap="greedy", labelSeparation=5,
        grid=False,
    )  # fmt: skip
    domain = [min(*alphas, 1.0), max(*alphas, 1.0) + NAME_ROOM * (max(*alphas, 1.0) - min(*alphas, 1.0))]
    return alt.X(
        "alpha:Q", title="factor α (1 = unedited)", axis=axis, scale=alt.Scale(domain=domain, nice=False)
    )  # fmt: skip


def _span(alphas: list[float]) -> dict[str, Any]:
    """From the smallest to the largest factor."""
    return {"x": alt.datum(min(*alphas, 1.0)), "x2": alt.datum(max(*alphas, 1.0))}


def _dotted() -> dict[str, Any]:
    return {"color": CONTROL, "strokeDash": [2, 3]}


def facets(chart: Any, rows: pl.DataFrame) -> Any:
    """One panel for each model and tier; a row of panels for each model, of at most three."""
    facet: Any = alt.Facet("panel:N", title=None, sort=rows["panel"].unique(maintain_order=True).to_list())
    return chart.facet(facet, data=data(rows), columns=min(3, max(1, rows["tier"].drop_nulls().n_unique())))
