"""Writes docs/mib.md: MIB's node curves, CPR and CMD, on a pretrained model with indirect object identification.

python docs/mib.py measure    # runs lesion faithful --curve, writes docs/mib.json (some processor minutes)
python docs/mib.py write      # makes the page from docs/mib.json
"""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

HERE = Path(__file__).parent
FILE, PAGE = HERE / "mib.json", HERE / "mib.md"
MODEL, TASK, ITEMS = "pretrained:smollm2-135m-instruct", "ioi corruption=s2_io", 8
COMMAND = ("faithful", MODEL, "--task", TASK, "--curve", "--items", str(ITEMS))
TOP = 12


def measure() -> None:
    """Run the command, one thread, and keep its curves and its processor seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with TemporaryDirectory() as home:
        done = subprocess.run(
            [sys.executable, str(HERE.parent / "main.py"), *COMMAND, "--json", "--home", home],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise SystemExit(done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = json.loads(done.stdout)
    kept = {
        "seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime),
        "refused": found["refused"],
        "without_twin": found["without_twin"],
        "curves": [{**curve, "ranked": curve["ranked"][:TOP]} for curve in found["curves"]],
    }
    FILE.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def page(found: dict[str, Any]) -> str:
    """The page's text."""
    signed, absolute = found["curves"]
    parts = [
        HEAD.format(command=" ".join(("lesion", *COMMAND)).replace(TASK, f"'{TASK}'"), minutes=found["seconds"] / 60)
    ]
    parts += [
        f"| {one['ranking']} | {one['cpr']:.2f} | {one['cmd']:.2f} | {', '.join(one['ranked'][:6])} |\n"
        for one in (signed, absolute)
    ]
    parts.append(CURVES.format(items=signed["items"], of=signed["of"]))
    for one, other in zip(signed["points"], absolute["points"], strict=True):
        parts.append(f"| {one['fraction']:g} | {one['nodes']} | {_share(one)} | {_share(other)} |\n")
    parts.append(TAIL)
    return "".join(parts)


def _share(point: dict[str, Any]) -> str:
    if point["low"] is None:
        return f"{point['faithfulness']:.2f}"
    return f"{point['faithfulness']:.2f} ({point['low']:.2f} to {point['high']:.2f})"


HEAD = """<!-- made by docs/mib.py from docs/mib.json: python docs/mib.py write -->

# MIB's CPR and CMD on a pretrained model

`{command}`
took {minutes:.0f} processor minutes. Every head and every MLP is ablated alone on other items: the corrupted prompt's
activation takes the place of its own. The best fraction of nodes is kept, the rest replaced.

| ranking | CPR | CMD | first nodes |
|---|---|---|---|
"""
CURVES = """
CPR is the area under faithfulness f, best 1 or more; CMD the area under |1 − f|, best 0. `signed` ranks by what a node
helps (for CPR), `absolute` by the size of its effect (for CMD). {items} items, {of} nodes; 95 % bootstrap intervals
over templates. Eight items have fewer templates still, so the intervals are too narrow; CPR and CMD have none.

| fraction kept | nodes | f, signed | f, absolute |
|---|---|---|---|
"""
TAIL = """
MIB (Mueller et al. 2025, [arXiv:2504.13151](https://arxiv.org/abs/2504.13151)) ranks edges, and its published numbers
are of other models: GPT-2 Small, Qwen-2.5, Gemma-2, Llama-3.1. The fractions and the areas are the same, the nodes,
the model and the prompts are not, so the numbers here do not compare with them.
"""


if __name__ == "__main__":
    if sys.argv[1:] == ["measure"]:
        measure()
    elif sys.argv[1:] == ["write"]:
        PAGE.write_text(page(json.loads(FILE.read_text(encoding="utf-8"))), encoding="utf-8")
    else:
        raise SystemExit(__doc__)
