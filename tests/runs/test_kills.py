"""kill -9 at random moments, again and again: the same command ends with the rows of an undisturbed run.

`make kills` kills 200 times, over units that last a second and more; the tests alone kill 5 times.
"""

import os
import signal
import time
import uuid
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from lesion.cli.studies.run import keep
from lesion.identity import generator
from lesion.runs.check.verify import verify
from lesion.runs.execute.run import Ran, start
from lesion.runs.folder.run_folder import read_begun, read_unit
from lesion.runs.index.ledger import entries
from lesion.runs.manifest.run import Manifest
from tests.runs.conftest import SMALL, small_order

KILLS = int(os.environ.get("LESION_KILLS", "5"))
SEED = int(os.environ.get("LESION_KILL_SEED", "0"))
MANY = 50
LONG = SMALL.replace("block: 32", "block: 1024").replace("items: 64", "items: 1024")
"""The same study with units that last a second and more; for many kills."""
LONGEST = 4.0
"""Seconds until a kill, at most, at first."""
IN_VAIN = 5
"""After so many kills in a row without a finished unit, the next ones come later: a busy machine needs longer."""
MARK = "LESION_KILL_MARK"
FORKED = pytest.mark.skipif(not hasattr(os, "fork") or not Path("/proc/self/environ").exists(), reason="needs /proc")


def run_once(text: str, home: Path, workers: int) -> Ran:
    """What `lesion run` does: run or resume the study, then enter it into the ledger."""
    ran = start(small_order(text), home, workers, lambda tick: None, lambda folder, manifest: None)
    keep(ran, home, as_json=True)
    return ran


def forked(text: str, home: Path, workers: int) -> int:
    """The same in a process of its own that has imported everything already; its number."""
    if pid := os.fork():
        return pid
    code = 1
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        run_once(text, home, workers)
        code = 0
    finally:
        os._exit(code)


def killed(pid: int, after: float) -> bool:
    """Kill a process when some time has gone; whether it was still at work."""
    end = time.monotonic() + after
    while time.monotonic() < end:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return False
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def marked(mark: str) -> list[int]:
    """Living processes other than this one whose environment holds the mark."""
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            pid, state = int(path.parent.name), (path.parent / "stat").read_text().rsplit(")", 1)[1].split()[0]
            if pid != os.getpid() and state != "Z" and f"{MARK}={mark}".encode() in path.read_bytes():
                found.append(pid)
        except OSError:
            continue  # it has ended meanwhile
    return found


def whole(home: Path) -> int:
    """Finished units, after looking that every file which stands under its own name can be read whole."""
    folders = [path for path in (home / "runs").glob("*") if path.name != ".new" and path.is_dir()]
    assert len(folders) <= 1, "the same command resumes, and begins no second run"
    for folder in folders:
        read_begun(folder / "begun.json")
        for path in folder.glob("*/*.parquet"):
            pl.read_parquet(path)
        for path in folder.glob("units/*.json"):
            read_unit(path)
    return len(list((home / "runs").glob("*/units/*.json")))


def ended_like(ran: Ran, other: Manifest, home: Path) -> None:
    """A run that was killed and resumed is the undisturbed one."""
    assert ran.manifest.rows_hash == other.rows_hash
    assert ran.manifest.results == other.results
    assert verify(ran.folder) == []
    assert [entry.run for entry in entries(home)] == [ran.folder.name]
    left = [path.name for path in ran.folder.rglob("*") if path.name.endswith(".tmp")]
    assert not left, "nothing half written is left"


@FORKED
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_runs_that_are_killed_again_and_again_end_with_the_rows_of_an_undisturbed_one(
    small_run, tmp_path, monkeypatch
) -> None:
    text, other = SMALL, small_run.manifest
    if KILLS >= MANY:
        text = LONG
        other = run_once(text, tmp_path / "undisturbed", 1).manifest
    mark = uuid.uuid4().hex
    monkeypatch.setenv(MARK, mark)
    draw, counts, number, longest, vain = generator("kills", KILLS, SEED), Counter[str](), 0, LONGEST, 0
    while counts["kills"] < KILLS:
        number += 1
        home = tmp_path / f"home-{number}"
        while counts["kills"] < KILLS:
            workers, after, before = (2 if draw.uniform() < 0.1 else 1), float(draw.uniform(0, longest)), whole(home)
            if not killed(forked(text, home, workers), after):
                break  # it was through before the kill
            counts["kills"] += 1
            counts["with two workers"] += workers == 2
            new = whole(home) > before
            counts["after a new unit"] += new
            vain = 0 if new else vain + 1
            if vain == IN_VAIN:
                longest, vain = longest * 1.5, 0
            end = time.monotonic() + 60  # a worker that is just being started ends when its imports are through
            while (alive := marked(mark)) and time.monotonic() < end:
                time.sleep(0.05)
            assert not alive, f"workers outlive a killed run: {alive}"
        ended_like(run_once(text, home, 1), other, home)
        counts["runs"] += 1
    print(dict(counts))


class Cut(BaseException):
    """The power goes."""


@pytest.mark.parametrize("ledger", ["not there", "empty", "without the run"])
def test_a_run_killed_between_its_manifest_and_its_ledger_is_finished_by_the_same_command(
    ledger: str, copied_run, tmp_path, monkeypatch, call
) -> None:
    def cut(*_: object) -> None:
        raise Cut

    path = copied_run.home / "ledger.sqlite"
    if ledger == "without the run":
        moved = copied_run.folder.rename(tmp_path / "aside")
        assert entries(copied_run.home) == []
        moved.rename(copied_run.folder)
    with monkeypatch.context() as patched:
        patched.setattr("lesion.runs.index.ledger.enter", cut)
        with pytest.raises(Cut):
            keep(Ran(copied_run.folder, copied_run.manifest, budget_spent=False), copied_run.home, as_json=True)
    if ledger == "empty":
        path.touch()
    assert path.exists() == (ledger != "not there")
    (tmp_path / "small.yaml").write_text(SMALL)
    code, said, error = call("run", str(tmp_path / "small.yaml"), "--home", str(copied_run.home), "--json")
    assert (code, copied_run.folder.name in said) == (0, True), error
    assert "is entered now" in error
    assert [entry.run for entry in entries(copied_run.home)] == [copied_run.folder.name]
    assert [each.name for each in (copied_run.home / "runs").glob("2*") if each.is_dir()] == [copied_run.folder.name]
    assert verify(copied_run.folder) == []
