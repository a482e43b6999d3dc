"""The command line. Every command takes `--json`: one document on standard output. Codes: docs/exit-codes.md."""

# ruff: noqa: PLC0415  (help and errors do without numpy and pydantic)

import os
import sys
from itertools import islice
from pathlib import Path

import typer
from typer.exceptions import TyperException

from lesion.cli.app import app, fail
from lesion.cli.common.interrupts import second_interrupt_ends
from lesion.cli.look import circuits, diagnostics, edges, edits, evaluations, names, tasks
from lesion.cli.models import bench, get, train
from lesion.cli.publish import papers, reports
from lesion.cli.records import ledger, show, verify, view
from lesion.cli.studies import new, plan, run, statistics
from lesion.device import DEVICES, WORDS, refused
from lesion.errors import INTERRUPTED_EXIT_CODE, InputError, LesionError

COMMANDS = (
    run, plan, new, statistics, diagnostics, edits, edges, circuits, evaluations, names, tasks, ledger, show, verify,
    view, papers, reports, bench, get, train,
)  # fmt: skip
"""The modules whose import adds commands to the application."""
RESUMED = frozenset({"get", "run", "replay", "train"})
"""Commands that keep what they finished."""


def main(arguments: list[str] | None = None) -> None:
    """Parse arguments, run the command, and end with its exit code; an error is one clear sentence.

    `-v`, `-q` and `--device` may stand anywhere.
    """
    wanted = sys.argv[1:] if arguments is None else arguments
    as_json = "--json" in wanted
    try:
        _trust_typed(wanted)
        with second_interrupt_ends():
            code = app(_common_first(wanted), standalone_mode=False, prog_name="lesion")
        if code == INTERRUPTED_EXIT_CODE:  # what typer makes of Ctrl-C, without a word
            raise KeyboardInterrupt
    except LesionError as error:
        code = fail(str(error), error.exit_code, as_json)
    except (KeyboardInterrupt, typer.Abort):
        code = fail(_interrupted(wanted), INTERRUPTED_EXIT_CODE, as_json)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = 0
    except OSError as error:
        said = f"{error.filename or 'a file'}: {error.strerror or error}; finished units of a run are kept"
        code = fail(said, LesionError.exit_code, as_json)
    except TyperException as error:
        said = getattr(error, "format_message", error.__str__)()
        option = str(getattr(error, "option_name", ""))
        if option != "--device" and option.removeprefix("--").replace("-", "_") in WORDS:
            said = refused(option)
        asked = getattr(getattr(error, "ctx", None), "command_path", "lesion")
        if type(error).__name__ == "NoArgsIsHelpError":  # the help itself, and nothing else
            said = f"name a command\n\n{said}"
        else:
            said = f"{said}; see '{asked} --help'"
        code = fail(said, InputError.exit_code, as_json)
    sys.exit(code or 0)


def _interrupted(words: list[str]) -> str:
    """What a command that was stopped by Ctrl-C leaves behind."""
    if RESUMED.isdisjoint(words):
        return "interrupted: nothing was written"
    return "interrupted; the same command goes on where it stopped"


_NAMED = {"--device": f"a name: {', '.join(DEVICES)}", "--trust-code": "the SHA-256 of a Python file"}
"""Options of every command that take a value, and which."""


def _trust_typed(words: list[str]) -> None:
    """Trust the Python files of own tasks that the user has typed: `own file=examples/own_task.py`."""
    typed = " ".join(words).split()
    if "own" not in typed:
        return
    from lesion.identity import file_hash
    from lesion.tasks.trusted_code import trust

    for word in typed:
        path = Path(word.removeprefix("file="))
        if word.startswith("file=") and path.suffix == ".py" and path.is_file():
            trust(file_hash(path))


def _common_first(words: list[str]) -> list[str]:
    """The words of a command line with the options that belong to every command in front.

    >>> _common_first(["run", "my.yaml", "--device", "cuda", "-q"])
    ['--device', 'cuda', '-q', 'run', 'my.yaml']
    """
    common: list[str] = []
    others: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in _NAMED:
            if not (name := list(islice(rest, 1))):
                raise InputError(f"{word} needs {_NAMED[word]}")
            common += [word, *name]
        elif word in ("-v", "-q") or word.startswith(tuple(f"{name}=" for name in _NAMED)):
            common.append(word)
        else:
            others.append(word)
    return common + others
