"""Tables and pictures that show themselves when they are the last line of a notebook's cell, without a network."""

import html
from importlib import import_module
from pathlib import Path
from typing import Any

import altair as alt
import polars as pl
import vl_convert

from lesion.errors import InputError, nearest
from lesion.report.figures.figures import PNG_SCALE, VEGA_LITE, themed
from lesion.report.figures.head_maps import heads
from lesion.report.figures.parts.charts import data, finished, tips
from lesion.report.figures.parts.palette import CONTROL, TARGET
from lesion.report.page.html import library, shipped, templates

SHOWN = ("correct", "answer_logprob", "logit_diff", "entropy", "kl", "neutral_loss")
"""Measures that a picture of changes has unless others are asked for."""
WIDTH, LINE = 360, 24
MOST_ROWS = 24
"""Rows of a table that are shown; the table itself has all."""


class Picture:
    """A chart that is drawn where it stands, as SVG."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = themed(spec)
        """Its Vega-Lite specification, data included."""

    @property
    def chart(self) -> Any:
        """The same as an altair chart, to be changed further."""
        return alt.Chart.from_dict(self.spec)

    @property
    def svg(self) -> str:
        """The drawing."""
        return vl_convert.vegalite_to_svg(self.spec, vl_version=VEGA_LITE)

    def save(self, path: str | Path) -> Path:
        """Write the drawing as a file.

        Args:
            path: ends in `.svg`, `.png`, or `.html` (a page that works offline and shows numbers under the pointer).

        Raises:
            InputError: for another ending.
        """
        place = Path(path)
        makers = {".svg": self.svg.encode, ".png": self._png, ".html": self._page}
        if place.suffix not in makers:
            raise InputError(f"{place}: a picture is saved as {', '.join(makers)}, not '{place.suffix}'")
        place.write_bytes(makers[place.suffix]())
        return place

    def _png(self) -> bytes:
        return vl_convert.svg_to_png(self.svg, scale=PNG_SCALE)

    def _page(self) -> bytes:
        environment = templates()
        page = environment.get_template("picture.html")
        return page.render(
            title=self.spec.get("title", "Picture"), spec=self.spec, style=shipped(environment, "style.css"),
            library=library(),
        ).encode()  # fmt: skip

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:  # noqa: ARG002  (IPython asks so)
        return {"image/svg+xml": self.svg, "text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"Picture({self.spec.get('title', '')!r})"


def as_pandas(frame: pl.DataFrame) -> Any:
    """A Polars table as a pandas DataFrame; pyarrow is not needed.

    Raises:
        InputError: when pandas is not installed.
    """
    try:
        pandas: Any = import_module("pandas")  # not one of this package's dependencies
    except ImportError as error:
        raise InputError("pandas is not installed: pip install pandas; or stay with the Polars table") from error
    return pandas.DataFrame(frame.to_dict(as_series=False))


def framed(frame: pl.DataFrame, *sentences: str) -> str:
    """A table as HTML, with sentences above it; each is escaped."""
    above = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences if sentence)
    with pl.Config(tbl_rows=MOST_ROWS, tbl_cols=-1, fmt_str_lengths=80):
        return above + frame._repr_html_()  # pyright: ignore[reportPrivateUsage]


def printed(frame: pl.DataFrame, *sentences: str) -> str:
    """A table as text with all its columns, with sentences above it."""
    with pl.Config(
        tbl_rows=MOST_ROWS, tbl_cols=-1, fmt_str_lengths=40, tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True, float_precision=3, tbl_formatting="MARKDOWN", tbl_width_chars=110,
    ):  # fmt: skip
        return "\n".join([*filter(None, sentences), str(frame)])


def picture_of_scores(scores: pl.DataFrame) -> Picture:
    """One map of layers × heads per detector; outlined: the named heads.

    Args:
        scores: a row per detector and head: `detector`, `site`, `layer`, `head`, `score`, `named`.
    """
    rows = scores.select(
        pl.col("detector").str.replace_all("_", "-").alias("panel"),
        "site",
        "layer",
        "head",
        "score",
        pl.lit(None, dtype=pl.Float64).alias("points"),
        pl.col("named").alias("selected"),
        pl.Series("text", [f"{score:.2f}" for score in scores["score"]]),
    )
    return Picture({**heads(rows), "title": "Scores of all heads (exploratory)"})


def picture_of_changes(summary: pl.DataFrame, title: str, measures: tuple[str, ...] = ()) -> Picture:
    """One line per measure: its mean paired difference with the 95 % interval, on a scale of its own.

    Args:
        summary: a row per measure: `measure`, `unit`, `delta`, `low`, `high`, `scored`.
        title: what was done to what.
        measures: which ones; by default the usual ones that have a number.

    Raises:
        InputError: for a measure that the table does not have, or when none has a number.
    """
    there = summary.filter(pl.col("delta").is_not_null())["measure"].to_list()
    for name in measures:
        if name not in there:
            raise InputError(f"there is no change of '{name}' to draw; {nearest(name, there)}")
    wanted = [name for name in measures or SHOWN if name in there]
    if not wanted:
        raise InputError("no measure has a number, so there is nothing to draw")
    rows = pl.concat([summary.filter(pl.col("measure") == name) for name in wanted]).with_columns(
        pl.format("{}, {}", pl.col("measure").str.replace_all("_", " "), "unit").alias("label")
    )
    place: Any = alt.Chart().encode(
        tooltip=tips(label="measure", delta="change", low="from", high="to", scored="items")
    )
    layers = [
        alt.Chart().mark_rule(color=CONTROL, strokeDash=[3, 3]).encode(x=alt.datum(0)),
        place.mark_rule(color=TARGET, strokeWidth=2).encode(x=alt.X("low:Q", title=None), x2="high:Q"),
        place.mark_point(filled=True, size=90, opacity=1, color=TARGET).encode(x="delta:Q"),
    ]
    head = alt.Header(labelAngle=0, labelAlign="left", labelLimit=220)
    row = alt.Row("label:N", sort=rows["label"].to_list(), title=None, header=head)
    lines: Any = alt.layer(*layers, data=data(rows), width=WIDTH, height=LINE)
    return Picture(
        {
            **finished(lines.facet(row=row, spacing=14).resolve_scale(x="independent"), "panels"),
            "title": f"{title} (exploratory)",
        }
    )
