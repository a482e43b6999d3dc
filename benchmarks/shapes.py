"""Shares of the arithmetic floor on random weights of GPT-2-small's shape (W1 to W3), and peak memory by family.

    python benchmarks/shapes.py --page docs/benchmarks.md            # a quarter of an hour of one idle core
    python benchmarks/shapes.py --only none --page docs/benchmarks.md    # the stored rows into the page

What `compare.py` does beside the peers this does without them, so that it can be repeated when the engine changes.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, get_args

import torch
from results import with_section
from shares import MADE, bound
from torch.profiler import ProfilerActivity, profile

from lesion.engine.batched.engine import Fast
from lesion.engine.bench.bench import bench, quick
from lesion.engine.bench.workload import Work, floor, plain_operations, workload

FILE = Path(__file__).resolve().parent / "shapes.json"
WORKS: tuple[Work, ...] = get_args(Work)[:3]
FAMILIES = ("gpt2", "llama")
WANTED, MEMORY = 0.92, 1.15
"""Share of the floor, and peak over that of the plain loop."""


def measured(only: str) -> dict[str, Any]:
    """The stored rows, with new ones for the works whose name begins so, and new peaks where all are asked."""
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    for work in WORKS:
        if work.startswith(only):
            load = os.getloadavg()[0]
            told = bench("gpt2", work).model_dump(mode="json")
            found[work] = {**told, "saved": saved(work), "load": round(load, 1), "day": time.strftime("%Y-%m-%d")}
            FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if not only or only == "bound":
        found["reach"] = reach("W2")
        FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if not only or only == "memory":
        found["memory"] = {family: {side: peak(family, side) for side in ("plain", "lesion")} for family in FAMILIES}
        FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def saved(work: Work) -> list[float]:
    """Operations of the plain loop over those that the batched engine cannot avoid; the same of the expert's loop."""
    load = workload("gpt2", work)
    least = floor(load.model, load.batch, load.wanted, Fast(load.model).ending(load.batch))
    return [plain_operations(load.model, load.batch, late=late) * len(load.wanted) / least for late in (False, True)]


def reach(work: Work) -> dict[str, float]:
    """A block's products made alone, as a share of the matrix speed, and the share of the engine's time they take."""
    load = workload("gpt2", work, share=4)
    fast = Fast(load.model)
    quick(fast, load.batch, load.wanted)
    with profile(activities=[ProfilerActivity.CPU]) as told:
        quick(fast, load.batch, load.wanted)
    spent = {event.key: event.self_cpu_time_total for event in told.key_averages()}
    made = sum(spent.get(name, 0.0) for name in MADE) / sum(spent.values())
    return {"bound": min(1.0, bound(load.model)), "products": made}


def peak(family: str, side: str) -> int:
    """Bytes that one side held at most, in a process of its own; the median of three, for the allocator's sake."""
    command = [sys.executable, str(Path(__file__).with_name("memory.py")), family, side]
    runs = [subprocess.run(command, check=True, capture_output=True, text=True) for _ in range(3)]
    return int(statistics.median(int(run.stdout) for run in runs))


def section(found: dict[str, Any]) -> str:
    """The section of a page of benchmarks."""
    lines = [
        f"| {work} | {row['interventions']} | {row['share_of_floor']:.0%} | {row['ratio_plain_processor']:.1f}× | "
        f"{row['ratio_expert']:.1f}× | {row['saved'][0]:.1f}× ({row['saved'][1]:.1f}×) | "
        f"{row['processor_seconds']:.3g} | {row['max_abs_error']:.0e} | "
        f"{row['gflops']:.0f} | {row['repeats']} | {row['load'] or '–'} | {row['day']} |\n"
        for work, row in found.items()
        if work in WORKS
    ]
    peaks = [
        f"{family} {sides['lesion'] / sides['plain']:.2f} ({sides['lesion'] / 2**30:.2f} GiB)"
        for family, sides in found["memory"].items()
    ]
    met = [work for work in WORKS if work in found and found[work]["share_of_floor"] >= WANTED]
    said = "reached by " + ", ".join(met) if met else "reached by none"
    told = {**found["reach"], "both": found["reach"]["bound"] * found["reach"]["products"]}
    return HEAD + "".join(lines) + TAIL.format(wanted=WANTED, said=said, memory=MEMORY, peaks="; ".join(peaks), **told)


HEAD = """\
## Random weights: W1 to W3 without the peers

| work | edits | share of the floor | plain hooks | last logits | saved | lesion, s | apart | GFLOP/s | repeats | load \
| day |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|
"""
TAIL = """
Columns as in the tables of real weights; ratios in processor time, the expert's by the clock.
**Wanted: a share of {wanted:.0%}**, {said}.
W2's model is four layers of 128 units: its products, made alone, reach {bound:.0%} of the matrix speed and take
{products:.0%} of the time (torch's profiler), the rest goes to the softmax, to copies and to calls. That would
give {both:.0%}; what is below it is not explained. W2 takes one second: its numbers move by up to a third.

*Saved*: operations of the plain loop over the least that the batched algorithm makes; in brackets, of the loop with the
last logits only. A ratio above that comes from the matrix kernel (the loops have torch's own) and from what a loop
does beside products. Where torch's kernel is half as fast as oneDNN, as on the first machine of this project, the same
engine has almost twice the ratio: it belongs to a machine, the share of the floor to the engine.

**Peak memory over that of the plain loop**, each side in a process of its own, W1's shape (wanted: at most {memory:g}):
{peaks}. Measured by `benchmarks/shapes.py`.
"""


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description="Shares of the arithmetic floor on random weights.")
    parser.add_argument("--page", type=Path, default=None, help="page of benchmarks that gets the section")
    parser.add_argument("--only", default="", help="only the work whose name begins so, bound, memory, or none")
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = measured(given.only)
    if given.page is not None:
        page = given.page.read_text(encoding="utf-8")
        given.page.write_text(with_section(page, "shapes", section(found)), encoding="utf-8")


if __name__ == "__main__":
    main()
