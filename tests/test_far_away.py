"""Commands and a whole run on the make-believe device: nothing may mix places, and every number is the processor's."""

import json
from pathlib import Path

import polars as pl
import pytest

from lesion.device import VARIABLE
from lesion.runs.execute import explore
from lesion.runs.folder.run_folder import RunFolder
from lesion.runs.measure import measure_cell as work
from lesion.runs.measure import proof
from lesion.runs.measure import worker_state as worker
from tests.faraway import far_away

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

MODEL = "zoo:abacus-llama"
COMMANDS = {
    "doctor": ["doctor", "tiny:gpt2", "--full"],
    "heads": ["heads", MODEL],
    "attribute": ["attribute", MODEL, "--items", "4"],
    "measure": ["measure", MODEL, "--do", "zero L1H0", "--items", "8"],
    "screen": ["screen", MODEL, "--items", "4"],
    "patch": ["patch", MODEL, "--items", "4"],
    "ablate": ["ablate", MODEL, "--items", "4"],
    "bench": ["bench", "--work", "W2", "--quick"],
}
CLOSE = 1e-4
"""Nats, scores and shares; matrix kernels of the two places differ by rounding."""


def _numbers(value: object, path: str = "") -> dict[str, float]:
    """Every number of a document by where it stands."""
    if isinstance(value, dict):
        pairs = [
            (f"{path}/{key}", inner) for key, inner in value.items() if key not in ("error", "checks", "identities")
        ]
    elif isinstance(value, list):
        pairs = [(f"{path}/{index}", inner) for index, inner in enumerate(value)]
    else:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return {path: float(value)} if is_number else {}  # pyright: ignore[reportArgumentType]
    return {place: number for where, inner in pairs for place, number in _numbers(inner, where).items()}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_gives_the_processors_numbers(call, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [*COMMANDS[name], "--json"]
    here = None if name == "bench" else call(*words)
    with far_away(monkeypatch):
        code, out, err = call(*words)
    assert code == 0, err
    if here is None:
        return
    expected, found = (_numbers(json.loads(text)) for text in (here[1], out))
    assert found.keys() == expected.keys()
    assert {place: (found[place], wish) for place, wish in expected.items() if abs(found[place] - wish) > CLOSE} == {}


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers open every model anew: a process has one device, and this one has two."""
    for name in ("opened", "chosen", "plain"):
        anew = getattr(worker, name).__wrapped__
        for module in (worker, work, proof, explore):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, anew)


def test_a_run_gives_the_processors_rows_and_says_where_it_was(
    call, repository: Path, tmp_path: Path, forgetful, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = str(repository / "studies" / "dry-run.yaml")
    monkeypatch.setenv(VARIABLE, "cpu")
    assert call("run", study, "--home", str(tmp_path / "here"), "--workers", "1")[0] == 0
    with far_away(monkeypatch):
        assert call("run", study, "--home", str(tmp_path / "far"), "--workers", "2")[0] == 0
        (folder,) = (tmp_path / "far" / "runs").iterdir()
        assert "far: make-believe" in call("show", str(folder))[1]
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["environment"]["device"].startswith("far: make-believe")
    assert manifest["environment"]["workers"] == 1
    assert manifest["environment"]["determinism"]["attention_kernel"] == "math"
    assert manifest["cost"]["gpu_seconds"] > 0
    rows = [RunFolder(next((tmp_path / place / "runs").iterdir())).items() for place in ("here", "far")]
    assert rows[0].height == rows[1].height > 0
    for name, kind in rows[0].schema.items():
        if kind == pl.Float64:
            gap = (rows[0][name] - rows[1][name]).abs().max()
            assert gap is None or gap < CLOSE, name
        else:
            assert rows[0][name].equals(rows[1][name]), name
