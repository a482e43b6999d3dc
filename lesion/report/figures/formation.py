"""Heads over a training: the table for the terminal, and the picture, a column for each training. From JSON alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import altair as alt
import polars as pl
import vl_convert
from rich.console import Console

from lesion.report.figures.figures import PNG_SCALE, VEGA_LITE, themed
from lesion.report.figures.parts.charts import TEXT_SIZE, constants, data
from lesion.report.figures.parts.palette import CONTROL, TARGET
from lesion.report.terminal.look.diagnostics import said, table
from lesion.runs.folder.atomic_io import write_bytes

WIDTH, HEIGHT = 300, 150
_LAYERS = [CONTROL, TARGET, "#aa4499", "#009e73"]


def print_formation(console: Console, document: Mapping[str, Any]) -> None:
    """Step by step: loss in both copies of a block, and the best head of each detector; then the verdicts."""
    detectors = list(document["verdicts"])
    best = (column for name in detectors for column in (f">{name.replace('_', '-')}", "head"))
    shown = table(">step", ">loss, 1st copy", ">2nd copy", *best)
    for moment in document["moments"]:
        losses = (f"{moment['in_context'][name]:.2f}" for name in ("first", "second"))
        cells = [cell for name in detectors for cell in _best(moment, name)]
        shown.add_row(f"{moment['step']:,}", *losses, *cells)
    console.print(shown)
    for verdict in document["verdicts"].values():
        said(console, verdict, "bold")


def _best(moment: Mapping[str, Any], detector: str) -> tuple[str, str]:
    """Score and name of the best head."""
    score, site = max((row["score"], row["site"]) for row in _heads(moment, detector))
    return f"{score:.3f}", site


def _heads(moment: Mapping[str, Any], detector: str) -> list[dict[str, Any]]:
    scores = next(entry["scores"] for entry in moment["scores"] if entry["detector"] == detector)
    return [
        {"step": moment["step"], "layer": f"layer {layer}", "site": f"L{layer}H{index}", "score": score}
        for layer, row in enumerate(scores)
        for index, score in enumerate(row)
    ]


def write_picture(path: Path, documents: Sequence[Mapping[str, Any]]) -> None:
    """Draw all trainings side by side, as SVG or PNG by the file's ending.

    Raises:
        DiskError: when the file cannot be written.
    """
    svg = vl_convert.vegalite_to_svg(themed(picture(documents)), vl_version=VEGA_LITE)
    write_bytes(path, svg.encode() if path.suffix == ".svg" else vl_convert.svg_to_png(svg, scale=PNG_SCALE))


def picture(documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One specification: under each training's name a panel for each detector, and one for the loss."""
    highest = max(m["in_context"][name] for d in documents for m in d["moments"] for name in ("first", "second"))
    columns = [_column(document, highest) for document in documents]
    plain: dict[str, Any] = alt.hconcat(*columns, spacing=36).to_dict()
    return {key: value for key, value in plain.items() if key != "config"}


def _column(document: Mapping[str, Any], highest: float) -> Any:
    recipe = document["training"]["recipe"]
    layers, last = recipe["shape"]["layers"], document["moments"][-1]["step"]
    panels = [_scores(document, detector, last) for detector in document["verdicts"]]
    title = (
        f"{recipe['name']}: {recipe['family']}, {layers} layer{'s' * (layers > 1)} of {recipe['shape']['heads']} heads"
    )
    return alt.vconcat(*panels, _losses(document, highest, last), spacing=14).properties(title=title)


def _steps(last: int, title: str | None = None) -> alt.X:
    axis = alt.Axis(grid=False, tickCount=6)
    return alt.X("step:Q", title=title, axis=axis, scale=alt.Scale(domain=[0, last], nice=False))


def _scores(document: Mapping[str, Any], detector: str, last: int) -> Any:
    """Every head a line; layers differ in colour and are named at the line of their best head."""
    rows = pl.DataFrame([row for moment in document["moments"] for row in _heads(moment, detector)])
    layers = rows["layer"].unique(maintain_order=True).to_list()
    ends = rows.filter(pl.col("step") == last).sort("score", descending=True).group_by("layer").first()
    named = ends.with_columns(label=pl.format("{} ({})", "layer", "site"))
    whole = alt.Y("score:Q", title=f"{detector.replace('_', '-')} score", scale=alt.Scale(domain=[0, 1]))
    colour = alt.Color("layer:N", legend=None, scale=alt.Scale(domain=layers, range=_LAYERS[: len(layers)]))
    lines = (
        alt.Chart(data(rows)).mark_line(strokeWidth=1.5).encode(x=_steps(last), y=whole, color=colour, detail="site:N")
    )
    names = alt.Chart(data(named)).mark_text(align="left", dx=5, fontSize=TEXT_SIZE)
    limit = (
        alt.Chart(constants(limit=document["threshold"]))
        .mark_rule(strokeDash=[2, 3], color=CONTROL)
        .encode(y="limit:Q")
    )
    return alt.layer(limit, lines, names.encode(x=_steps(last), y=whole, text="label:N", color=colour)).properties(
        width=WIDTH, height=HEIGHT
    )


def _losses(document: Mapping[str, Any], highest: float, last: int) -> Any:
    copies = {"first": "first copy", "second": "second copy"}
    rows = pl.DataFrame(
        [
            {"step": moment["step"], "copy": label, "loss": moment["in_context"][name]}
            for moment in document["moments"]
            for name, label in copies.items()
        ]
    )
    loss = alt.Y("loss:Q", title="loss, nats", scale=alt.Scale(domain=[0, highest]))
    colour = alt.Color("copy:N", legend=None, scale=alt.Scale(domain=list(copies.values()), range=[CONTROL, TARGET]))
    dash = alt.StrokeDash("copy:N", legend=None, sort=["second copy", "first copy"])
    lines = (
        alt.Chart(data(rows))
        .mark_line(strokeWidth=1.5)
        .encode(x=_steps(last, "training step"), y=loss, color=colour, strokeDash=dash)
    )
    ends = alt.Chart(data(rows.filter(pl.col("step") == last))).mark_text(align="left", dx=5, fontSize=TEXT_SIZE)
    return alt.layer(
        lines, ends.encode(x=_steps(last, "training step"), y=loss, text="copy:N", color=colour)
    ).properties(width=WIDTH, height=HEIGHT)
