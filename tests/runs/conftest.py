"""A whole small run, made once: the tiny random model, one tier, a target that the study names itself."""

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from lesion.runs.execute.conduct import Progress, Tick
from lesion.runs.execute.finish import Order, WriteReport
from lesion.runs.execute.run import start
from lesion.runs.manifest.run import Manifest
from lesion.study.format.load import parse_document
from lesion.study.study import Study

SMALL = """\
name: small
question: Does anything happen to a model that cannot calculate?
models: [tiny:llama]
tasks:
  tier1: {task: arithmetic, low: 10, high: 99, shots: 0}
block: 32
baseline: {items: 64, spread: 0.9}
sweep: {target: {kind: sites, sites: [L0H1]}, items: 64, alphas: [0.0, 1.5], best: 1, controls: 1}
verdict: {margin: 0.3, effect: 0.5, spread: 0.9}
"""


def small_order(text: str = SMALL) -> Order:
    return Order(study=parse_document(text, "small.yaml", Study), text=text, status="exploratory")


def _quiet(tick: Tick) -> None:
    """Progress that nobody watches."""


def _no_report(folder: Path, manifest: Manifest) -> None:
    """A run without its pictures."""


@pytest.fixture(scope="session")
def quiet() -> Progress:
    return _quiet


@pytest.fixture(scope="session")
def no_report() -> WriteReport:
    return _no_report


@pytest.fixture(scope="session")
def small_text() -> str:
    """The study file."""
    return SMALL


class Done(NamedTuple):
    home: Path
    folder: Path
    manifest: Manifest


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Read it, never write into it."""
    home = tmp_path_factory.mktemp("home")
    ran = start(small_order(), home, 1, _quiet, _no_report)
    return Done(home, ran.folder, ran.manifest)


@pytest.fixture
def copied_run(small_run: Done, tmp_path: Path) -> Done:
    """A copy that a test may spoil."""
    home = tmp_path / "home"
    shutil.copytree(small_run.home, home)
    (home / "ledger.sqlite").unlink(missing_ok=True)  # of a test that looked into the shared home
    return Done(home, home / "runs" / small_run.folder.name, small_run.manifest)
