"""The catalogue of faults: a cheap subset is put in and caught, soundness is no fault, the page is whole."""

import importlib
import importlib.util
import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

import lesion
from tests.faults.catalogue import FAULTS
from tests.faults.fault import Fault


def test_no_two_faults_have_one_name() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 40


def place(where: str) -> object:
    """What a dotted name below `lesion` points to."""
    parts = ["lesion", *where.split(".")]
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        if find_spec_of(name):
            found: object = importlib.import_module(name)
            for attribute in parts[length:]:
                found = getattr(found, attribute)
            return found
    raise AttributeError(where)


def find_spec_of(name: str) -> bool:
    """Whether a module of that name is there; a name below a module that is no package is none."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


ROOMS = {path.name for path in Path(lesion.__file__).parent.iterdir() if path.is_dir()}
DOTTED = [
    fault
    for fault in FAULTS
    if fault.battery in ("model", "run") and "." in fault.where and fault.where.split(".")[0] in ROOMS
]
"""Faults whose place is a dotted name; others name a file, or a part of a type."""


DOTTED_CALLS = [fault for fault in DOTTED if callable(place(fault.where)) and not isinstance(place(fault.where), type)]


@pytest.mark.parametrize("fault", DOTTED, ids=lambda fault: fault.where)
def test_a_fault_names_a_place_that_is_there(fault: Fault) -> None:
    place(fault.where)


@pytest.mark.parametrize("fault", DOTTED_CALLS, ids=lambda fault: fault.where)
def test_a_fault_takes_the_arguments_of_what_it_replaces(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it ends in a traceback, and nothing was tried."""
    given = inspect.signature(cast("Callable[..., object]", place(fault.where))).parameters.values()
    named = {each.name: None for each in given if each.kind is each.KEYWORD_ONLY}
    others = [None for each in given if each.kind is each.POSITIONAL_OR_KEYWORD]
    with monkeypatch.context() as patch:
        fault.put(patch)  # pyright: ignore[reportArgumentType]
        inspect.signature(cast("Callable[..., object]", place(fault.where))).bind(*others, **named)


@pytest.mark.parametrize("fault", [f for f in FAULTS if f.battery in ("model", "run")], ids=lambda fault: fault.name)
def test_a_fault_finds_what_it_replaces(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        fault.put(patch)  # pyright: ignore[reportArgumentType]


def asked(repository: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, without the shape checks that tests install."""
    command = [sys.executable, "-m", "tests.faults", *options]
    return subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)


def test_every_cheap_fault_is_caught_and_soundness_raises_no_alarm(repository: Path) -> None:
    done = asked(repository, "--quick")
    cheap = sum(fault.cheap for fault in FAULTS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-2:] == ["0 false alarms without a fault", f"{cheap} of {cheap} faults caught"]


@pytest.mark.slow
def test_every_fault_is_caught(repository: Path) -> None:
    done = asked(repository, "--no-page")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == f"{len(FAULTS)} of {len(FAULTS)} faults caught"


def test_a_fault_that_nothing_catches_fails_the_command(repository: Path) -> None:
    code = (
        "import sys; from tests.faults import __main__ as command; from tests.faults.fault import Fault; "
        "command.FAULTS[:] = [Fault('a file nobody reads', 'nowhere', 'record', lambda run: None)]; "
        "sys.argv[1:] = ['--quick', '--only', 'nobody']; "
        "command.FAULTS[0] = command.FAULTS[0]._replace(cheap=True); sys.exit(command.main())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "0 of 1 faults caught"


def test_the_page_names_every_fault_and_what_caught_it(repository: Path) -> None:
    lines = (repository / "docs" / "faults.md").read_text(encoding="utf-8").splitlines()
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines if re.match(r"\| \d", line)]
    assert [row[1].strip() for row in rows] == [fault.name for fault in FAULTS], "write it anew: make faults"
    assert all(row[3].strip() and "nothing" not in row[3] for row in rows)
