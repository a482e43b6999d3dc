"""Commands that begin a study: demo runs a shipped one, new copies one, init asks four questions and writes one."""

# ruff: noqa: PLC0415  (commands import what they need)

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from lesion.cli.app import SCREEN, WORKERS, Home, Json, Workers, app, say, tell
from lesion.cli.common import completion
from lesion.errors import InputError


@app.command()
def new(
    study: Annotated[
        str,
        typer.Argument(
            help="Shipped study, example or recipe to copy. Without it, list them.", autocompletion=completion.shipped
        ),
    ] = "",
    to: Annotated[
        Path | None,
        typer.Option("--out", help="File to write; it also names the study. Default: STUDY.yaml. It must not exist."),
    ] = None,
    as_json: Json = False,
) -> int:
    """Copy a shipped study, example or recipe as a start for your own, or list them."""
    if not study:
        if to is not None:
            raise InputError(f"--out {to}: say which study is to be copied; 'lesion new' lists them")
        from lesion.study.format.shipped import shipped_files

        tell({"studies": _overview(), "files": [*shipped_files()]}, as_json, _listed)
        return 0
    from lesion.study.format.load import parse_document
    from lesion.study.format.shipped import shipped_files, starter
    from lesion.study.study import Study

    if (example := shipped_files().get(study)) is not None:
        path = to or Path(study)
        _written(path, example.read_bytes())
        say({"file": str(path), "from": study}, as_json, f"{path}: a copy of the shipped {example.parent.name}/{study}")
        return 0
    path = to or Path(f"{study}.yaml")
    text = starter(study, path.stem)
    name = parse_document(text, str(path), Study).name
    _written(path, text.encode())
    following = f"lesion plan {path}; lesion run {path} --dry-run; lesion run {path}"
    words = f"{path}: a copy of {study}. Change it, then: {following}"
    say({"file": str(path), "name": name, "from": study}, as_json, words)
    return 0


def _written(path: Path, content: bytes) -> None:
    """Write a new file.

    Raises:
        InputError: when it is there already, or its folder is not.
    """
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError as error:
        raise InputError(f"{path} is there already and is left as it is; name another file: --out FILE") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{path}: there is no folder {path.parent}; make it first") from error


@app.command()
def demo(home: Home = Path(), workers: Workers = WORKERS, as_json: Json = False) -> int:
    """Run the shipped study `first` on an embedded model, offline, from plan to report."""
    from lesion.cli.studies.run import run
    from lesion.study.format.shipped import FOLDER

    return run(FOLDER / "first.yaml", home=home, workers=workers, as_json=as_json)


@app.command()
def init(
    file: Annotated[
        Path | None, typer.Argument(help="Study file to write. Default: study.yaml. It must not exist.")
    ] = None,
    to: Annotated[Path | None, typer.Option("--out", help="The same as FILE.")] = None,
    model: Annotated[str | None, typer.Option(help="Model; without it, asked for.")] = None,
    task: Annotated[str | None, typer.Option(help="Task, or a file of prompts; without it, asked for.")] = None,
    edit: Annotated[str | None, typer.Option(help="What to edit; without it, asked for.")] = None,
    minutes: Annotated[float | None, typer.Option(min=1, help="How long it may take; without it, asked for.")] = None,
    outcome: Annotated[
        Literal["accuracy", "answer_logprob"] | None,
        typer.Option(help="What is judged; without it, 32 discovery items of each task are asked of the model."),
    ] = None,
    home: Home = Path(),
    as_json: Json = False,
) -> int:
    """Ask four questions and write a commented study that fits the time."""
    from lesion.progress import shown_by
    from lesion.report.terminal.progress import display_on
    from lesion.runs.draft.answers import TARGETS, Wanted, require_target, task_of
    from lesion.runs.draft.draft import drafted

    out_file = _wanted_file(file, to)
    if model is None:
        model = str(typer.prompt("Model (zoo:abacus-llama, pretrained:NAME, a folder)", default="zoo:abacus-llama"))
    if task is None:
        task = str(typer.prompt("Task (arithmetic, symbolic, ioi, …; or a file: prompts.csv)", default="arithmetic"))
    task_of(task)
    if edit is None:
        edit = str(
            typer.prompt(f"What to edit ({', '.join(TARGETS)}, or sites such as L5H1,L6H0)", default="induction")
        )
    require_target(edit)
    if minutes is None:
        minutes = float(typer.prompt("Minutes that it may take", default=30.0, type=float))
    wanted = Wanted(out_file.stem, model, task, edit, minutes, WORKERS)
    if outcome is None:
        SCREEN.print(f"{model} answers some items unedited; where it is new on this machine, it is proved first.")
    with shown_by(display_on(SCREEN)):
        text, notes = drafted(wanted, home, outcome)
    _written(out_file, text.encode())
    words = "\n".join([*notes, f"{out_file}: read it, then: lesion plan {out_file}; lesion run {out_file}"])
    say({"file": str(out_file), "notes": notes}, as_json, words)
    return 0


def _wanted_file(file: Path | None, to: Path | None) -> Path:
    """The file that `lesion init` writes.

    Raises:
        InputError: when two are named, it is there already, or its folder is not.
    """
    if file is not None and to is not None and file != to:
        raise InputError(f"two files are named, {file} and --out {to}; name one")
    path = file or to or Path("study.yaml")
    if path.exists() or path.is_symlink():
        raise InputError(f"{path} is there already and is left as it is; name another file: lesion init FILE")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}; make it first")
    return path


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
    console.print(f"Examples and recipes: {', '.join(document['files'])}", markup=False, soft_wrap=True)
    console.print("lesion new arithmetic --out mine.yaml writes a copy of one, to be changed", markup=False)
