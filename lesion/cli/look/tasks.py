"""Commands about tasks: tasks, tasks show and tasks export."""

# ruff: noqa: PLC0415  (commands import what they need)

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lesion.cli.app import Json, app, out, say
from lesion.cli.common import completion
from lesion.cli.common.recorded import recorded, wrote

Spelled = Annotated[
    list[str],
    typer.Argument(help="Task and settings, such as arithmetic high=999 shots=1.", autocompletion=completion.tasks),
]

_AT_ONCE = 1000
"""Items that an export holds at most when no number is given."""

tasks = typer.Typer(help="List the tasks, show one's card, or export its items.", rich_markup_mode=None)
app.add_typer(tasks, name="tasks")


@tasks.callback(invoke_without_command=True)
def _listed(context: typer.Context, as_json: Json = False) -> int:  # pyright: ignore[reportUnusedFunction]
    if context.invoked_subcommand is not None:
        return 0
    from lesion.report.terminal.tasks import print_tasks
    from lesion.tasks.catalogue import overview

    document: dict[str, Any] = {"tasks": [entry._asdict() for entry in overview()]}
    if as_json:
        say(document, as_json, "")
    else:
        print_tasks(out(), document)
    return 0


@tasks.command()
def show(
    name: Spelled,
    examples: Annotated[int, typer.Option(min=0, max=1000, help="Number of example items.")] = 3,
    as_json: Json = False,
) -> int:
    """Describe a task: settings, number of items, buckets and examples."""
    from lesion.tasks.card import describe, document, render
    from lesion.tasks.spelling import parse_task

    card = describe(parse_task(" ".join(name)), " ".join(name), examples)
    say(document(card) if as_json else {}, as_json, render(card).rstrip("\n"))
    return 0


@tasks.command()
@recorded("tasks export", outputs=("to",))
def export(
    name: Spelled,
    to: Annotated[Path, typer.Option("--out", help="Folder to write NAME.jsonl and croissant.json to.")],
    items: Annotated[
        int | None,
        typer.Option(min=1, max=10**9, help="Number of items, from the first on. Default: all, at most 1,000."),
    ] = None,
    split: Annotated[
        Literal["discovery", "confirm"], typer.Option(help="Split of the item pool: discovery or confirm.")
    ] = "discovery",
    seed: Annotated[int, typer.Option(min=0, max=999, help="Seed whose items are written.")] = 0,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Number of seeds that share the split.")] = 3,
    key: Annotated[str, typer.Option(help="Key that orders the split. A run's key is in its manifest.")] = "export",
    licence: Annotated[str, typer.Option(help="Licence URL. Default: MIT, except for custom tasks.")] = "",
    as_json: Json = False,
) -> int:
    """Write a task's items as JSONL with Croissant metadata."""
    from lesion.errors import InputError
    from lesion.tasks.catalogue import make_task
    from lesion.tasks.croissant import export as write
    from lesion.tasks.spelling import parse_task
    from lesion.tasks.task import Draw

    if seed >= seeds:
        raise InputError(f"--seed {seed}: there are {seeds} seeds, 0 … {seeds - 1}; raise --seeds")
    config, lane = parse_task(" ".join(name)), Draw(split, key, seed, seeds)
    count = items or min(_AT_ONCE, make_task(config).capacity(lane))
    written = write(config, config.task, lane, count, to, licence or None)
    wrote(written.items)
    wrote(written.metadata)
    document = {**written._asdict(), "items": str(written.items), "metadata": str(written.metadata)}
    say(document, as_json, f"{written.items}: {written.rows:,} items\n{written.metadata}: Croissant metadata")
    return 0
