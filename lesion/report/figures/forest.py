"""Figures of one line per cell, with a band behind them: the verdicts, and the stability of the baseline."""

from typing import Any

import altair as alt
import polars as pl

from lesion.report.figures.parts.charts import constants, data, effects, finished, numbers, scale, tips
from lesion.report.figures.parts.palette import CONTROL, TARGET, VERDICT_COLOURS, VERDICT_SHAPES

WIDTH = 560


def verdicts(rows: pl.DataFrame, margin: float, step: int = 18) -> dict[str, Any]:
    """Paired difference and interval of every cell, its random control below it, the margin as a band.

    Half a cell is `step` pixels high; a label of three lines needs more than one of two.
    """
    domain, axis = effects([*numbers(rows, "low"), *numbers(rows, "high")], 100 * margin)
    x = alt.X("points:Q", title="change in accuracy, points", scale=domain, axis=axis)
    gaps = alt.Scale(paddingInner=0.2, paddingOuter=0.3)
    places: dict[str, Any] = {
        "y": _lines(rows.filter(pl.col("series") == "target")["label"].to_list()),
        "yOffset": alt.YOffset("series:N", sort=["target", "control"], scale=gaps),
        "color": alt.Color("verdict:N", scale=scale(VERDICT_COLOURS | {"random set": CONTROL}), legend=None),
        "tooltip": tips(label="cell", verdict="verdict", points="change, points", low="from", high="to", n="items"),
    }  # fmt: skip
    shape = alt.Shape("verdict:N", scale=scale(VERDICT_SHAPES | {"random set": "circle"}), legend=None)
    base = alt.Chart(data(rows))
    dots = base.transform_filter("datum.series == 'target'").mark_point(filled=True, size=120, opacity=1)
    rings = base.transform_filter("datum.series == 'control'").mark_point(filled=False, size=45, opacity=1)
    layers = [
        _band(100 * margin),
        alt.Chart(constants(zero=0)).mark_rule(color=CONTROL).encode(x="zero:Q"),
        base.mark_rule(strokeWidth=2).encode(x="low:Q", x2="high:Q", **places),
        dots.encode(x=x, shape=shape, **places),
        rings.encode(x=x, shape=shape, **places),
    ]
    return finished(alt.layer(*layers, width=WIDTH, height=_step(step)), "single")


def baseline(rows: pl.DataFrame, spread: float | None) -> dict[str, Any]:
    """Every seed's accuracy as its distance from the middle; a tier passes when its seeds fit into the band.

    No band is drawn where `spread` is None: then the gate judges another outcome.
    """
    reach = 1.25 * max(50 * (spread or 0.0), 1.0, *map(abs, numbers(rows, "points_from_middle")))
    x = alt.X(
        "points_from_middle:Q",
        title="distance from the middle, points",
        scale=alt.Scale(domain=[-reach, reach], nice=False),
        axis=alt.Axis(tickCount=7),
    )
    y = _lines(rows["label"].unique(maintain_order=True).to_list())
    base = alt.Chart(data(rows))
    dots = base.mark_point(filled=True, size=90, opacity=1, color=TARGET)
    names = base.mark_text(dy=-12).encode(x=x, y=y, text="seeds:N")
    told = tips(label="tier", seed="seed", accuracy="accuracy", n="items")
    bands = [] if spread is None else [_band(50 * spread)]
    layers = [*bands, dots.encode(x=x, y=y, tooltip=told), names]
    return finished(alt.layer(*layers, width=WIDTH, height=_step(46)), "single")


def replication(rows: pl.DataFrame, margin: float) -> dict[str, Any]:
    """One panel per configuration: the source, the other models, and their random-effects mean, on one scale."""
    drawn = effects([*numbers(rows, "low"), *numbers(rows, "high")], 100 * margin)
    panels = [
        _forest(here, drawn, margin, last=place == rows["panel"].n_unique() - 1)
        for place, (_, here) in enumerate(rows.group_by("panel", maintain_order=True))
    ]
    return finished(alt.vconcat(*panels, spacing=14), "forest")


def _forest(rows: pl.DataFrame, drawn: tuple[alt.Scale, alt.Axis], margin: float, *, last: bool) -> Any:
    title = "change in accuracy, points" if last else None
    x = alt.X("points:Q", title=title, scale=drawn[0], axis=drawn[1])
    y = alt.Y("label:N", sort=rows["label"].to_list(), title=None, axis=alt.Axis(labelLimit=300, ticks=False))
    colours, shapes = VERDICT_COLOURS | {"pooled": CONTROL}, VERDICT_SHAPES | {"pooled": "diamond"}
    colour = alt.Color("verdict:N", scale=scale(colours), legend=None)
    shape = alt.Shape("verdict:N", scale=scale(shapes), legend=None)
    told = tips(label="model", verdict="verdict", points="change, points", low="from", high="to", n="items")
    base = alt.Chart(data(rows))
    layers = [
        _band(100 * margin),
        alt.Chart(constants(zero=0)).mark_rule(color=CONTROL).encode(x="zero:Q"),
        base.mark_rule(strokeWidth=2).encode(x="low:Q", x2="high:Q", y=y, color=colour, tooltip=told),
        base.mark_point(filled=True, size=110, opacity=1).encode(x=x, y=y, color=colour, shape=shape, tooltip=told),
    ]
    return alt.layer(*layers, width=WIDTH, height=_step(24), title=str(rows["panel"][0]))


def _lines(order: list[str]) -> alt.Y:
    """One line per label; a bar in the label breaks it."""
    axis = alt.Axis(labelExpr="split(datum.label, '|')", labelLimit=300, labelOffset=-7, ticks=False)
    return alt.Y("label:N", sort=order, title=None, axis=axis)


def _band(half: float) -> alt.Chart:
    marked = alt.Chart(constants(left=-half, right=half)).mark_rect(color=CONTROL, opacity=0.22)
    return marked.encode(x=alt.X("left:Q"), x2=alt.X2("right:Q"))


def _step(pixels: int) -> Any:
    """A height that grows with the number of lines."""
    return alt.Step(pixels)
