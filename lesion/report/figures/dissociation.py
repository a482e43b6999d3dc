"""Targets × tasks: what each target does to each task, with a mark where a double dissociation holds."""

from typing import Any

import altair as alt
import polars as pl

from lesion.report.figures.parts.charts import TEXT_SIZE, data, finished, numbers, tips
from lesion.report.figures.parts.palette import DIVERGING
from lesion.report.wording.words import model_name, signed

CELL, ROW = 150, 62
_DARK, _LIGHT, _EDGE = "#1b1f24", "#ffffff", "#8a8f96"


def heat_map(rows: pl.DataFrame, digits: int, unit: str) -> dict[str, Any]:
    """One map for each model; all share one scale of colours.

    Args:
        rows: those of `lesion.report.wording.evidence.dissociations.cells`.
        digits: decimals of an effect.
        unit: what an effect is, and in what it is counted.
    """
    marked = _marked(rows, digits)
    models: list[str] = marked["model"].unique(maintain_order=True).to_list()
    extent = max([10.0, *map(abs, numbers(marked, "shade"))])
    names = {model: model if len(models) > 1 else "" for model in models}
    maps = [_map(marked.filter(pl.col("model") == model), name, extent, unit) for model, name in names.items()]
    drawn: Any = alt.concat(*maps, columns=1) if len(maps) > 1 else maps[0]
    return finished(drawn, "maps" if len(maps) > 1 else "single")


def _marked(rows: pl.DataFrame, digits: int) -> pl.DataFrame:
    """The rows with what is written into the cells, and the number behind the colour: the share, else the effect."""
    told = rows.to_dicts()
    main = [f"{'◆ ' if row['holds'] else ''}{signed(row['effect'], digits)}" for row in told]
    ends = [
        f"{signed(row['low'], digits)} to {signed(row['high'], digits)}" if row["low"] < row["high"] else "one set"
        for row in told
    ]
    shade = [row["effect"] if row["share"] is None else row["share"] for row in told]
    return rows.with_columns(pl.Series("main", main), pl.Series("ends", ends), pl.Series("shade", shade))


def _map(rows: pl.DataFrame, model: str, extent: float, unit: str) -> Any:
    order = [*rows.filter(pl.col("series") == "target")["target"].unique(maintain_order=True).to_list()]
    order += rows.filter(pl.col("series") == "random")["target"].unique(maintain_order=True).to_list()
    tasks: list[str] = rows["task"].unique(maintain_order=True).to_list()
    place = alt.Chart(data(rows)).encode(
        x=alt.X("task:N", title=unit, sort=tasks, axis=alt.Axis(orient="top", labelAngle=0, domain=False, ticks=False)),
        y=alt.Y("target:N", title=None, sort=order, axis=alt.Axis(domain=False, ticks=False)),
        tooltip=tips(effect="change", low="from", high="to", share="% of headroom", n="items"),
    )
    scale = alt.Scale(domain=[-extent, 0, extent], range=DIVERGING)
    colour = alt.Color("shade:Q", scale=scale, legend=None)
    ink = alt.condition(f"abs(datum.shade) > {0.75 * extent:.6g}", alt.value(_LIGHT), alt.value(_DARK))
    held = place.transform_filter("datum.holds").mark_rect(fillOpacity=0, stroke="#000000", strokeWidth=3)
    layers = [
        place.mark_rect(stroke=_EDGE, strokeWidth=0.5).encode(color=colour),
        held,
        place.mark_text(fontSize=TEXT_SIZE + 5, fontWeight="bold", dy=-8).encode(text="main:N", color=ink),
        place.mark_text(dy=13).encode(text="ends:N", color=ink),
    ]
    width: Any = alt.Step(CELL)
    height: Any = alt.Step(ROW)
    title = {"title": model_name(model)} if model else {}
    return alt.layer(*layers).properties(width=width, height=height, **title)
