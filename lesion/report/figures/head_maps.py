"""Layers × heads: one map of the detector's score, and one per tier of what zeroing each head alone does."""

from typing import Any

import altair as alt
import polars as pl

from lesion.report.figures.parts.charts import data, finished, numbers, tips
from lesion.report.figures.parts.palette import DIVERGING, SEQUENTIAL

WIDTH, ROW = 330, 34
MOST_LABELLED = 128
"""Maps of more heads than this show numbers on hovering only."""
_EDGE, _OUTLINE = "#8a8f96", "#000000"
_DARK, _LIGHT = "#1b1f24", "#ffffff"


def heads(rows: pl.DataFrame) -> dict[str, Any]:
    """Every map of the rows, in their order; effects share one scale, so that tiers can be compared."""
    panels: list[str] = rows["panel"].unique(maintain_order=True).to_list()
    extent = max([1.0, *map(abs, numbers(rows, "points"))])
    maps: list[Any] = [_map(rows.filter(pl.col("panel") == panel), panel, extent) for panel in panels]
    drawn: Any = alt.concat(*maps, columns=2)
    return finished(drawn.resolve_scale(color="independent"), "maps")


def _map(rows: pl.DataFrame, panel: str, extent: float) -> Any:
    scored = bool(numbers(rows, "score"))
    field = "score" if scored else "points"
    colours = (
        alt.Scale(domain=[0, 1], range=SEQUENTIAL)
        if scored
        else alt.Scale(domain=[-extent, 0, extent], range=DIVERGING)
    )
    effect = {"points": "change, points", "low": "from", "high": "to", "n": "items"}
    place = alt.Chart(data(rows)).encode(
        x=alt.X("head:O", title="head", axis=alt.Axis(labelAngle=0, domain=False, ticks=False)),
        y=alt.Y("layer:O", title="layer", sort="descending", axis=alt.Axis(domain=False, ticks=False)),
        tooltip=tips(site="head", **({"score": "score"} if scored else effect)),
    )
    chosen = place.transform_filter("datum.selected").mark_rect(fillOpacity=0, stroke=_OUTLINE, strokeWidth=2.5)
    layers = [
        place.mark_rect(stroke=_EDGE, strokeWidth=0.5).encode(
            color=alt.Color(f"{field}:Q", scale=colours, legend=None)
        ),
        chosen,
    ]
    if rows.height <= MOST_LABELLED:
        dark = f"datum.{field} > 0.55" if scored else f"abs(datum.{field}) > {0.75 * extent:.6g}"
        ink = alt.condition(dark, alt.value(_LIGHT), alt.value(_DARK))
        layers.append(place.mark_text().encode(text="text:N", color=ink))
    step: Any = alt.Step(ROW)
    return alt.layer(*layers).properties(title=panel, width=WIDTH, height=step)
