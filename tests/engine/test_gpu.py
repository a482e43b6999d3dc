"""`make gpu`: what it says without a device, with right numbers, and with wrong ones."""

from pathlib import Path
from typing import Any

import pytest

from lesion.engine.bench import workload
from lesion.engine.bench.workload import Shape
from tests.program import load_program

PROGRAM = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu.py"


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Any:
    shape = Shape(layers=2, heads=4, width=32, vocabulary=70, prompts=3, prompt=10, shared=6)
    monkeypatch.setattr(workload, "SHAPES", dict.fromkeys(("W1", "W2", "W3", "R1"), shape))
    made = load_program(PROGRAM)
    monkeypatch.setattr(made, "fixture_error", lambda: 1e-6)
    return made


def test_without_a_device_it_says_so(program: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.check(small=False) == 2
    assert "Nothing was measured" in capsys.readouterr().out


def test_a_work_is_timed_on_the_processor(program: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.check(small=True) == 0
    said = capsys.readouterr().out
    assert "of the arithmetic floor" in said
    assert said.endswith("all numbers are right\n")


def test_wrong_numbers_are_no_success(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "fixture_error", lambda: 1.0)
    assert program.check(small=True) == 1
