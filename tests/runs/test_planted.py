"""The whole line on a model whose truth is known: `abacus-planted` does arithmetic without its induction heads."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PLANTED = """\
name: planted
question: Does zeroing the induction heads spare arithmetic and end repetition, as the training planted it?
models: ["zoo:abacus-planted"]
tasks:
  tier1: {task: arithmetic, operators: ["+", "-"], low: 0, high: 119, shots: 2}
  tier3: {task: symbolic, patterns: [repeat], shortest: 6, longest: 16}
sweep: {alphas: [0.0], always: [0.0], best: 0, controls: 1}
claims: {primary: zero, why_zero: Its training zeroed these heads and did nothing else to them., sets: 0}
positive_control: tier3
"""


@pytest.mark.slow
def test_the_planted_truth_comes_out_as_harm_on_patterns_and_null_on_arithmetic(
    repository: Path, tmp_path: Path
) -> None:
    """In a process of its own, without the shape checks that tests install."""
    study = tmp_path / "planted.yaml"
    study.write_text(PLANTED, encoding="utf-8")
    command = [sys.executable, str(repository / "main.py"), str(study), "--home", str(tmp_path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["verdicts"] == {
        "zoo:abacus-planted|tier1|target@zero": "Null",
        "zoo:abacus-planted|tier3|target@zero": "Harm",
    }
    # Its Null is planted under zeroing alone: under mean and resample ablation it need not hold, and that must be told.
    manifest = json.loads((Path(document["run"]) / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["results"]["positive_control"]["holds"] == {"zoo:abacus-planted": True}
