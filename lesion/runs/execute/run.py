"""One run from a study to a sealed manifest: make or resume the folder, conduct the plan, close it."""

import fcntl
from collections.abc import Collection, Generator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from lesion.device import wanted
from lesion.errors import InputError
from lesion.models.device import described
from lesion.runs.execute.cluster import Cluster
from lesion.runs.execute.conduct import Executor, Progress, conduct
from lesion.runs.execute.costs import affordable, basis_of
from lesion.runs.execute.executors import Processes, run_here
from lesion.runs.execute.finish import Order, WriteReport, close
from lesion.runs.execute.logs import LOGGER, run_log
from lesion.runs.execute.prepare import prepare_plan
from lesion.runs.folder.atomic_io import DiskError, whole_folder, write_text
from lesion.runs.folder.clock import iso, now, stamp
from lesion.runs.folder.run_folder import Begun, RunFolder, read_begun
from lesion.runs.manifest.environment import source_hash
from lesion.runs.manifest.run import Manifest, read_manifest
from lesion.runs.measure.measure_cell import work
from lesion.runs.measure.worker_state import prepare
from lesion.study.selftest.selftest import trial


class Ran(NamedTuple):
    """A finished run."""

    folder: Path
    manifest: Manifest
    budget_spent: bool


def start(
    order: Order,
    home: Path,
    workers: int,
    progress: Progress,
    report: WriteReport,
    memory: int | None = None,
    cluster: str = "",
) -> Ran:
    """Run a study to its end, or resume it where an earlier process was cut off.

    Args:
        order: what.
        home: where `runs/`, `logs/` and `notes/` are.
        workers: processes; 1 computes in this one, as a run on another device than the processor always does.
        progress: told of every finished cell.
        report: writes the report into the folder.
        memory: bytes that the passes of all workers together may take; None: shapes decide.
        cluster: a Ray cluster whose machines compute, see `Cluster`; empty: processes of this machine do.

    Raises:
        InputError: before anything is written, when the study cannot be run as it is, or there is no such cluster.
        DiskError: when the folder cannot be written.
        LesionError: when the gates and tests do not judge known evidence as they must.
    """
    if order.study.lesion == 1 and order.replay_of is None:
        raise InputError("this study is written for the first rule; set `lesion: 2` and see docs/study-format.md")
    if wanted() != "cpu":
        if cluster:
            raise InputError(f"device {wanted()}: a Ray cluster computes on processors alone; leave out one of the two")
        workers = 1  # one process holds the device
    trial()
    plan = prepare_plan(order.study, order.key or order.study.hash(), run_code=True)
    with _executor(workers, cluster) as execute, _folder(order, home) as (path, begun):
        started = datetime.fromisoformat(begun.started)
        name = path.name.split("_", 2)[2]
        with run_log(home, stamp(started), name):
            LOGGER.info("run %s of study %s", path.name, order.study.name)
            folder = RunFolder(path)
            afford = order.afford or partial(affordable, basis=basis_of(order.study), workers=workers)
            limited = work if memory is None else partial(work, memory=memory // workers)
            conducted = conduct(plan, folder, limited, execute, progress, afford=afford)
            manifest = close(order, home, folder, conducted, started, workers, "ray" if cluster else "local", report)
    return Ran(path, manifest, conducted.budget_spent)


def finished(order: Order, home: Path, names: Collection[str]) -> Ran | None:
    """A run of the same study and source that was sealed, and whose process ended before the ledger had it.

    Args:
        order: what would be run.
        home: where `runs/` is.
        names: runs that the ledger does not have.
    """
    mine = _begun(order)
    for name in sorted(names):
        path = home / "runs" / name
        if not (path / "begun.json").is_file():
            continue
        if read_begun(path / "begun.json").model_copy(update={"started": mine.started}) == mine:
            return Ran(path, read_manifest(path), budget_spent=False)
    return None


def _begun(order: Order) -> Begun:
    return Begun(
        study=order.study.name,
        study_hash=order.study.hash(),
        key=order.key or order.study.hash(),
        source_hash=source_hash(),
        status=order.status,
        command=order.command,
        started=iso(now()),
        device=described(),
    )


@contextmanager
def _executor(workers: int, cluster: str) -> Generator[Executor]:
    """What computes the cells; workers are prepared, this process is when it is the worker."""
    if cluster:
        with Cluster(cluster, workers, prepare) as machines:
            yield machines
    elif workers > 1:
        with Processes(workers, prepare) as processes:
            yield processes
    else:
        prepare()
        yield run_here


@contextmanager
def _folder(order: Order, home: Path) -> Generator[tuple[Path, Begun]]:
    """A locked run folder: an unfinished one of the same study and source, or a new one."""
    mine = _begun(order)
    elsewhere: list[str] = []
    for path in sorted((home / "runs").glob("*/begun.json")):
        folder = path.parent
        if _done(folder):
            continue
        other = read_begun(path).model_copy(update={"started": mine.started})
        if other != mine:
            if other.model_copy(update={"source_hash": mine.source_hash}) == mine:
                elsewhere.append(folder.name)
            continue
        with ExitStack() as stack:
            if stack.enter_context(_lock(folder)) and not _done(folder):  # it may have been finished just now
                yield folder, read_begun(path)
                return
            LOGGER.warning("%s is in the hands of another process; this one takes a folder of its own", folder.name)
    for cut in elsewhere:
        LOGGER.warning("%s was begun by other source code of lesion: it is not continued, this run begins anew", cut)
    suffix = "" if order.command == "run" else f"_{order.command}"
    name = f"{stamp(datetime.fromisoformat(mine.started))}_{order.study.name}_{mine.study_hash[:6]}{suffix}"
    with ExitStack() as stack:

        def fill(folder: Path, _: str) -> None:
            if not (folder / ".lock").exists():  # held from before anybody can see the folder
                stack.enter_context(_lock(folder))
            write_text(folder / "study.yaml", order.text)
            write_text(folder / "begun.json", mine.model_dump_json(indent=1) + "\n")

        yield whole_folder(home / "runs", name, fill), mine


def _done(folder: Path) -> bool:
    return (folder / "manifest.json").exists()


@contextmanager
def _lock(folder: Path) -> Generator[bool]:
    """Whether this process now owns the folder; released at the end, also by a killed process."""
    try:
        stream = (folder / ".lock").open("w")
    except OSError as error:
        raise DiskError(f"{folder}: cannot be written ({error.strerror}); allow it, or use another --home") from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
