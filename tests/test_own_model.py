"""The example of a user's own model: a folder in Hugging Face's format goes through the same commands."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lesion import cli

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("own") / "my-model"
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "own_model.py"), str(made)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "firings" in done.stdout
    return made


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("doctor", []),
        ("tokens", ["--to", "99"]),
        ("heads", ["--detector", "induction"]),
        ("measure", ["--do", "zero L0H1", "--task", "arithmetic high=99 shots=1", "--items", "8"]),
    ],
)
def test_a_model_of_ones_own_goes_through_every_command(
    command: str, arguments: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        cli.main([command, str(folder), *arguments, "--json"])
    document = json.loads(capsys.readouterr().out)
    assert not ended.value.code
    if command == "doctor":
        assert document["healthy"]
        assert {identity["name"] for identity in document["identities"] if not identity["holds"]} == set()
    if command == "tokens":
        assert document["tasks"]["arithmetic"]["refused"] == {}
    if command == "measure":
        assert document["receipt"]["firings"] > 0
