"""A figure as files: SVG, PNG and PDF of its one specification, its rows as CSV and Parquet, its query as SQL.

Written with every run's report, and again by `lesion figure`: from the same source the same bytes.
"""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import typst as compiler
import vl_convert

from lesion.report.figures.figures import PNG_SCALE, VEGA_LITE, Figure, themed
from lesion.runs.folder.atomic_io import write_bytes

_SHEET = b"""#set page(width: auto, height: auto, margin: 0pt)
#set document(date: none)
#image("figure.svg")
"""
"""A page of the picture's size: of the makers of PDF at hand, this one gives the same bytes each time."""


def _spec(figure: Figure) -> bytes:
    return (json.dumps(themed(figure.spec), ensure_ascii=False, sort_keys=True, indent=1) + "\n").encode()


def svg(figure: Figure) -> bytes:
    """The figure as SVG, on paper."""
    return vl_convert.vegalite_to_svg(themed(figure.spec), vl_version=VEGA_LITE).encode()


def _png(figure: Figure) -> bytes:
    return vl_convert.svg_to_png(svg(figure).decode(), scale=PNG_SCALE)


def _pdf(figure: Figure) -> bytes:
    files: Any = {"main.typ": _SHEET, "figure.svg": svg(figure)}  # more than the package's stub knows of
    return compiler.compile(files, format="pdf")


def csv(figure: Figure) -> bytes:
    """The figure's rows, a line each, below their names."""
    return figure.rows.write_csv().encode()


def _parquet(figure: Figure) -> bytes:
    buffer = BytesIO()
    figure.rows.write_parquet(buffer, compression="zstd", statistics=False)
    return buffer.getvalue()


def _sql(figure: Figure) -> bytes:
    return f"{figure.query}\n".encode()


EXPORTS: dict[str, Callable[[Figure], bytes]] = {
    "vl.json": _spec, "svg": svg, "png": _png, "pdf": _pdf, "csv": csv, "parquet": _parquet, "sql": _sql,
}  # fmt: skip
"""Ending -> the file's content; all of them are written with a report."""


def write_figures(folder: Path, drawn: tuple[Figure, ...]) -> dict[str, Path]:
    """Write every figure into `folder/figures`; name with ending -> path.

    Raises:
        DiskError: when the folder cannot be written.
    """
    written: dict[str, Path] = {}
    for figure in drawn:
        for ending, export in EXPORTS.items():
            name = f"{figure.name}.{ending}"
            written[name] = folder / "figures" / name
            write_bytes(written[name], export(figure))
    return written
