"""Zeroing heads of a real model: this project beside plain hooks, nnsight and transformer-lens, in one run.

    python benchmarks/real.py pretrained:smollm2-135m-instruct [--page docs/benchmarks.md]

Two jobs. *copy*: the top induction heads zeroed together; loss on the second copy of 2 × 50 random tokens. *sweep*:
heads spread over the layers, each zeroed alone, on sums; log-probability of the answer. Each side is a process in its
own pinned environment, one after another, and gives its numbers for every head. Exit code 1 when one differs from
plain hooks by more than 1e-3 nats. `--page` writes the section into a page, in place of the one that was there.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from results import OURS, with_section

from lesion.measures.heads.repeated_sequences import fitted, ordinary_tokens, standard
from lesion.measures.heads.standard_scores import standard_scores
from lesion.measures.prompt_set import ask
from lesion.models.model import Model, open_model
from lesion.models.obtain.pretrained import is_there, pretrained_folder

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
ALLOWED = 1e-3
TASK = "arithmetic format=equation high=99"
TOP, SWEPT, SEQUENCES, ITEMS = 8, 10, 4, 12
"""Induction heads zeroed together; heads of the sweep; random sequences; sums of one length, at most."""
PLAIN = "transformers + hooks"


class Side(NamedTuple):
    """One way to do the work."""

    name: str
    script: str
    environment: str
    """Folder under .bench/; empty for this project's own."""


SIDES = (
    Side(PLAIN, "real_hooks.py", ""),
    Side("nnsight 0.8.1", "real_nnsight.py", "nnsight"),
    Side("transformer-lens 4.3.0", "real_lens.py", "transformer-lens"),
    Side(OURS, "real_lesion.py", ""),
)
Found = dict[str, dict[str, Any]]
"""By side: by job, `numbers` (interventions, rows), `wall` and `processor` seconds."""


