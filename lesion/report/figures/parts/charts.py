"""What the figures' specifications share: data, tooltips, scales and names, in Vega-Lite by way of altair.

A specification names no colour of text, grid or paper: the page and the exporter lay their theme over it. Its kind
(`single`, `panels`, `stack` of panels, `forest`, `cells`, `maps`) stands under `usermeta.lesion`, so that the page can
fit it to a width.
"""

from typing import Any

import altair as alt
import polars as pl

TEXT_SIZE = 12
"""Size of every text within a figure, in pixels."""
STRETCH = 8
"""A scale is compressed where the largest effect is more than so many margins."""
_WORDS = ("panel", "series", "verdict", "label", "stage", "site", "order", "sites", "did", "line")
"""Fields that hold words; all others hold numbers."""


def data(rows: pl.DataFrame) -> alt.InlineData:
    """Rows as they stand in the specification."""
    return alt.InlineData(values=rows.to_dicts())


def constants(**values: float) -> alt.InlineData:
    """One row of numbers, for bands and rules."""
    return alt.InlineData(values=[values])


def numbers(rows: pl.DataFrame, column: str) -> list[float]:
    """The column's values that are there."""
    found: list[float] = rows[column].drop_nulls().cast(pl.Float64).to_list()
    return found


def tips(**titles: str) -> list[alt.Tooltip]:
    """Tooltip lines, field -> title; numbers with four significant digits."""
    return [
        alt.Tooltip(field=field, title=title, type="nominal")
        if field in _WORDS
        else alt.Tooltip(field=field, title=title, type="quantitative", format=",.4~g")
        for field, title in titles.items()
    ]


def scale(table: dict[str, str]) -> alt.Scale:
    """Name -> colour or shape."""
    return alt.Scale(domain=list(table), range=list(table.values()))


def effects(ends: list[float], margin: float) -> tuple[alt.Scale, alt.Axis]:
    """Scale and axis of effects of any size: compressed beyond the margin where a large one would hide small ones.

    Args:
        ends: every number that is drawn, in the figure's unit.
        margin: in the same unit; up to here the compressed scale is close to linear.
    """
    low, high = min(*ends, -margin), max(*ends, margin)
    if max(-low, high) <= STRETCH * margin:
        room = 0.05 * (high - low)
        domain = alt.Scale(domain=[low - room, high + room], nice=False)
        return domain, alt.Axis(tickCount=7, titleAnchor="end")
    scale = alt.Scale(type="symlog", constant=margin, domain=[1.25 * low, 1.25 * high], nice=False)
    steps = [margin * size for size in (1, 3, 10, 30, 100, 300, 1000)] if margin not in (1, 3) else [
        1.0 * size for size in (margin, 10, 30, 100)]  # fmt: skip
    values = sorted({0.0, *(side * step for side in (-1, 1) for step in steps if low <= side * step <= high)})
    return scale, alt.Axis(values=values, labelExpr="format(datum.value, '~g')", titleAnchor="end")


def finished(chart: Any, kind: str) -> dict[str, Any]:
    """The chart as plain data, with its kind, without the theme that altair adds of itself."""
    plain: dict[str, Any] = chart.properties(usermeta={"lesion": {"kind": kind}}).to_dict()
    return {key: value for key, value in plain.items() if key != "config"}
