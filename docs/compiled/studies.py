"""Runs a study on planted models: does its verdict say Harm for the circuit and Null for distractors?

    python docs/compiled/studies.py [SEED …]    # adds rows to docs/compiled/studies.jsonl; 2 processor minutes a model

A study is registered and run as a user does it, in a home folder of its own. Its targets are a head that the circuit
needs, a distractor that writes elsewhere (`noise`), one that attends like an induction head and writes nothing
(`silent_induction`), one of two backups, and both backups together, where the model has them. What is right was
written down in `RIGHT` before the first run.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lesion.identity import file_hash
from lesion.training.planted_heads import planted, write_planted

HERE = Path(__file__).parent
ROWS, TASK, MAIN = HERE / "studies.jsonl", HERE / "repetition.py", HERE.parents[1] / "main.py"
SEEDS = (7, 10, 2, 1)
"""Some with backups; 0 and 3 were run while this program was written, and are left out."""
RIGHT = {"needed": "Harm", "noise": "Null", "silent_induction": "Null", "backup": "Null", "backups": "Harm"}
STUDY = """name: planted-{seed}
question: Which heads does repetition need?
models: ["./model"]
tasks:
  repetition: {{task: own, file: repetition.py, sha256: {sha256}}}
sweep:
  targets:
{targets}
  alphas: [0.0]
  items: 64
  controls: 0
claims: {{primary: zero, why_zero: The circuit is written so that zeroing takes it away., sets: 0}}
baseline: {{items: 64}}
verdict: {{looks: 1, margin: 0.1, effect: 0.3, spread: 0.2}}
block: 64
budget: {{cpu_hours: 1, wall_minutes: 30}}
"""


def targets(seed: int) -> dict[str, list[str]]:
    """The targets of a planted model."""
    truth = planted(seed)
    named = {"needed": sorted(map(str, truth.circuit - truth.backups))[:1]}
    for kind in ("noise", "silent_induction"):
        named[kind] = sorted(str(site) for site, what in truth.kinds.items() if what == kind)[:1]
    backups = sorted(map(str, truth.backups))
    named |= {"backup": backups[:1], "backups": backups}
    return {name: sites for name, sites in named.items() if sites}


def row(seed: int) -> dict[str, Any]:
    """Register and run the study of a seed."""
    begun, aimed = os.times(), targets(seed)
    with TemporaryDirectory() as made:
        home = Path(made)
        write_planted(planted(seed), home / "model")
        (home / "repetition.py").write_bytes(TASK.read_bytes())
        lines = "\n".join(f"    {name}: {{kind: sites, sites: [{', '.join(sites)}]}}" for name, sites in aimed.items())
        study = STUDY.format(seed=seed, sha256=file_hash(TASK), targets=lines)
        (home / "study.yaml").write_text(study, encoding="utf-8")
        call(home, "register", "study.yaml", "--seen", "The weights of this model: its circuit was written into them.")
        found = call(home, "run", "study.yaml")
    ended = os.times()
    return {
        "seed": seed,
        "targets": aimed,
        "status": found["status"],
        "verdicts": {key.split(":")[1].split("@")[0]: verdict for key, verdict in found["verdicts"].items()},
        "seconds": round(ended.children_user + ended.children_system - begun.children_user - begun.children_system),
    }


def call(home: Path, *words: str) -> dict[str, Any]:
    """A command of lesion in a home folder; what it prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "LESION_TRUST": file_hash(TASK)}
    done = subprocess.run(
        [sys.executable, str(MAIN), *words, "--home", ".", "--json"],
        cwd=home, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: {done.stdout[-500:]} {done.stderr[-500:]}")
    return json.loads(done.stdout)


def rows() -> list[dict[str, Any]]:
    """All rows that were measured."""
    return [json.loads(line) for line in ROWS.read_text(encoding="utf-8").splitlines()] if ROWS.is_file() else []


def main() -> None:
    """Add the rows of the seeds that have none."""
    done = {row["seed"] for row in rows()}
    for seed in map(int, sys.argv[1:] or map(str, SEEDS)):
        if seed in done:
            continue
        begun = time.monotonic()
        made = row(seed)
        with ROWS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(made) + "\n")
        print(f"seed {seed}: {made['verdicts']}, {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
