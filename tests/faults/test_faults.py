"""The catalogue of faults: a cheap subset is put in and caught, soundness is no fault, the page is whole."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.catalogue import FAULTS


def test_no_two_faults_have_one_name() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 40


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
