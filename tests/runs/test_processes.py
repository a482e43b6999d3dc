"""Workers end with the process that started them, and Ctrl-C ends a run without a traceback."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from lesion.runs.manifest.run import read_manifest

ROOT = Path(__file__).resolve().parents[2]
Start = Callable[..., "subprocess.Popen[str]"]
TWICE = """
import signal, time
from lesion.cli.common.interrupts import second_interrupt_ends
signal.signal(signal.SIGINT, signal.default_int_handler)
with second_interrupt_ends():
    try:
        print("started", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        print("closing", flush=True)
        time.sleep(60)
"""


@pytest.fixture
def started() -> Iterator[Start]:
    """Starts a Python process that leads a process group of its own; all of the group is killed in the end."""
    processes: list[subprocess.Popen[str]] = []

    def start(*words: str) -> "subprocess.Popen[str]":
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [sys.executable, *words], cwd=ROOT, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def comes(true: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.01)
    return true()


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_workers_end_with_the_process_that_started_them(number: signal.Signals, started: Start, tmp_path) -> None:
    process = started("-m", "tests.runs.naps", str(tmp_path))
    assert comes(lambda: len(list(tmp_path.iterdir())) == 2), "two workers are at work"
    workers = [int(path.name) for path in tmp_path.iterdir()]
    assert all(map(lives, workers))
    process.send_signal(number)
    assert process.wait(10) != 0
    assert comes(lambda: not any(map(lives, workers)), 5), f"workers outlive {number.name}"


def test_an_interrupt_of_the_whole_group_while_workers_start_shows_one_traceback_at_most(
    started: Start, tmp_path
) -> None:
    """That of the program, which does not catch it; the workers, which a terminal interrupts as well, say nothing."""
    process = started("-m", "tests.runs.naps", str(tmp_path))
    assert process.stdout
    assert process.stdout.readline() == "started\n"
    time.sleep(0.3)  # workers are being started
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=10)
    assert said.count("Traceback") <= 1, said


def test_a_second_interrupt_ends_a_command_at_once(started: Start) -> None:
    process = started("-c", TWICE)
    assert process.stdout
    assert process.stdout.readline() == "started\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "closing\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == -signal.SIGINT


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_run_with_workers_that_is_interrupted_goes_on_to_the_same_rows(
    small_run, small_text, started: Start, tmp_path
) -> None:
    (tmp_path / "small.yaml").write_text(small_text)
    home = tmp_path / "home"
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from lesion.cli import main; main()"
    )
    run = ("-c", code, "run", str(tmp_path / "small.yaml"), "--home", str(home), "--workers", "2")
    process = started(*run)
    assert comes(lambda: len(list(home.glob("runs/*/units/*.json"))) > 2, 120)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, said = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "the same command goes on where it stopped" in said
    assert "Traceback" not in said
    assert not list(home.glob("runs/*/manifest.json"))
    started(*run).communicate(timeout=1200)
    (folder,) = home.glob("runs/*_small_*")
    assert read_manifest(folder).rows_hash == small_run.manifest.rows_hash
