"""Writes docs/pretrained.md: which engine the three pretrained models take, and what the commands cost on them.

    python docs/pretrained.py measure MODEL [WHAT …]     # adds rows to docs/pretrained.jsonl
    python docs/pretrained.py write                      # makes the page from the rows

MODEL is one of the names of `lesion get`. WHAT is `opening`, `reading`, or a name of `COMMANDS`; by default all that
the model has a target for. A command runs in a process of its own, on one thread, with an empty cache of proofs.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

HERE = Path(__file__).parent
ROWS, PAGE = HERE / "pretrained.jsonl", HERE / "pretrained.md"
SMALL, GEMMA, QWEN = "smollm2-135m-instruct", "gemma-3-270m", "qwen2.5-coder-0.5b-instruct"
MODELS = (SMALL, GEMMA, QWEN)
TASK = ("--task", "arithmetic format=equation high=99")
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "doctor": ("doctor",),
    "heads": ("heads",),
    "attribute": ("attribute", *TASK, "--items", "64"),
    "screen": ("screen", *TASK, "--items", "64"),
    "patch": ("patch", *TASK, "--items", "2"),
}
WORDS = {
    "doctor": "`doctor`",
    "heads": "`heads`",
    "attribute": "`attribute`, 64 items",
    "screen": "`screen`, 64 items",
    "patch": "`patch` of all heads, 2 items",
}
TARGETS = {
    (SMALL, "doctor"): 45, (SMALL, "heads"): 60, (SMALL, "attribute"): 120,
    (SMALL, "screen"): 150, (SMALL, "patch"): 60,
    (QWEN, "heads"): 240,
}  # fmt: skip
"""Processor seconds. The target of `screen` is without its exact part, and the measurement is with it."""

OPENING = """
import json, resource, sys, time
import torch
torch.set_num_threads(1)
from lesion.engine.proof.cache import engine_for, proved
from lesion.models.model import open_model
begun = time.process_time()
model = open_model(sys.argv[1])
opened = time.process_time()
proved(model)
shown = time.process_time()
choice = engine_for(model).choice
ended = time.process_time()
print(json.dumps({
    "open": opened - begun, "prove": shown - opened, "choose": ended - shown,
    "choice": choice.model_dump(mode="json"), "weights_hash": model.weights_hash,
    "peak": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
}))
"""
READING = """
import hashlib, json, sys, time
import torch
from safetensors.torch import load_file
from pathlib import Path
from lesion.models.sizes import locate
torch.set_num_threads(1)
files = sorted(Path(locate(sys.argv[1]).where).glob("*.safetensors"))
begun = time.process_time()
for file in files:
    for tensor in load_file(file).values():
        tensor.sum()
read = time.process_time()
for file in files:
    with file.open("rb") as stream:
        hashlib.file_digest(stream, "sha256")
print(json.dumps({"read": read - begun, "hash": time.process_time() - read}))
"""
"""What the weights' file alone costs: safetensors touches every number, and SHA-256 reads every byte."""


def opening(name: str) -> dict[str, Any]:
    """What opening, proof and choice of the engine cost the first time and the second, and what was chosen."""
    with TemporaryDirectory() as cache:
        first, later = (
            json.loads(_run([sys.executable, "-c", OPENING, f"pretrained:{name}"], cache)[0]) for _ in range(2)
        )
    return {"first": first, "later": later}


def reading(name: str) -> dict[str, Any]:
    """What reading and hashing the weights alone cost."""
    with TemporaryDirectory() as cache:
        return json.loads(_run([sys.executable, "-c", READING, f"pretrained:{name}"], cache)[0])


def command(name: str, what: str) -> dict[str, Any]:
    """Processor seconds and peak memory of a command."""
    verb, *more = COMMANDS[what]
    program = str(Path(sys.executable).parent / "lesion")
    with TemporaryDirectory() as cache:
        _, used = _run([program, verb, f"pretrained:{name}", *more], cache)
    return {"seconds": used.ru_utime + used.ru_stime, "peak": 1024 * used.ru_maxrss}


def _run(arguments: Sequence[str], cache: str) -> tuple[str, Any]:
    """What a process printed, and what it used."""
    places = {"LESION_CACHE": f"{cache}/cache", "LESION_HOME": f"{cache}/home", "OMP_NUM_THREADS": "1"}
    with (Path(cache) / "printed").open("w+", encoding="utf-8") as printed:
        process = subprocess.Popen(arguments, stdout=printed, stderr=sys.stderr, env={**os.environ, **places})
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"{' '.join(arguments)} ended with {process.returncode}")
        printed.seek(0)
        return printed.read(), used


def measure(name: str, asked: Sequence[str]) -> None:
    """Measure and add rows; an older row of the same thing is replaced."""
    wanted = asked or ["opening", "reading", *(what for model, what in TARGETS if model == name)]
    for what in wanted:
        alone = {"opening": opening, "reading": reading}.get(what)
        found = command(name, what) if alone is None else alone(name)
        row = {"model": name, "what": what, "day": time.strftime("%Y-%m-%d"), "load": os.getloadavg()[0], **found}
        kept = [old for old in rows() if (old["model"], old["what"]) != (name, what)]
        ROWS.write_text("".join(json.dumps(one) + "\n" for one in [*kept, row]), encoding="utf-8")
        print(json.dumps(row), file=sys.stderr, flush=True)


