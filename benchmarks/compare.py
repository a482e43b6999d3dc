"""Times this project's batched engine against its peers in one run on one machine, and writes docs/benchmarks.md.

Every side is a process in its own pinned environment under .bench/, with the same weights, items and threads. In each
repeat all sides take one turn; ratios are taken within a repeat, so that a busy machine slows all alike. The slow sides
run a few interventions spread over the layers and are extrapolated, which the page says.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import altair
import torch
from results import EXPERT, OURS, SECTIONS, Result, fastest, named, section_of
from targets import PEERS, measured, targets
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from lesion.engine.bench.bench import matrix_speed
from lesion.engine.bench.workload import SHAPES, Work, workload
from lesion.runs.manifest.environment import processor

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
BENCH = ROOT / ".bench"
PAGE = ROOT / "docs" / "benchmarks.md"
IMAGES = "images"


class Side(NamedTuple):
    """One way to do the work."""

    name: str
    script: str
    environment: str
    """Folder under .bench/; empty for this project's own."""
    arguments: tuple[str, ...] = ()


SIDES = (
    Side("transformers + hooks", "hooks.py", ""),
    Side(EXPERT, "hooks.py", "", ("expert",)),
    Side("nnsight 0.8.1", "nnsight_trace.py", "nnsight"),
    Side("transformer-lens 4.3.0", "transformer_lens_hooks.py", "transformer-lens"),
    Side("pyvene 0.1.8", "pyvene_intervene.py", "pyvene"),
    Side(OURS, "lesion_fast.py", ""),
)


