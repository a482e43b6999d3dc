"""The command that begins a study from a shipped one: new."""

# ruff: noqa: PLC0415  (commands import what they need)

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from lesion.cli.app import Json, app, say, tell
from lesion.cli.common import completion
from lesion.errors import InputError


@app.command()
def new(
    study: Annotated[
        str, typer.Argument(help="Shipped study to copy. Without it, list them.", autocompletion=completion.shipped)
    ] = "",
    to: Annotated[
        Path | None,
        typer.Option("--out", help="File to write; it also names the study. Default: STUDY.yaml. It must not exist."),
    ] = None,
    as_json: Json = False,
) -> int:
    """Copy a shipped study as a start for your own, or list the shipped studies."""
    if not study:
        if to is not None:
            raise InputError(f"--out {to}: say which study is to be copied; 'lesion new' lists them")
        tell({"studies": _overview()}, as_json, _listed)
        return 0
    from lesion.study.format.load import parse_document
    from lesion.study.format.shipped import starter
    from lesion.study.study import Study

    path = to or Path(f"{study}.yaml")
    text = starter(study, path.stem)
    name = parse_document(text, str(path), Study).name
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise InputError(f"{path} is there already and is left as it is; name another file: --out FILE") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{path}: there is no folder {path.parent}; make it first") from error
    following = f"lesion plan {path}; lesion run {path} --dry-run; lesion run {path}"
    words = f"{path}: a copy of {study}. Change it, then: {following}"
    say({"file": str(path), "name": name, "from": study}, as_json, words)
    return 0


def _overview() -> list[dict[str, Any]]:
    """Name, models and question of every shipped study."""
    from lesion.study.format.load import parse_document
    from lesion.study.format.shipped import shipped, shipped_text
    from lesion.study.study import Study

    studies = {name: parse_document(shipped_text(name), f"{name}.yaml", Study) for name in shipped()}
    return [
        {"name": name, "models": list(study.subjects), "question": study.question} for name, study in studies.items()
    ]


def _listed(console: Console, document: dict[str, Any]) -> None:
    """Every study in a few lines, and how one is copied."""
    for study in document["studies"]:
        console.print(f"{study['name']}: {', '.join(study['models'])}", markup=False, soft_wrap=True)
        console.print(f"    {study['question']}", markup=False, soft_wrap=True)
    console.print("lesion new arithmetic --out mine.yaml writes a copy of one, to be changed", markup=False)