def rows() -> list[dict[str, Any]]:
    """All that was measured."""
    return [json.loads(line) for line in ROWS.read_text(encoding="utf-8").splitlines()] if ROWS.is_file() else []


HEAD = """<!-- made by docs/pretrained.py from docs/pretrained.jsonl: python docs/pretrained.py write -->

# Pretrained models: engine, rounding and cost

## Engine

When a model is opened for the first time, the batched engine is compared with the same model in float64. It is used if
its largest error of a log-probability is at most four times the reference engine's own (or at most 1e-5 nats), and no
answer changes that float64 decides. An effect below the batched engine's error may be rounding.

| model | engine | kernel | batched − float64, nats | reference − float64, nats | ratio | limit, nats |
|---|---|---|--:|--:|--:|--:|
"""
COST = """
## Opening

Processor seconds on one thread. *First*: with proof and comparison. *Later*: both are read from the cache; the weights
are loaded and hashed again. Imports of torch and transformers are not counted (they take 3 to 8 seconds). Target of
*load and hash*: twice what safetensors alone takes to read every weight. Where it is missed, the SHA-256 of the file
alone, which a record needs, takes longer than that. The rest is the tokenizer, which is checked before it is read.

| model | safetensors | SHA-256 | first: load and hash | proof | comparison | in all | later, in all | peak, GiB |
|---|--:|--:|--:|--:|--:|--:|--:|--:|
"""
COMMAND = """
## Commands

Processor seconds of the whole process on one thread, imports and first proof included. Memory target: 1.6 × the weights
plus 1 GiB. The target of `screen` excludes its exact part; the measurement includes it.

| model | command | seconds | target | peak memory, GiB | memory target |
|---|---|--:|--:|--:|--:|
"""
NUMBERS = {SMALL: 538_090_408, GEMMA: 1_072_419_256, QWEN: 1_976_163_472}
"""Bytes of the weights."""


def page(found: Sequence[Mapping[str, Any]]) -> str:
    """The page's text."""
    placed = sorted(
        found,
        key=lambda row: (MODELS.index(row["model"]), list(WORDS).index(row["what"]) if row["what"] in WORDS else -1),
    )
    opened = [row for row in placed if row["what"] == "opening"]
    files = {row["model"]: row for row in placed if row["what"] == "reading"}
    parts = [HEAD, *_engines(opened), COST, *_openings(opened, files), COMMAND, *_commands(placed)]
    days = sorted({row["day"] for row in found})
    loads = [row["load"] for row in found]
    where = f"the machine has {CORES} cores, load average {min(loads):.0f} to {max(loads):.0f}"
    said = f"\nMeasured on {', '.join(days)}; {where}.\n"
    busy = "A busy machine makes processor times longer, too: the cores share caches and memory.\n"
    return "".join([*parts, said, busy])


CORES = 2
"""Of the machine that the rows come from."""


def _engines(opened: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for row in opened:
        choice = row["first"]["choice"]
        batched, plain = choice["batched_error"], choice["reference_error"]
        taken = "batched" if choice["engine"] == "fast" else "reference"
        numbers = f"{batched:.1e} | {plain:.1e} | {batched / plain:.1f} | {choice['limit']:.1e}"
        yield f"| {row['model']} | {taken} | {choice['kernel']} | {numbers} |\n"


def _openings(opened: Sequence[Mapping[str, Any]], files: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for row in opened:
        first, later = row["first"], row["later"]
        alone = [files[row["model"]][part] for part in ("read", "hash")]
        parts = [first[part] for part in ("open", "prove", "choose")]
        again = sum(later[part] for part in ("open", "prove", "choose"))
        numbers = " | ".join(f"{number:.1f}" for number in (*alone, *parts, sum(parts), again, first["peak"] / 2**30))
        yield f"| {row['model']} | {numbers} |\n"


def _commands(placed: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for row in placed:
        if row["what"] in COMMANDS:
            target = TARGETS.get((row["model"], row["what"]))
            most = (1.6 * NUMBERS[row["model"]] + 2**30) / 2**30
            numbers = (
                f"{row['seconds']:.0f} | {'' if target is None else target} | {row['peak'] / 2**30:.2f} | {most:.2f}"
            )
            yield f"| {row['model']} | {WORDS[row['what']]} | {numbers} |\n"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Measure engine and costs on pretrained models, or write their page.")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("measure", help="Measure one model.")
    one.add_argument("model", choices=MODELS)
    one.add_argument("what", nargs="*", choices=["opening", "reading", *COMMANDS, []])
    commands.add_parser("write", help="Write docs/pretrained.md from the rows.")
    given = parser.parse_args()
    if given.command == "measure":
        measure(given.model, given.what)
    else:
        PAGE.write_text(page(rows()), encoding="utf-8")


if __name__ == "__main__":
    main()