def main() -> None:
    """Run the benchmark and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", nargs="+", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--loops", type=int, default=4, help="interventions that the slow sides run")
    parser.add_argument("--share", type=int, default=1, help="of our own interventions, run one group in so many")
    parser.add_argument("--without", nargs="*", default=[], help="peers to leave out, by their environment's name")
    parser.add_argument("--only-peers", action="store_true", help="leave out prefixes, positions, families and growth")
    parser.add_argument("--quick", action="store_true", help="of these, run a few interventions, to see that it works")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page to write; its picture lies beside it")
    parser.add_argument("--title", default="Benchmarks", help="of the page")
    parser.add_argument("--note", default="", help="a sentence for the page about the conditions of this run")
    given = parser.parse_args()
    if given.repeats < 3:
        parser.error("medians need at least 3 repeats")
    before = os.getloadavg()
    found = {work: compare(work, given.repeats, given.loops, given.share, given.without) for work in given.work}
    extra = {} if given.only_peers else measured(given.repeats, quick=given.quick)
    said = targets(found, extra)
    busy = f"{before[0]:.1f} before, {os.getloadavg()[0]:.1f} after"
    write(given.page.resolve(), given.title, found, said, given.repeats, busy, given.note)


def compare(work: Work, repeats: int, loops: int, share: int, without: list[str]) -> list[Result]:
    """All sides on one piece of work."""
    jobs, total, ours = prepare(work, loops, share)
    processes = {
        side.name: start(side, jobs[side.name == OURS], work) for side in SIDES if side.environment not in without
    }
    try:
        numbers = {name: torch.tensor(ask(process, "check")["numbers"]) for name, process in processes.items()}
        rounds = [{name: ask(process, "go") for name, process in processes.items()} for _ in range(repeats)]
    finally:
        for process in processes.values():
            process.stdin.close()
            process.wait(60)
    truth = numbers[SIDES[0].name]
    numbers[OURS] = numbers[OURS][ours]
    timed = {name: len(ours) if name != OURS else total[1] for name in processes}
    return [
        result(name, rounds, {n: total[0] / timed[n] for n in timed}, timed[name], error(numbers[name], truth))
        for name in processes
    ]


def error(found: torch.Tensor, truth: torch.Tensor) -> float:
    """Largest difference of answer log-probabilities."""
    return float((found - truth)[:, 0].abs().max())


def result(name: str, rounds: list[dict[str, Any]], scale: dict[str, float], timed: int, wrong: float) -> Result:
    """Medians over the rounds."""
    spent = {key: [one[name][key] * scale[name] for one in rounds] for key in ("wall", "processor")}
    ours = {key: [one[OURS][key] * scale[OURS] for one in rounds] for key in ("wall", "processor")}
    ratio = {key: statistics.median(a / b for a, b in zip(spent[key], ours[key], strict=True)) for key in spent}
    peak = max(one[name]["peak_bytes"] for one in rounds)
    seconds, busy = (statistics.median(spent[key]) for key in ("wall", "processor"))
    return Result(name, seconds, busy, timed, ratio["wall"], ratio["processor"], wrong, peak)


def prepare(work: Work, loops: int, share: int) -> tuple[tuple[Path, Path], tuple[int, int], list[int]]:
    """Save weights and items; give both jobs, how many interventions there are and we run, and the peers' in ours."""
    load = workload("gpt2", work)
    folder = BENCH / "jobs" / work
    load.model.module.save_pretrained(folder)
    words = Tokenizer(models.WordLevel({f"t{i}": i for i in range(load.shape.vocabulary)}, unk_token="t0"))
    PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="t0", eos_token="t0", pad_token="t0", unk_token="t0"
    ).save_pretrained(folder)
    every = [(one.sites[0].layer, one.sites[0].index, one.alpha) for one in load.wanted]
    units = list(dict.fromkeys((layer, unit) for layer, unit, _ in every))
    units = units[:: max(1, min(share, len(units) // 12))]  # all alphas of a head stay together
    ours = [one for one in every if one[:2] in set(units)]
    spread = [(2 * i + 1) * len(ours) // (2 * loops) for i in range(loops)]
    common = {
        "model": str(folder),
        "ids": load.batch.inputs.tolist(),
        "answer": load.batch.answer[:, 0].tolist(),
        "wrong": load.batch.wrong[:, 0].tolist(),
        "kind": load.wanted[0].sites[0].kind,
        "threads": torch.get_num_threads(),
    }
    paths = (BENCH / "jobs" / f"{work}-loop.json", BENCH / "jobs" / f"{work}-all.json")
    for path, wanted in zip(paths, ([ours[i] for i in spread], ours), strict=True):
        path.write_text(json.dumps({**common, "wanted": wanted}), encoding="utf-8")
    return paths, (len(every), len(ours)), spread


def start(side: Side, job: Path, work: Work) -> subprocess.Popen[str]:
    """A side's process, once it is ready."""
    python = str(BENCH / side.environment / "bin" / "python") if side.environment else sys.executable
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(torch.get_num_threads())}
    if not side.environment:
        environment["PYTHONPATH"] = str(ROOT)
    arguments = side.arguments or ((work,) if side.name == OURS else ())
    process = subprocess.Popen(
        [python, str(HERE / "peers" / side.script), str(job), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    for line in process.stdout or ():
        if line.strip() == "ready":
            return process
    sys.exit(f"{side.name} did not start (exit code {process.wait()}); 'make bench' prepares its environment")


def ask(process: subprocess.Popen[str], what: str) -> dict[str, Any]:
    """One turn of a side."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{what}\n")
    process.stdin.flush()
    for line in process.stdout:
        if line.startswith("{"):
            return json.loads(line)
    sys.exit(f"a side ended in the middle of its work: {process.args}")


WORDS = {
    "W1": "every head × α in {0, ½, 2} of a GPT-2-small shape, 432 interventions",
    "W2": "every head × α in {0, ½, 2} of 4 layers × 4 heads × 128, 48 interventions",
    "W3": "256 single neurons zeroed, one at a time, on W1's model",
}


def write(
    page: Path, title: str, found: dict[Work, list[Result]], said: list[str], repeats: int, busy: str, note: str
) -> None:
    """The page and its picture."""
    packed, default = (matrix_speed(SHAPES["W1"], kernel) for kernel in ("onednn", "default"))
    lines = [
        f"# {title}",
        "",
        "Written by `make bench` (benchmarks/compare.py); do not edit. Each side runs in its own pinned environment",
        "(benchmarks/requirements-*.txt) on the same random weights and the same items, GPT-2 architecture, float32,",
        f"{torch.get_num_threads()} thread(s); medians of {repeats} repeats in which all sides take turns.",
        "",
        f"Machine: {processor()}, {os.cpu_count()} cores; load average {busy}. Above the number of cores,",
        "other jobs ran too: then compare processor time, not wall time.",
        f"torch {version('torch')}, transformers {version('transformers')}; batched engine's kernel: oneDNN by rule,",
        f"{packed:.0f} GFLOP/s here where torch's default, which the others run on, makes {default:.0f}.",
        *(["", note] if note else []),
        "",
        *said,
        "",
        f"![Seconds of processor time for the whole work, by side]({IMAGES}/{page.stem}.svg)",
    ]
    for work, results in found.items():
        lines += ["", *table(work, results)]
    before = page.read_text(encoding="utf-8") if page.is_file() else ""
    for kept in (section_of(before, name) for name in SECTIONS):
        lines += ["", kept.rstrip("\n")] if kept else []
    lines += ["", *EXPLAINED]
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")
    draw(found, page.parent / IMAGES / f"{page.stem}.svg")


def table(work: Work, results: list[Result]) -> list[str]:
    """One piece of work."""
    shape = SHAPES[work]
    first, expert = fastest(results), named(results, EXPERT)
    share = f"{shape.shared} of {shape.prompt} tokens shared by all {shape.prompts} prompts"
    return [
        f"## {work}: {WORDS[work]}",
        "",
        f"Prompts: {share}. **{first.ratio_processor:.1f}× the fastest peer** ({first.name}) and"
        f" {expert.ratio_processor:.1f}× the expert's loop in processor time"
        f" ({first.ratio:.1f}× and {expert.ratio:.1f}× by the clock).",
        "",
        "| | processor s | wall s | ratio, processor | ratio, wall | run | max abs error | peak memory, GiB |",
        "|---|---|---|---|---|---|---|---|",
        *(
            f"| {one.name} | {one.processor:.3g} | {one.seconds:.3g} | {one.ratio_processor:.1f}× | {one.ratio:.1f}× |"
            f" {one.timed} | {one.error:.1e} | {one.peak_bytes / 2**30:.2f} |"
            for one in results
        ),
    ]


EXPLAINED = (
    "## How to read it",
    "",
    "- *run*: interventions measured in each repeat, spread over the layers; seconds are extrapolated to all of them.",
    "  Our seconds include the clean run, so extrapolation makes us look slower. *Ratio*: that side's time over ours,",
    "  the median over the repeats.",
    "- *max abs error*: of answer log-probabilities, in nats, against transformers + hooks, on the interventions that",
    "  all sides ran.",
    "- The ratios depend on the share of the shared prefix, on oneDNN's speed against torch's default kernel (much",
    "  faster on a free AVX-512 core, little on a shared one) and on the vocabulary (only the last logits are made).",
    "  `lesion bench --shared 0`, `--positions last`, `--family llama`, `--tune` and `--growth` measure these singly.",
    "- Two machines were measured: on [the first](benchmarks-first.md) oneDNN is more than twice as fast as torch's",
    "  default kernel, and ratios are almost twice as large; on [the other](benchmarks.md) it is hardly faster.",
    "- transformer-lens 4 has no HookedTransformer; its bridge is used without folding, because folded value biases",
    "  change what ablating a head means. nnsight and pyvene edit the input of the output projection, which is where",
    "  heads are; pyvene needs a scaling intervention of our own.",
)


def draw(found: dict[Work, list[Result]], picture: Path) -> None:
    """Dots on a logarithmic scale, which has no zero for bars to stand on."""
    rows = [
        {"side": one.name, "work": work, "seconds": one.processor, "ours": one.name == OURS}
        for work, results in found.items()
        for one in results
    ]
    chart = (
        altair.Chart(altair.Data(values=rows))
        .mark_circle(size=140, opacity=1)
        .encode(
            x=altair.X(
                "seconds:Q",
                scale=altair.Scale(type="log", nice=True),
                title="processor seconds for the whole work (log)",
            ),
            y=altair.Y("side:N", sort=[side.name for side in SIDES], title=None),
            color=altair.Color("ours:N", legend=None, scale=altair.Scale(range=["#9aa5b1", "#0b6e4f"])),
            row=altair.Row("work:N", title=None),
        )
        .properties(width=460, height=130)
    )
    picture.parent.mkdir(parents=True, exist_ok=True)
    chart.save(str(picture))


if __name__ == "__main__":
    main()
