"""Keeping the record of a command that computes: a folder in runs/, sealed, made whole when the command ends.

    with recording("heads", parameters, home) as call:
        call.result = …                    what `--json` prints
        call.wrote(path)                   a file that it wrote elsewhere

A command that is refused leaves nothing; one that fails after it told its log something leaves its log.
"""

import json
import resource
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from lesion.device import wanted
from lesion.identity import content_hash, file_hash
from lesion.models.provenance import Seen, seen
from lesion.runs.execute.logs import LOGGER, CallLog, call_log
from lesion.runs.folder.atomic_io import whole_folder, write_text
from lesion.runs.folder.clock import iso, now, stamp
from lesion.runs.folder.run_folder import RunFolder
from lesion.runs.index.ledger import enter
from lesion.runs.manifest.base import Code, Cost, DatasetFacts, ModelFacts
from lesion.runs.manifest.command import Call, GivenFile, Repeat, read_given
from lesion.runs.manifest.command_results import Result, comparable, grade
from lesion.runs.manifest.environment import read_code, read_environment
from lesion.runs.manifest.redact import scrub, scrubbed


class Recording:
    """A command while it runs."""

    def __init__(self) -> None:
        self.result: Result | None = None
        """What `--json` prints; a command that says nothing leaves no record."""
        self.exit_code = 0
        self.outputs: dict[str, str] = {}
        self.folder: Path | None = None
        """Where the record is, once it is sealed."""
        self.sealed: Call | None = None
        """The record itself."""

    def wrote(self, path: Path) -> None:
        """Say that a file was written outside the record's folder."""
        self.outputs[path.name] = file_hash(path)


class _Start(NamedTuple):
    """What is known when a command begins."""

    command: str
    parameters: Mapping[str, Any]
    inputs: dict[str, GivenFile]
    moment: datetime
    clock: float
    cpu: float
    code: Code


@contextmanager
def recording(
    command: str, parameters: Mapping[str, Any], home: Path, repeats: Repeat | None = None
) -> Generator[Recording]:
    """Keep the record of what is done inside.

    Args:
        command: its words, `heads` or `tasks export`.
        parameters: every parameter with its value; paths among them that exist are taken for what was given.
        home: where runs/, logs/ and the ledger are.
        repeats: the call that this one repeats.

    Raises:
        DiskError: when the record cannot be written.
    """
    begin = _begin(command, parameters, repeats)
    digest = content_hash([command, begin.parameters, begin.code.source_hash])[:6]
    name = f"{command.replace(' ', '-')}_{digest}{'_replay' if repeats else ''}"
    call = Recording()
    with call_log(home, stamp(begin.moment), name) as log, seen() as facts:
        LOGGER.info("lesion %s begins: %s", command, json.dumps(begin.parameters))
        try:
            yield call
        except BaseException as error:
            if log.files:
                LOGGER.info("lesion %s ended: %s: %s", command, type(error).__name__, error)
            raise
        if call.result is not None:
            LOGGER.info("lesion %s ended with code %d", command, call.exit_code)
            _keep(home, name, begin, call, facts, log, repeats)


def _begin(command: str, parameters: Mapping[str, Any], repeats: Repeat | None) -> _Start:
    cpu, paths = _cpu(), {name: value for name, value in parameters.items() if isinstance(value, Path)}
    inputs = {name: read_given(path) for name, path in paths.items() if path.exists()}
    plain = {name: scrub(_plain(value)) for name, value in parameters.items()}
    if repeats is not None:
        plain, inputs = repeats.call.parameters, repeats.call.inputs
    return _Start(command, plain, inputs, now(), time.monotonic(), cpu, read_code())


def _plain(value: Any) -> Any:
    """A parameter as JSON."""
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]  # pyright: ignore
    return str(value) if isinstance(value, Path) else value