def jobs_of(model: Model) -> dict[str, dict[str, Any]]:
    """Rows and heads of both jobs."""
    ordinary = ordinary_tokens(model.tokenizer)
    probe = fitted(model, len(ordinary), None, 0)
    rows = standard(ordinary, model.bos, probe).ids[:SEQUENCES]
    second = rows.shape[1] - probe.block + 1  # the first token of a copy cannot be known
    scores = standard_scores(model, ["induction"])["induction"]
    top = [divmod(place, model.sizes.n_heads) for place in scores.flatten().topk(TOP).indices.tolist()]
    batch = max(ask(model, TASK, 64, 0).batches, key=lambda one: len(one.rows))
    every = model.sizes.n_layers * model.sizes.n_heads
    swept = [divmod((2 * i + 1) * every // (2 * SWEPT), model.sizes.n_heads) for i in range(SWEPT)]
    return {
        "copy": {"ids": rows.tolist(), "first": second, "wanted": [[], top]},
        "sweep": {
            "ids": batch.ids[:ITEMS].tolist(),
            "first": batch.prompt_length,
            "wanted": [[], *([head] for head in swept)],
        },
    }


def run(side: Side, job: Path) -> dict[str, Any]:
    """What a side's process gave."""
    python = str(ROOT / ".bench" / side.environment / "bin" / "python") if side.environment else sys.executable
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    if not side.environment:
        environment["PYTHONPATH"] = str(ROOT)
    command = [python, str(HERE / "peers" / side.script), str(job)]
    gave = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=False)
    if gave.returncode:
        sys.exit(f"{side.name} ended with {gave.returncode}; 'make bench' prepares its environment")
    return json.loads(gave.stdout.splitlines()[-1])


def means(found: Found, side: str, job: str) -> list[float]:
    """Mean log-probability over the rows, by intervention."""
    return [sum(rows) / len(rows) for rows in found[side][job]["numbers"]]


def largest(found: Found, side: str) -> float:
    """Largest difference from plain hooks, over jobs, interventions and rows; nats a token."""
    pairs = [(found[side][job]["numbers"], found[PLAIN][job]["numbers"]) for job in found[PLAIN]]
    return max(float((torch.tensor(ours) - torch.tensor(plain)).abs().max()) for ours, plain in pairs)


def section(name: str, jobs: dict[str, dict[str, Any]], found: Found) -> str:
    """The section of a page of benchmarks."""
    copy, sweep = jobs["copy"], jobs["sweep"]
    top = ", ".join(f"L{layer}H{head}" for layer, head in copy["wanted"][1])
    shape = f"{len(sweep['ids'])} sums of {len(sweep['ids'][0])} tokens ({TASK})"
    lines = [
        f"## Real weights: zeroing heads of {name}",
        "",
        "Each side reads the same weights and rows in its own pinned environment, one after another, on one thread.",
        "nnsight wraps the module that transformers loads from the folder; transformer-lens's bridge takes that module",
        "and its tokenizer (`boot_transformers(…, hf_model=…, tokenizer=…)`), so neither needs a hub. The bridge makes",
        "the logits of all positions; the others make those of the answer.",
        "",
        f"**Second copy of 2 × 50 random tokens**, {len(copy['ids'])} sequences: mean loss of its tokens after the",
        f"first, nats, with the {TOP} heads of the largest induction scores zeroed together ({top}).",
        "",
        "| | unedited | heads zeroed | difference | processor s | ratio to lesion |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for side in found:
        before, after = (-value for value in means(found, side, "copy"))
        lines.append(f"| {side} | {before:.5f} | {after:.5f} | {after - before:+.5f} | {_times(found, side, 'copy')} |")
    heads = [f"L{layer}H{head}" for ((layer, head),) in sweep["wanted"][1:]]
    lines += [
        "",
        f"**Sweep**: {SWEPT} heads, each zeroed alone, on {shape}: change of the answer's mean log-probability, nats a",
        "token.",
        "",
        f"| head | {' | '.join(found)} |",
        f"|---|{'--:|' * len(found)}",
    ]
    columns = [means(found, side, "sweep") for side in found]
    for number, head in enumerate(heads, 1):
        numbers = " | ".join(f"{column[number] - column[0]:+.5f}" for column in columns)
        lines.append(f"| {head} | {numbers} |")
    lines += ["", "| sweep | processor s | ratio to lesion | largest difference from plain hooks, both jobs, nats |"]
    lines += ["|---|--:|--:|--:|"]
    lines += [f"| {side} | {_times(found, side, 'sweep')} | {largest(found, side):.1e} |" for side in found]
    lines += [
        "",
        f"Largest difference that is accepted: {ALLOWED:.0e}. Few heads make lesion look slower: its unedited",
        f"run is counted once. Measured on {time.strftime('%Y-%m-%d')}, load average {os.getloadavg()[0]:.1f}, by "
        "`benchmarks/real.py`.",
    ]
    return "\n".join(lines) + "\n"


def _times(found: Found, side: str, job: str) -> str:
    spent = found[side][job]["processor"]
    return f"{spent:.1f} | {spent / found[OURS][job]['processor']:.1f}"


def main() -> int:
    """Measure all sides and compare."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", help="pretrained:NAME, or a folder of the Llama family")
    parser.add_argument("--page", type=Path, default=None, help="page of benchmarks that gets the section")
    given = parser.parse_args()
    name = given.model.removeprefix("pretrained:")
    if name != given.model and not is_there(name):
        print(f"{given.model} is not on this machine, so nothing was measured: lesion get {name}")
        return 0
    folder = pretrained_folder(name) if name != given.model else Path(name)
    torch.set_num_threads(1)
    jobs = jobs_of(open_model(given.model))
    with TemporaryDirectory() as place:
        job = Path(place) / "jobs.json"
        job.write_text(json.dumps({"model": str(folder), "threads": 1, "jobs": jobs}), encoding="utf-8")
        found = {side.name: run(side, job) for side in SIDES}
    said = section(given.model, jobs, found)
    print(said)
    if given.page is not None:
        page = given.page.read_text(encoding="utf-8")
        given.page.write_text(with_section(page, "real", said), encoding="utf-8")
    return int(max(largest(found, side) for side in found) > ALLOWED)


if __name__ == "__main__":
    sys.exit(main())
