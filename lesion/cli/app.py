"""What all commands share: the application, its options, and how results and errors are said.

Importing it must not import torch, polars or scipy, so every command imports the rooms that it needs when it is called.
"""

# ruff: noqa: PLC0415  (help and errors do without numpy and pydantic)

import json
import logging
import os
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from lesion import __version__
from lesion.cli.common import completion
from lesion.cli.common.grouped_help import GroupedHelp
from lesion.device import VARIABLE, require_known, wanted
from lesion.errors import InputError

app = typer.Typer(
    name="lesion",
    cls=GroupedHelp,
    help="A laboratory for causal interventions on transformer language models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
WORKERS = min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 8)
SCREEN = Console(stderr=True, highlight=False, emoji=False)
"""Progress and words for people; standard output belongs to results."""

REPEATED: ContextVar[bool] = ContextVar("repeated", default=False)
"""Whether a recorded command is being repeated: then only the comparison is printed."""

RESULT: ContextVar[dict[str, Any] | None] = ContextVar("result", default=None)
"""What the command said last: the result that is recorded."""

Home = Annotated[
    Path, typer.Option(envvar="LESION_HOME", help="Home folder: holds runs/, logs/, notes/ and the ledger.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
Workers = Annotated[
    int, typer.Option(min=1, max=256, help="Number of worker processes, one thread each. Results do not depend on it.")
]
Memory = Annotated[
    float | None,
    typer.Option(
        min=0.001,
        metavar="GIB",
        help=(
            "Memory limit for all workers' forward passes, without weights and cached clean runs. Batches "
            "that were split are recorded."
        ),
    ),
]
Cluster = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS",
        help="Run on a Ray cluster: `auto` joins this machine's, HOST:PORT joins another, `local` starts one here.",
    ),
]
StudyFile = Annotated[Path, typer.Argument(help="Study file (YAML).", autocompletion=completion.yaml_files)]
RunPath = Annotated[Path, typer.Argument(help="Run folder, or its manifest.json.", autocompletion=completion.runs)]


@app.callback(invoke_without_command=True)
def _root(  # pyright: ignore[reportUnusedFunction]
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Print the log as well.")] = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Print only the answer and errors, no progress.")
    ] = False,
    device: Annotated[
        str | None,
        typer.Option(metavar="cpu|cuda", help="Device that models compute on. CUDA is untested. Or set LESION_DEVICE."),
    ] = None,
    trust_code: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SHA256", help="Allow running the Python file of a custom task with this hash. Or set LESION_TRUST."
        ),
    ] = None,
) -> None:
    for digest in trust_code or ():
        from lesion.tasks.trusted_code import trust

        trust(digest)
    if verbose and quiet:
        raise InputError("-v and -q contradict each other")
    if device is not None:
        os.environ[VARIABLE] = device  # worker processes and fresh environments read it, too
    require_known(wanted())
    listen(logging.INFO if verbose else logging.ERROR if quiet else logging.WARNING)
    SCREEN.quiet = quiet
    if version:
        print(__version__)
        raise typer.Exit(0)


class _Screen(logging.Handler):
    """Shows what is logged on standard error, plain."""

    def emit(self, record: logging.LogRecord) -> None:
        SCREEN.print(f"{record.levelname.lower()}: {record.getMessage()}", markup=False, soft_wrap=True)


_SCREEN_LOG = _Screen()


def listen(level: int) -> None:
    """Show log messages of that level and above on standard error; the files of a run's log keep everything."""
    logger = logging.getLogger("lesion")
    logger.addHandler(_SCREEN_LOG)  # once: a handler that is there already is not added again
    _SCREEN_LOG.setLevel(level)


def verbose() -> bool:
    """Whether the command was called with --verbose."""
    return _SCREEN_LOG.level <= logging.INFO


def out() -> Console:
    """Standard output, for a command's answer; --quiet does not silence it, a command that is repeated does."""
    return Console(highlight=False, emoji=False, quiet=REPEATED.get())  # tiny:llama: is no animal


def say(document: dict[str, Any], as_json: bool, words: str) -> None:
    """A command's result: JSON for programs, or words for people."""
    RESULT.set(document)
    if as_json:
        print(json.dumps(document, ensure_ascii=False))
    elif not (SCREEN.quiet or REPEATED.get()):
        print(words)


def tell(document: dict[str, Any], as_json: bool, show: Callable[[Console, dict[str, Any]], None]) -> None:
    """A command's result: JSON for programs, or what `show` prints for people."""
    RESULT.set(document)
    if as_json:
        print(json.dumps(document, ensure_ascii=False))
    else:
        show(out(), document)


def fail(message: str, code: int, as_json: bool) -> int:
    """An error: JSON on standard output for programs, or a sentence on standard error."""
    if as_json:
        print(json.dumps({"error": message, "exit_code": code}))
    else:
        SCREEN.quiet = False
        SCREEN.print(f"lesion: {message}", style="bold red", markup=False, soft_wrap=True)
    return code
