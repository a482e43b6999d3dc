"""The example of a user's own task, and what is refused."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lesion.errors import InputError, Tampered
from lesion.identity import file_hash
from lesion.tasks.catalogue import make_task
from lesion.tasks.config import OwnConfig
from lesion.tasks.task import Draw
from lesion.tasks.trusted_code import VARIABLE, trust

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "own_task.py"


@pytest.fixture(autouse=True)
def _no_trust_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")


def own(path: Path, **changes: object) -> OwnConfig:
    if path.is_file():
        trust(file_hash(path))
    return OwnConfig(**{"file": str(path), "sha256": file_hash(path), **changes})


def test_the_example_is_a_task_like_any_other():
    task = make_task(own(EXAMPLE, parameters={"longest": 30}))
    assert task.pool == 210
    lanes = [Draw(split, "k", seed, 3) for split in ("discovery", "confirm") for seed in range(3)]
    items = [item for lane in lanes for item in task.items(lane, 0, task.capacity(lane))]
    prompts = [item.prompt for item in items]
    assert len(set(prompts)) == len(prompts)
    days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
    for item in items:
        day, _, distance, *_ = item.prompt.split()
        assert item.answer == " " + days[(days.index(day) + int(distance)) % 7] != item.wrong


def test_the_example_prints_its_card():
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "420" in done.stdout
    assert "days is" in done.stdout


def test_a_changed_file_is_refused(tmp_path: Path):
    path = tmp_path / "task.py"
    path.write_text("def make(): return None\n")
    config = own(path)
    path.write_text("def make(): return 1\n")
    with pytest.raises(Tampered, match="asks for"):
        make_task(config)


def test_what_is_no_task_is_refused(tmp_path: Path):
    path = tmp_path / "task.py"
    path.write_text("def make(): return 5\n")
    with pytest.raises(InputError, match="it lacks pool, capacity, items"):
        make_task(own(path))
    with pytest.raises(InputError, match="no function 'mak'; did you mean 'make'"):
        make_task(own(path, maker="mak"))
    other = tmp_path / "task.txt"
    other.write_text("")
    with pytest.raises(InputError, match=r"must end with \.py"):
        make_task(own(other))
    missing = own(path)
    path.unlink()
    with pytest.raises(InputError, match="there is no such file"):
        make_task(missing)
