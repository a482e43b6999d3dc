"""Pictures of one text: attention patterns with their tokens, and a measure at each token; edited beside unedited."""

import json
from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import polars as pl
from numpy.typing import NDArray

from lesion.report.figures.parts.charts import data, finished, scale, tips
from lesion.report.figures.parts.palette import CONTROL, SEQUENTIAL, TARGET
from lesion.report.terminal.notebook import Picture

SIDE, SMALLEST = 320, 13
"""Width of a pattern, and the least height of a token's row, pixels."""
_EDGE = "#8a8f96"


def token_words(tokens: Sequence[str]) -> list[str]:
    r"""Tokens as they can be seen: spaces and line ends as signs.

    >>> token_words([" a", "b\n"])
    ['␣a', 'b⏎']
    """
    return [token.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥") or "∅" for token in tokens]


def picture_of_patterns(
    patterns: dict[str, NDArray[np.float32]], tokens: Sequence[str], heads: Sequence[tuple[int, int]], title: str
) -> Picture:
    """A map of tokens × tokens for each head and condition: rows attend, columns are attended to; darker is more.

    Args:
        patterns: condition -> attention of every head (layers, heads, query, key).
        tokens: of the text.
        heads: layer and head of each map.
        title: what is shown.
    """
    maps = [
        _pattern(each[layer, head], tokens, f"L{layer}H{head}, {condition}")
        for layer, head in heads
        for condition, each in patterns.items()
    ]
    return Picture({**finished(alt.concat(*maps, columns=2, spacing=24), "maps"), "title": title})


def _pattern(pattern: NDArray[np.float32], tokens: Sequence[str], name: str) -> Any:
    shown = token_words(tokens)
    rows = pl.DataFrame(
        [
            {"query": q, "key": k, "share": round(float(pattern[q, k]), 4), "from": shown[q], "to": shown[k]}
            for q in range(len(shown))
            for k in range(q + 1)
        ]
    )
    label = f"{json.dumps(shown, ensure_ascii=False)}[datum.value]"
    axis: dict[str, Any] = {"labelExpr": label, "domain": False, "ticks": False, "labelOverlap": False}
    size: Any = alt.Step(max(SMALLEST, SIDE // max(1, len(shown))))
    told = [
        alt.Tooltip("from:N", title="from"), alt.Tooltip("to:N", title="to"),
        alt.Tooltip("share:Q", title="attention", format=".3f"),
    ]  # fmt: skip
    drawn = alt.Chart(data(rows)).mark_rect(stroke=_EDGE, strokeWidth=0.3)
    encoded = drawn.encode(
        x=alt.X("key:O", title="attended to", axis=alt.Axis(labelAngle=-90, **axis)),
        y=alt.Y("query:O", title="attends", axis=alt.Axis(**axis)),
        color=alt.Color("share:Q", scale=alt.Scale(domain=[0, 1], range=SEQUENTIAL), title="attention"),
        tooltip=told,
    )
    return encoded.properties(title=name, width=size, height=size)


def picture_of_tokens(table: pl.DataFrame, field: str, words: str, title: str) -> Picture:
    """A measure at each token of a text, unedited and edited.

    Args:
        table: a row per token: `position`, `token`, the measure, and the same with `_edited` behind its name.
        field: the measure.
        words: what it is, with its unit.
        title: what was done to what.
    """
    conditions = {"unedited": field, "edited": f"{field}_edited"}
    parts = [
        table.select("position", "token", pl.col(column).alias("value"), pl.lit(name).alias("series"))
        for name, column in conditions.items()
        if column in table.columns
    ]
    rows = pl.concat(parts).filter(pl.col("value").is_not_null())
    shown = token_words(table.sort("position")["token"].to_list())
    axis = alt.Axis(
        labelExpr=f"{json.dumps(shown, ensure_ascii=False)}[datum.value]", labelAngle=-90, labelOverlap=False
    )
    base = alt.Chart(data(rows)).encode(
        x=alt.X("position:O", title="token", axis=axis),
        y=alt.Y("value:Q", title=words),
        color=alt.Color("series:N", scale=scale({"unedited": CONTROL, "edited": TARGET}), title=None),
        tooltip=[alt.Tooltip("token:N"), *tips(series="condition", value=words)],
    )
    lines: Any = base.mark_line(strokeWidth=1.5) + base.mark_point(filled=True, size=45, opacity=1)
    return Picture({**finished(lines.properties(width=alt.Step(22), height=200), "tokens"), "title": title})
