"""Every edge of GPT-2-small's shape patched exactly: processor seconds beside EAP-IG's own exact mode.

    python benchmarks/edges.py [--page docs/edges.md] [--prompts 1] [--sample 4]

The weights are random; the shape decides the work. Theirs patches one edge after another, each the same work, so a
sample spread over all edges is timed in its own environment (.bench/eap-ig) and the rest is extrapolated. Ours patches
all edges. Effects are compared on the sample: exit code 1 when one differs by more than 1e-4. The ratio judges nothing:
it depends on what else runs. `--page` writes the numbers into a page, in place of the section that was there.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from results import with_section

from lesion.engine.batched.engine import Fast
from lesion.engine.select_engine import Engine, choose
from lesion.identity import generator
from lesion.measures.edges.effects import Effects
from lesion.measures.edges.exact import exact_effects
from lesion.measures.edges.files import their_names
from lesion.measures.prompt_set import Asked, of
from lesion.models.families import FAMILIES
from lesion.models.model import Model, random_model
from lesion.tasks.tokenizers.prompt_contract import Compiled

ALLOWED = 1e-4
ROOT = Path(__file__).parents[1]
SHAPE = {"n_layer": 12, "n_head": 12, "n_embd": 768, "n_positions": 1024}
VOCABULARY = 50_257
LENGTH, PARTED = 16, 5
"""Tokens of a prompt, and the first place where clean and corrupted differ: an IOI prompt's lengths."""


def pairs(folder: Path, prompts: int) -> Asked:
    """Random prompt pairs, also written for the other program."""
    rng = generator("edge benchmark")
    clean = rng.integers(10, VOCABULARY, (prompts, LENGTH))
    corrupted = clean.copy()
    corrupted[:, PARTED] = rng.integers(10, VOCABULARY, prompts)
    answers = rng.integers(10, VOCABULARY, (prompts, 2))
    np.savez(folder / "pairs.npz", clean=clean, corrupted=corrupted, answers=answers)
    rows = zip(clean.tolist(), corrupted.tolist(), answers.tolist(), strict=True)
    return of([Compiled((*r, x[0]), {}, (x[0],), (x[1],), LENGTH, (*s, x[0])) for r, s, x in rows])


def theirs(folder: Path, sample: int) -> dict[str, float]:
    """What EAP-IG takes for each of some edges, and what it finds."""
    python = ROOT / ".bench" / "eap-ig" / "bin" / "python"
    script = ROOT / "tests" / "oracles" / "eap_ig.py"
    subprocess.run([python, script, folder, "gpt2", "time", str(sample)], check=True, stdout=sys.stderr)
    return {name: float(value) for name, value in np.load(folder / "theirs.npz").items()}


def worst(found: Effects, said: dict[str, float]) -> float:
    """The largest difference of an exact effect."""
    by_name = {their_names(found.graph, edge)[0]: float(found.mean[edge]) for edge in found.graph.edges}
    return max(
        abs(by_name[name.removeprefix("exact|")] - (value - said["base"]))
        for name, value in said.items()
        if name.startswith("exact|")
    )


def main() -> int:
    """Time both, compare, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--prompts", type=int, default=1)
    parser.add_argument("--sample", type=int, default=4)
    asked = parser.parse_args()
    model: Model = random_model(FAMILIES["gpt2"], SHAPE, VOCABULARY)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        model.module.save_pretrained(folder / "gpt2")
        prompts = pairs(folder, asked.prompts)
        said = theirs(folder, asked.sample)
    engine = Engine(model, choose(model, "reference").choice, Fast(model))
    begun = time.process_time()
    found = exact_effects(engine, prompts)
    ours = time.process_time() - begun
    difference, edges = worst(found, said), int(said["edges"])
    numbers = {
        "edges": edges,
        "prompts": asked.prompts,
        "ours_seconds": round(ours, 1),
        "theirs_seconds_per_edge": round(said["seconds"], 3),
        "theirs_seconds_extrapolated": round(said["seconds"] * edges),
        "ratio": round(said["seconds"] * edges / ours, 1),
        "sample": sum(name.startswith("exact|") for name in said),
        "largest_difference": difference,
    }
    print(json.dumps(numbers))
    if asked.page is not None:
        asked.page.write_text(
            with_section(asked.page.read_text(encoding="utf-8"), "edges", section(numbers)), encoding="utf-8"
        )
    return int(difference > ALLOWED)


def section(numbers: dict[str, float]) -> str:
    """The part of the page."""
    return (
        f"Random weights of GPT-2-small's shape, {numbers['prompts']} prompt pair(s) of {LENGTH} tokens that part at "
        f"token {PARTED}, processor seconds, one thread:\n\n"
        "| | seconds | |\n|---|---|---|\n"
        f"| lesion, all {numbers['edges']:,} edges | {numbers['ours_seconds']:,.0f} | measured |\n"
        f"| EAP-IG's exact mode | {numbers['theirs_seconds_extrapolated']:,} | extrapolated from "
        f"{numbers['sample']} edges at {numbers['theirs_seconds_per_edge']:.2f} s |\n"
        f"| ratio | {numbers['ratio']:,.0f} | |\n\n"
        f"Largest difference of an effect on these edges: {numbers['largest_difference']:.0e} logits.\n"
    )


if __name__ == "__main__":
    sys.exit(main())
