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
    typer.Argument(help="A task and its settings: arithmetic high=999 shots=1.", autocompletion=completion.tasks),
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
    examples: Annotated[int, typer.Option(min=0, max=1000, help="How many items are shown.")] = 3,
    as_json: Json = False,
) -> int:
    """Print a task's card: settings, problems, items that a seed holds, buckets and examples."""
    from lesion.tasks.card import describe, document, render
    from lesion.tasks.parse import parse_task

    card = describe(parse_task(" ".join(name)), " ".join(name), examples)
    say(document(card) if as_json else {}, as_json, render(card).rstrip("\n"))
    return 0


@tasks.command()
@recorded("tasks export", outputs=("to",))
def export(
    name: Spelled,
    to: Annotated[Path, typer.Option("--out", help="Folder for NAME.jsonl and croissant.json.")],
    items: Annotated[
        int | None, typer.Option(min=1, max=10**9, help="How many, from the first on; all by default, at most 1000.")
    ] = None,
    split: Annotated[Literal["discovery", "confirm"], typer.Option(help="From which part of the pool.")] = "discovery",
    seed: Annotated[int, typer.Option(min=0, max=999, help="The seed whose items they are.")] = 0,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="How many seeds share the part.")] = 3,
    key: Annotated[str, typer.Option(help="Orders the part; a run's is in its manifest.")] = "export",
    licence: Annotated[str, typer.Option(help="Address of the items' licence; MIT but for a task of your own.")] = "",
    as_json: Json = False,
) -> int:
    """Write a task's items, one JSON object a line, and their Croissant metadata beside them."""
    from lesion.errors import InputError
    from lesion.tasks.catalogue import make_task
    from lesion.tasks.croissant import export as write
    from lesion.tasks.parse import parse_task
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