def _cpu() -> float:
    """Processor seconds of this process and of those that it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _keep(
    home: Path, name: str, begin: _Start, call: Recording, facts: Seen, log: CallLog, repeats: Repeat | None
) -> None:
    """Write the folder, sealed, and enter it into the ledger."""
    result = scrub(call.result)
    draft = _draft(home, begin, call, facts, log, result, repeats)

    def fill(folder: Path, final: str) -> None:
        write_text(folder / "result.json", json.dumps(result, ensure_ascii=False) + "\n")
        write_text(folder / "README.md", _readme(draft, final))
        made = draft.model_copy(update={"run": final, "files": dict(RunFolder(folder).files())})
        call.sealed = made.sealed()
        write_text(folder / "manifest.json", call.sealed.model_dump_json(indent=1) + "\n")

    call.folder = whole_folder(home / "runs", f"{stamp(begin.moment)}_{name}", fill)
    if call.sealed is not None:
        enter(home, call.sealed)


def _draft(
    home: Path, begin: _Start, call: Recording, facts: Seen, log: CallLog, result: Result, repeats: Repeat | None
) -> Call:
    ended = now()
    threads = _threads()
    numbers = {name: value for name, value in begin.parameters.items() if name == "seed" and type(value) is int}
    return Call(
        command=begin.command,
        run="",
        parameters=dict(begin.parameters),
        status="exploratory",
        outcome="failed" if call.exit_code else "complete",
        code=begin.code,
        environment=read_environment(1, threads, {"threads": str(threads), **_fixed()}, device=_device()),
        models=tuple(
            ModelFacts.model_validate({**each._asdict(), "name": scrubbed(each.name), "answer": {}})
            for each in facts.models
        ),
        datasets=tuple(
            DatasetFacts(
                model=scrubbed(each.model),
                tier=scrubbed(each.task),
                split="discovery",
                seed=each.seed,
                items=each.items,
                excluded=each.excluded,
                dataset_hash=each.dataset_hash,
            )
            for each in facts.asked
        ),
        seeds=numbers,
        cost=Cost(
            started=iso(begin.moment),
            ended=iso(ended),
            wall_seconds=time.monotonic() - begin.clock,
            cpu_seconds=max(0.0, _cpu() - begin.cpu),
            gpu_seconds=0.0,
        ),
        replay_of=repeats.call.seal if repeats else None,
        match=grade(begin.command, repeats.call.result_hash, repeats.result, result) if repeats else None,
        files={},
        exit_code=call.exit_code,
        inputs=begin.inputs,
        outputs=call.outputs,
        result_hash=content_hash(comparable(begin.command, result)),
        log=log.path.relative_to(home).as_posix(),
    )


def _threads() -> int:
    """Threads that torch uses, where it was needed."""
    torch = sys.modules.get("torch")
    return int(torch.get_num_threads()) if torch is not None else 1


def _device() -> str:
    """Where models computed, where torch was needed."""
    if wanted() == "cpu" or "torch" not in sys.modules:
        return "cpu"
    from lesion.models.device import described  # noqa: PLC0415  (a record of the processor's must not wait for torch)

    return described()


def _fixed() -> dict[str, str]:
    """What fixed the numerics on a device; on the processor a command leaves torch's defaults."""
    if _device() == "cpu":
        return {}
    from lesion.models.device import determinism  # noqa: PLC0415  (torch is loaded: it has settled on the device)

    return determinism()


def _readme(call: Call, run: str) -> str:
    """What was done, where things are, and how to repeat it."""
    lines = "\n".join(f"    {name}: {json.dumps(value, ensure_ascii=False)}" for name, value in call.parameters.items())
    return (
        f"# lesion {call.command}\n\n"
        f"Begun {call.cost.started}, took {call.cost.wall_seconds:.1f} s, ended with code {call.exit_code}. "
        "Exploratory: nothing was registered before these numbers.\n\n"
        f"Parameters, with every default:\n\n{lines}\n\n"
        "- `result.json`: what the command prints with `--json`\n"
        "- `manifest.json`: parameters, code, environment, models, questions, hashes, and a seal over all of it\n\n"
        f"```\nlesion show runs/{run}\nlesion verify runs/{run}\nlesion replay runs/{run}\n```\n"
    )
