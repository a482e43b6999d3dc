"""One line for every command that computes: `@recorded("heads")` below `@app.command()` keeps its record.

The command says its result through `say` or `tell`; parameters with every default come from its signature, and an
option --home is added where it has none. A replay of such a record gives the same parameters to the same command again;
the files that it would write go to a folder of the replay's own, whatever the manifest says.
"""

# ruff: noqa: PLC0415  (commands import what they need)

import functools
import inspect
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from lesion.cli.app import REPEATED, RESULT, SCREEN, Home, app, say
from lesion.errors import InputError, NotReproduced, Tampered, nearest
from lesion.progress import shown_by
from lesion.report.terminal.progress import display_on

if TYPE_CHECKING:
    from lesion.runs.manifest.command import Repeat
    from lesion.runs.manifest.recording import Recording

OWN_BARS = ("train",)
"""Commands that show their progress themselves."""
UNRECORDED = ("home", "as_json")
"""Where the record goes and how the result is said: no part of what was computed."""


class Outputs(NamedTuple):
    """Parameters that name files or folders to be written."""

    names: tuple[str, ...]
    always: bool
    """Whether the command writes there when the parameter is not given."""
    code: tuple[str, ...] = ()
    """Parameters that name a folder whose files can run code."""


OUTPUTS: dict[str, Outputs] = {}
"""Every recorded command -> what it writes; filled by the decorator."""
_REPEAT: "ContextVar[Repeat | None]" = ContextVar("repeat", default=None)
_CALL: "ContextVar[Recording | None]" = ContextVar("call", default=None)
_LAST: "ContextVar[Recording | None]" = ContextVar("last", default=None)

Command = Callable[..., int]


def recorded(
    command: str, *, outputs: tuple[str, ...] = (), always: bool = False, code: tuple[str, ...] = ()
) -> Callable[[Command], Command]:
    """Keep the record of a command, in runs/, logs/ and the ledger.

    Args:
        command: its words on the command line.
        outputs: parameters that name what it writes.
        always: whether it writes there when they are not given.
        code: parameters that name a folder whose files can run code; a replay asks the user to name its hash.
    """
    OUTPUTS[command] = Outputs(outputs, always, code)

    def around(function: Command) -> Command:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def kept(**given: Any) -> int:
            return _run(command, function, given, "home" in signature.parameters)

        if "home" not in signature.parameters:
            home = inspect.Parameter("home", inspect.Parameter.KEYWORD_ONLY, default=Path(), annotation=Home)
            kept.__signature__ = signature.replace(parameters=[*signature.parameters.values(), home])  # pyright: ignore
            kept.__annotations__ = {**function.__annotations__, "home": Home}
        return kept

    return around


def _run(command: str, function: Command, arguments: dict[str, Any], wants_home: bool) -> int:
    from lesion.runs.manifest.recording import recording

    home: Path = arguments["home"]
    parameters = {name: value for name, value in arguments.items() if name not in UNRECORDED}
    mine = arguments if wants_home else {name: value for name, value in arguments.items() if name != "home"}
    with recording(command, parameters, home, _REPEAT.get()) as call:
        result, current = RESULT.set(None), _CALL.set(call)
        try:
            with shown_by(None if command in OWN_BARS else display_on(SCREEN)):
                call.exit_code = function(**mine)
            call.result = RESULT.get()
        finally:
            RESULT.reset(result)
            _CALL.reset(current)
    _LAST.set(call)
    if call.folder is not None and _REPEAT.get() is None:
        SCREEN.print(f"recorded in {call.folder}", style="dim", markup=False, soft_wrap=True)
    return call.exit_code


def wrote(path: Path) -> None:
    """Say that the command wrote a file: its hash becomes part of the record."""
    if (call := _CALL.get()) is not None:
        call.wrote(path)


def replay_call(path: Path, home: Path, as_json: bool) -> int:
    """Repeat a recorded command and compare its result.

    Raises:
        InputError: when the record cannot be read, names a command or a file that there is not, or a folder with code
            whose hash the user has not named.
        Tampered: when the record, or what the command was given, is not what it was.
    """
    from lesion.runs.index.ledger import check_seal
    from lesion.runs.manifest.command import read_repeat

    repeat = read_repeat(path)
    check_seal(home, repeat.call)
    with tempfile.TemporaryDirectory(prefix="lesion-replay-") as place:
        command = _command(repeat.call.command)
        arguments = _arguments(command, _placed(repeat, Path(place)))
        quiet, token, silent = SCREEN.quiet, _REPEAT.set(repeat), REPEATED.set(True)
        SCREEN.quiet = True
        try:
            command.main([f"--home={home.resolve()}", *arguments], standalone_mode=False)
        finally:
            SCREEN.quiet = quiet
            _REPEAT.reset(token)
            REPEATED.reset(silent)
    made = _LAST.get()
    if made is None or made.sealed is None or made.folder is None:
        raise InputError(f"{repeat.call.run}: lesion {repeat.call.command} leaves no record")
    return _told(repeat, made, home / "runs" / made.folder.name, as_json)


