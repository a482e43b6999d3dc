"""What may go wrong on a real machine: kills, a full disk, folders that cannot be written, a clock that is set back."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Barrier

import pytest

import lesion.runs.execute.run as module
from lesion.cli.studies.run import keep
from lesion.errors import InputError
from lesion.identity import generator
from lesion.runs.check.verify import verify
from lesion.runs.execute import finish as closing
from lesion.runs.execute.finish import Order
from lesion.runs.execute.logs import LOGGER, run_log
from lesion.runs.execute.run import Ran, start
from lesion.runs.folder.atomic_io import DiskError
from lesion.runs.folder.run_folder import RunFolder, read_begun
from lesion.runs.manifest.run import read_manifest
from lesion.study.format.load import parse_document
from lesion.study.study import Study

RUN = """
import sys
from pathlib import Path
from lesion.runs.execute.finish import Order
from lesion.runs.execute.run import Ran, start
from lesion.study.format.load import parse_document
from lesion.study.study import Study
text = Path(sys.argv[1]).read_text()
order = Order(study=parse_document(text, "x.yaml", Study), text=text, status="exploratory")
start(order, Path(sys.argv[2]), 1, lambda tick: None, lambda folder, manifest: None)
"""


def order_of(text: str) -> Order:
    return Order(study=parse_document(text, "x.yaml", Study), text=text, status="exploratory")


def finished(home: Path) -> int:
    return len(list((home / "runs").glob("*/units/*.json")))


def killed_at(study: Path, home: Path, units: int, wait: float) -> None:
    """Start the run in a process of its own, and kill it when so many units are there and some time has gone."""
    process = subprocess.Popen([sys.executable, "-c", RUN, str(study), str(home)])
    while process.poll() is None and finished(home) < units:
        time.sleep(0.002)
    time.sleep(wait)
    process.send_signal(signal.SIGKILL)
    process.wait()


def resumed_is_whole(small_run, small_text, home, quiet, no_report) -> None:
    ran = start(order_of(small_text), home, 1, quiet, no_report)
    assert ran.manifest.rows_hash == small_run.manifest.rows_hash
    assert ran.manifest.results == small_run.manifest.results
    folders = [f.name for f in (home / "runs").iterdir() if f.name != ".new"]  # what a kill leaves half filled is there
    assert folders == [ran.folder.name], "one folder, none begun anew"
    assert verify(ran.folder) == []
    assert RunFolder(ran.folder).items().equals(RunFolder(small_run.folder).items())


def test_a_run_killed_at_two_random_moments_ends_with_the_rows_of_an_undisturbed_one(
    small_run, small_text, quiet, no_report, tmp_path
) -> None:
    (tmp_path / "study.yaml").write_text(small_text)
    draw = generator("kill", 1)
    for least in (1, 5):
        killed_at(tmp_path / "study.yaml", tmp_path / "home", least, float(draw.uniform(0, 0.2)))
    assert finished(tmp_path / "home") >= 1
    resumed_is_whole(small_run, small_text, tmp_path / "home", quiet, no_report)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_run_killed_at_twenty_random_moments_loses_nothing(small_run, small_text, quiet, no_report, tmp_path) -> None:
    """LESION_KILLS=200 kills more often, LESION_KILL_SEED=1 at other moments."""
    (tmp_path / "study.yaml").write_text(small_text)
    kills = int(os.environ.get("LESION_KILLS", "20"))
    draw = generator("kill", kills, int(os.environ.get("LESION_KILL_SEED", "0")))
    for number in range(kills):
        home = tmp_path / f"home-{number}"
        killed_at(tmp_path / "study.yaml", home, int(draw.integers(0, 12)), float(draw.uniform(0, 1.0)))
        if list((home / "runs").glob("*/manifest.json")):
            continue  # it was quicker than the kill
        begun = [path for path in (home / "runs").glob("*") if path.name != ".new"]
        assert all((path / "begun.json").exists() for path in begun), "a folder says what it is from its first moment"
        resumed_is_whole(small_run, small_text, home, quiet, no_report)


class Cut(BaseException):
    """The power goes."""


@pytest.mark.parametrize("step", ["read_code", "manifest"])
def test_a_run_cut_off_while_it_closes_is_closed_by_the_same_command_and_notes_stand_once(
    step, small_run, small_text, quiet, no_report, tmp_path, monkeypatch
) -> None:
    def cut(*_: object, **__: object) -> None:
        raise Cut

    def cut_at_manifest(path: Path, text: str) -> None:
        if path.name == "manifest.json":
            (path.parent / ".manifest.json.1.tmp").write_text("half")
            raise Cut
        path.write_text(text)

    with monkeypatch.context() as patched:
        if step == "manifest":
            patched.setattr(closing, "write_text", cut_at_manifest)
        else:
            patched.setattr(closing, step, cut)
        with pytest.raises(Cut):
            start(order_of(small_text), tmp_path, 1, quiet, no_report)
    resumed_is_whole(small_run, small_text, tmp_path, quiet, no_report)
    topics = [path.name.split("_", 2)[2] for path in (tmp_path / "notes").glob("*.md")]
    assert len(topics) == len(set(topics)), topics


def test_sixteen_runs_started_at_once_share_no_folder(small_text, tmp_path) -> None:
    together = Barrier(16)

    def take(_: int) -> str:
        with ExitStack() as stack:
            together.wait()
            path, _ = stack.enter_context(module._folder(order_of(small_text), tmp_path))
            together.wait()
            return path.name

    with ThreadPoolExecutor(16) as pool:
        names = list(pool.map(take, range(16)))
    assert len(set(names)) == 16
    assert {path.name for path in (tmp_path / "runs").iterdir()} == set(names)


def test_a_second_process_never_enters_a_folder_in_use_and_says_so(small_text, tmp_path, caplog) -> None:
    with module._folder(order_of(small_text), tmp_path) as (first, _):
        with module._folder(order_of(small_text), tmp_path) as (second, _):
            assert second != first
        assert f"{first.name} is in the hands of another process" in caplog.text
    with module._folder(order_of(small_text), tmp_path) as (again, _):
        assert again == first, "free again, it is resumed"


def test_a_run_begun_by_other_source_is_not_continued_and_that_is_said(
    small_text, tmp_path, monkeypatch, caplog
) -> None:
    with module._folder(order_of(small_text), tmp_path) as (first, _):
        pass
    with monkeypatch.context() as patched:
        patched.setattr(module, "source_hash", lambda: "0" * 64)
        with module._folder(order_of(small_text), tmp_path) as (second, _):
            assert second != first
        assert f"{first.name} was begun by other source code of lesion" in caplog.text
        caplog.clear()
        with module._folder(order_of(small_text), tmp_path) as (again, _):
            assert again == second
    assert caplog.text == ""


def test_a_run_that_was_finished_while_another_process_waited_is_not_opened_again(
    small_text, tmp_path, monkeypatch
) -> None:
    with module._folder(order_of(small_text), tmp_path) as (first, _):
        pass
    seen = iter([False, True])
    monkeypatch.setattr(module, "_done", lambda _: next(seen))
    with module._folder(order_of(small_text), tmp_path) as (second, _):
        assert second != first


@contextmanager
def full_disk(limit: int) -> Generator[None]:
    """The system's limit on the size of files stands for the disk: every larger write fails half-way."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    kept = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, old[1]))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, kept)


