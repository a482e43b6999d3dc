"""Rows do not depend on where they are computed, nor on workers that die while they compute."""

import multiprocessing
import os
import signal

import pytest

from lesion.errors import LesionError
from lesion.runs.execute.conduct import Tick
from lesion.runs.execute.executors import MOST_LOSSES, Processes
from lesion.runs.execute.run import start
from lesion.runs.measure.worker_state import prepare
from tests.runs.conftest import small_order


def kill_a_worker() -> None:
    os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL)


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_changes_no_row(small_run, no_report, tmp_path) -> None:
    killed: list[str] = []

    def until(tick: Tick) -> None:
        if tick.stage == "discovery" and not killed:
            kill_a_worker()
            killed.append(tick.stage)

    ran = start(small_order(), tmp_path, 2, until, no_report)
    assert killed
    assert ran.manifest.rows_hash == small_run.manifest.rows_hash
    assert ran.manifest.results == small_run.manifest.results


@pytest.mark.slow
def test_four_workers_give_the_rows_of_one(small_run, quiet, no_report, tmp_path) -> None:
    assert start(small_order(), tmp_path, 4, quiet, no_report).manifest.rows_hash == small_run.manifest.rows_hash


@pytest.mark.slow
def test_work_that_kills_every_worker_ends_with_a_sentence() -> None:
    with Processes(1, prepare) as processes, pytest.raises(LesionError, match=f"died {MOST_LOSSES + 1} times"):
        list(processes(_suicide, ["cell"]))  # pyright: ignore[reportArgumentType]


def _suicide(cell: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
