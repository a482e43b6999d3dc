"""A run that was cut off decides as the one that never was: no gate sees what later attempts have put on disk."""

import shutil
from pathlib import Path

import pytest

from lesion.cli.studies.run import keep
from lesion.runs.check.recompute_stats import recount
from lesion.runs.execute.conduct import Tick
from lesion.runs.execute.run import start
from lesion.runs.folder.run_folder import RunFolder
from lesion.runs.manifest.run import Manifest
from tests.runs.conftest import SMALL, Done, small_order

TWICE = SMALL.replace(
    "baseline: {items: 64, spread: 0.9}",
    "baseline: {items: 64, spread: 0.55}\nclaims: {outcome: answer_logprob, prefixes: per_item, sets: 0}",
)
"""The small study in nats: its baseline is enlarged once, and its effects are looked at twice."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Done:
    home = tmp_path_factory.mktemp("home")
    ran = start(small_order(TWICE), home, 1, lambda tick: None, lambda folder, manifest: None)
    return Done(home, ran.folder, ran.manifest)


def test_the_study_has_second_attempts(undisturbed: Done) -> None:
    """Else the tests below could not fail."""
    attempts = [(gate.stage, gate.attempt) for gate in undisturbed.manifest.gates]
    assert attempts[1:3] == [("baseline", 0), ("baseline", 1)]
    assert attempts[-2:] == [("confirm", 0), ("confirm", 1)]


@pytest.mark.parametrize("stages", [("baseline", "confirm"), ()])
def test_a_run_goes_on_over_what_lies_there_and_ends_as_the_undisturbed_one(
    stages: tuple[str, ...], undisturbed: Done, quiet, no_report, tmp_path: Path
) -> None:
    """Its folder holds all units, or lacks those of a stage's second half: those of a killed run are any."""
    folder = tmp_path / "runs" / undisturbed.folder.name
    shutil.copytree(undisturbed.folder, folder)
    (folder / "manifest.json").unlink()
    lost = [unit for unit in RunFolder(folder).units() if unit.cell.stage in stages][1::2]
    for unit in lost:
        (folder / "units" / f"{RunFolder(folder).key(unit.cell)}.json").unlink()
    ran = start(small_order(TWICE), tmp_path, 1, quiet, no_report)
    assert ran.folder == folder
    assert ran.manifest.gates == undisturbed.manifest.gates
    assert ran.manifest.plan_hashes == undisturbed.manifest.plan_hashes
    assert ran.manifest.rows_hash == undisturbed.manifest.rows_hash


def decided(manifest: Manifest) -> list[tuple[object, ...]]:
    """What every gate decided, and why; the evidence of the instrument holds times."""
    return [(gate.stage, gate.attempt, gate.outcome, gate.reason) for gate in manifest.gates]


@pytest.mark.parametrize("ticks", [9, 24])
def test_a_run_that_is_interrupted_decides_as_the_undisturbed_one(
    ticks: int, undisturbed: Done, quiet, no_report, tmp_path: Path
) -> None:
    seen: list[Tick] = []

    def interrupt(tick: Tick) -> None:
        seen.append(tick)
        if len(seen) == ticks:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start(small_order(TWICE), tmp_path, 1, interrupt, no_report)
    ran = start(small_order(TWICE), tmp_path, 1, quiet, no_report)
    keep(ran, tmp_path, as_json=True)
    assert decided(ran.manifest) == decided(undisturbed.manifest)
    assert recount(ran.folder).document["agrees"]
