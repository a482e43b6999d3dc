"""What all commands share: the application, its options, and how results and errors are said.

Importing it must not import torch, polars or scipy, so every command imports the rooms that it needs when it is called.
"""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from lesion import __version__

app = typer.Typer(
    name="lesion",
    help="A laboratory for causal interventions on transformer language models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
WORKERS = min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 8)
SCREEN = Console(stderr=True, highlight=False)
"""Progress and words for people; standard output belongs to results."""

Home = Annotated[Path, typer.Option(help="Where runs/, logs/ and notes/ are.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, nothing else there.")]
Workers = Annotated[
    int, typer.Option(min=1, max=256, help="Worker processes, one thread each; rows do not depend on it.")
]
Memory = Annotated[
    float | None,
    typer.Option(
        min=0.001,
        metavar="GIB",
        help="What the passes of all workers may take beside weights and clean runs; smaller passes are recorded.",
    ),
]
StudyFile = Annotated[Path, typer.Argument(help="The study, a YAML file.")]
RunPath = Annotated[Path, typer.Argument(help="A run folder, or its manifest.json.")]


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:  # pyright: ignore[reportUnusedFunction]
    if version:
        print(__version__)
        raise typer.Exit(0)


def out() -> Console:
    """Standard output, for words and tables."""
    return Console(highlight=False)


def say(document: dict[str, Any], as_json: bool, words: str) -> None:
    """A command's result: JSON for programs, or words for people."""
    print(json.dumps(document, ensure_ascii=False) if as_json else words)


def fail(message: str, code: int, as_json: bool) -> int:
    """An error: JSON on standard output for programs, or a sentence on standard error."""
    if as_json:
        print(json.dumps({"error": message, "exit_code": code}))
    else:
        SCREEN.print(f"lesion: {message}", style="bold red", markup=False, soft_wrap=True)
    return code