def _told(repeat: "Repeat", made: "Recording", folder: Path, as_json: bool) -> int:
    from lesion.runs.manifest.base import REPRODUCED
    from lesion.runs.manifest.command import read_result
    from lesion.runs.manifest.command_results import differences

    again = made.sealed
    assert again is not None
    result = read_result(folder / "result.json")
    others = differences(again.command, repeat.result, result) if repeat.result is not None else []
    others += [name for name, digest in repeat.call.outputs.items() if again.outputs.get(name) != digest]
    document = {"run": str(folder), "command": again.command, "match": again.match, "differences": others}
    words = f"{folder} repeats {repeat.call.run}: {again.match}"
    shown = [f"differs: {name}" for name in others[:10]] + (
        [f"and {len(others) - 10} more"] if len(others) > 10 else []
    )
    say(document, as_json, "\n".join([words, *shown]))
    return 0 if again.match in REPRODUCED else NotReproduced.exit_code


def _command(words: str) -> Any:
    """The command of this program that these words name."""
    if words not in OUTPUTS:
        raise InputError(f"'{words[:60]}' is no recorded command of this version; {nearest(words, OUTPUTS)}")
    command: Any = typer.main.get_command(app)
    for word in words.split(" "):
        command = command.commands[word]
    return command


def _placed(repeat: "Repeat", place: Path) -> dict[str, Any]:
    """The parameters, with what was given at hand again, and with what is written put into a folder of its own."""
    call, outputs = repeat.call, OUTPUTS[repeat.call.command]
    placed = dict(call.parameters)
    for name in outputs.names:
        if placed.get(name) is not None or outputs.always:
            last = Path(str(placed.get(name) or "out")).name
            placed[name] = str(place / "written" / (last or "out"))
    if outputs.names:
        (place / "written").mkdir()
    for name in call.inputs.keys() - {*outputs.names}:
        placed[name] = _given(repeat, name, place)
    from lesion.tasks.trusted_code import require_trusted_folder

    for name in outputs.code:
        if placed.get(name) is not None:
            require_trusted_folder(Path(_path(str(placed[name]))), call.run)
    return placed


def _given(repeat: "Repeat", name: str, place: Path) -> str:
    """Where a file that was given is: the text in the manifest, or the path again if it holds the same."""
    from lesion.runs.manifest.command import read_given

    file = repeat.call.inputs[name]
    if file.text is not None:
        path = place / "given" / (Path(file.name).name or "file")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(file.text.encode())
    else:
        path = Path(str(repeat.call.parameters.get(name))).expanduser()
    if not path.exists():
        raise InputError(f"{repeat.call.run}: {name}: {path} is not there, and the manifest does not hold it")
    read = read_given(path)
    if (read.sha256, read.seal) != (file.sha256, file.seal):
        raise Tampered(f"{repeat.call.run}: {name}: {path.name} is not what the command was given")
    return str(path)


def _arguments(command: Any, parameters: Mapping[str, Any]) -> list[str]:
    """Parameters as a command line; whatever they hold goes through the command's own parsing again."""
    known = {str(each.name): each for each in command.params}
    if unknown := sorted(parameters.keys() - known.keys()):
        raise InputError(f"lesion {command.name} has no parameter '{unknown[0][:60]}'; {nearest(unknown[0], known)}")
    options: list[str] = []
    words: list[str] = []
    for name, value in parameters.items():
        each = known[name]
        if each.param_type_name == "option":
            options += _option(each, value)
        else:
            words += [_path(str(item)) for item in _listed(value)]
    return [*options, "--", *words] if words else options


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]  # pyright: ignore


def _option(option: Any, value: Any) -> Iterator[str]:
    """One option as words of a command line."""
    word = next(each for each in option.opts if each.startswith("--"))
    if option.is_flag:
        yield from [word] if value is True else []
    elif value is not None:
        for item in _listed(value):
            yield f"{word}={_path(str(item))}"


def _path(text: str) -> str:
    """A path below the home folder is recorded with ~, and found again in the home folder of whoever repeats it."""
    return str(Path(text).expanduser()) if text.startswith("~/") else text
