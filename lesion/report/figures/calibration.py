"""The picture of a calibration: every promise with its bound and limit, and the power curve. From its JSON alone."""

from collections.abc import Mapping
from typing import Any

import altair as alt
import polars as pl

from lesion.report.figures.parts.charts import constants, data
from lesion.report.figures.parts.palette import CONTROL, TARGET, VERDICT_COLOURS

WIDTH = 420
VERDICTS = ("Improvement", "Null", "Inconclusive")


def calibration_chart(document: Mapping[str, Any]) -> alt.VConcatChart:
    """Rates (dots), one-sided 95 % bounds (ticks) and the limit above; shares of verdicts by true difference below."""
    return alt.vconcat(_promises(document), _power(document), spacing=28)


def _promises(document: Mapping[str, Any]) -> Any:
    """Promises of the kind "at most", by the share of the limit that they use."""
    parts: list[Any] = [*document.values(), *document["others"]]
    rates: list[dict[str, Any]] = [each for each in parts if isinstance(each, dict) and "promise" in each]
    rows = pl.DataFrame(
        [
            {"promise": rate["promise"], "found": rate["rate"] / rate["limit"], "bound": rate["bound"] / rate["limit"]}
            for rate in rates
            if rate["side"] == "at most"
        ]
    )
    base = alt.Chart(data(rows)).encode(y=alt.Y("promise:N", sort=None, title=None, axis=alt.Axis(labelLimit=360)))
    scale = alt.Scale(domain=(0, 1.1))
    dots = base.mark_point(filled=True, size=50, color=TARGET).encode(
        x=alt.X("found:Q", scale=scale, title="share of the limit: dot as found, tick its 95 % bound, line the limit")
    )
    ticks = base.mark_tick(color=TARGET, thickness=2).encode(x=alt.X("bound:Q", scale=scale))
    limit = alt.Chart(constants(limit=1.0)).mark_rule(strokeDash=[4, 3], color=CONTROL).encode(x="limit:Q")
    return alt.layer(dots, ticks, limit).properties(
        width=WIDTH, title=f"Promised error rates, {document['studies']:,} simulated studies a setting"
    )


def _power(document: Mapping[str, Any]) -> Any:
    rows = pl.DataFrame(
        [
            {"points": 100 * point["delta"], "verdict": name, "share": point[name.lower()]}
            for point in document["power"]
            for name in VERDICTS
        ]
    )
    return (
        alt.Chart(data(rows))
        .mark_line(point=True)
        .encode(
            x=alt.X("points:Q", title="true difference, points (20 % of answers change)"),
            y=alt.Y("share:Q", title="share of studies", scale=alt.Scale(domain=(0, 1))),
            color=alt.Color(
                "verdict:N",
                title=None,
                scale=alt.Scale(domain=list(VERDICTS), range=[VERDICT_COLOURS[v] for v in VERDICTS]),
            ),
            strokeDash=alt.StrokeDash("verdict:N", sort=list(VERDICTS), legend=None),
        )
        .properties(width=WIDTH, height=180, title="Verdicts by true difference, at the rule's own number of items")
    )