def test_a_full_disk_ends_the_run_with_a_sentence_and_the_run_goes_on_when_there_is_room(
    small_run, small_text, quiet, no_report, tmp_path
) -> None:
    with full_disk(3000), pytest.raises(DiskError, match=r"cannot be written|cannot be used"):
        start(order_of(small_text), tmp_path, 1, quiet, no_report)
    resumed_is_whole(small_run, small_text, tmp_path, quiet, no_report)


def test_a_run_whose_manifest_fits_on_the_disk_and_whose_ledger_does_not_is_finished_by_the_same_command(
    small_run, small_text, quiet, no_report, copied_run
) -> None:
    with full_disk(3000), pytest.raises(DiskError, match="the same command finishes it"):
        keep(Ran(copied_run.folder, copied_run.manifest, budget_spent=False), copied_run.home, as_json=False)
    (copied_run.home / "ledger.sqlite").unlink(missing_ok=True)  # half written; docs/record.md says to take it away
    resumed_is_whole(small_run, small_text, copied_run.home, quiet, no_report)


def test_a_log_that_cannot_be_written_is_a_sentence(tmp_path) -> None:
    with (
        full_disk(300),
        run_log(tmp_path, "20261122_1630", "x"),
        pytest.raises(DiskError, match="the log cannot be written"),
    ):
        LOGGER.info("words " * 100)


@pytest.mark.parametrize("blocked", ["runs", "logs"])
def test_a_home_that_cannot_be_written_is_a_sentence(blocked, small_text, quiet, no_report, tmp_path) -> None:
    """A file stands where the folder should be, for root may write into any folder."""
    (tmp_path / blocked).write_text("in the way")
    with pytest.raises(DiskError, match="--home"):
        start(order_of(small_text), tmp_path, 1, quiet, no_report)


def test_a_folder_whose_lock_cannot_be_written_is_a_sentence(small_text, tmp_path) -> None:
    with module._folder(order_of(small_text), tmp_path) as (first, _):
        pass
    (first / ".lock").unlink()
    (first / ".lock").mkdir()
    with pytest.raises(DiskError, match="another --home"), module._folder(order_of(small_text), tmp_path):
        pass


def test_a_clock_set_back_is_told_and_changes_nothing(
    small_run, small_text, quiet, no_report, tmp_path, monkeypatch
) -> None:
    honest = closing.now
    monkeypatch.setattr(closing, "now", lambda: honest() - timedelta(days=400))
    ran = start(order_of(small_text), tmp_path, 1, quiet, no_report)
    assert ran.manifest.cost.wall_seconds == 0
    assert ran.manifest.rows_hash == small_run.manifest.rows_hash
    assert any("set back" in path.read_text() for path in (tmp_path / "notes").glob("*clock-set-back*"))
    assert read_manifest(ran.folder).run == ran.folder.name


@pytest.mark.parametrize("text", ["", "{}", "[]", "\x00", '{"study": 1}'])
def test_what_is_no_record_of_a_begun_run_is_refused_in_a_sentence(text, tmp_path) -> None:
    (tmp_path / "begun.json").write_text(text)
    with pytest.raises(InputError, match=r"begun\.json"):
        read_begun(tmp_path / "begun.json")


@pytest.mark.parametrize("kind", ["hidden", "link"])
def test_hidden_files_and_links_in_a_run_folder_are_named(kind, copied_run, tmp_path) -> None:
    assert verify(copied_run.folder) == []
    if kind == "hidden":
        (copied_run.folder / "items" / ".more.parquet").write_text("x")
    else:
        path = copied_run.folder / "study.yaml"
        path.rename(tmp_path / "elsewhere.yaml")
        path.symlink_to(tmp_path / "elsewhere.yaml")
    assert len(verify(copied_run.folder)) == 1
