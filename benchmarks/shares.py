"""Shares of the arithmetic floor on real weights: this project's engine beside plain hooks with the same matrix kernel.

    python benchmarks/shares.py pretrained:smollm2-135m-instruct [--only NAME] [--repeats N] [--prompts N]
                                [--page docs/benchmarks.md]

Both sides run in one process on one thread, in turns. R1: all heads × {0, 2} on 64 sums, at 2 and 8 shots; on other
models (R2 of the targets) with --prompts 32. S1: all
heads zeroed on prompts of indirect object identification, which share nothing. S2: all heads × all positions of one
pair patched, noising and denoising. Each is run on the heads of two layers and extrapolated to all, the same way for
both sides; the plain loops on some of these interventions. Rows are kept in benchmarks/shares.json; `--page` writes
them into a page, `--only bound` measures how near to the matrix speed a block's products come and which part of the
time they take, `--only none` nothing.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import argparse
import copy
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from results import with_section
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from lesion.engine import reference
from lesion.engine.attach import Source
from lesion.engine.batch import Batch, in_parts
from lesion.engine.batched.engine import Fast
from lesion.engine.batched.linear_kernels import Kernel, PackedLinear, is_map, quicken, weight_and_bias
from lesion.engine.bench.bench import Spent, loop, matrix_speed, numbers, timed
from lesion.engine.bench.workload import Shape, floor, plain_operations
from lesion.engine.hooks import edited
from lesion.engine.proof.cache import engine_for
from lesion.engine.proof.float64_truth import Truth, Variant
from lesion.engine.replacement_activations import Library
from lesion.interventions.intervention import Intervention, Patch, Scale
from lesion.interventions.site import Site, head
from lesion.measures.attribution.patching import Direction, with_twins
from lesion.measures.prompt_set import ask
from lesion.models.model import Model, open_model
from lesion.models.obtain.pretrained import is_there

FILE = Path(__file__).resolve().parent / "shares.json"
SUMS = "arithmetic format=equation high=99 shots={}"
PROMPTS, LOOPED, CHECKED = 64, 2, 2
"""Prompts; interventions of the plain loops; rows compared with float64."""
MADE = ("mkldnn::_linear_pointwise", "aten::addmm", "aten::mm", "aten::bmm", "aten::baddbmm")
"""Operations of torch that are matrix products; those within fused attention are not among them."""


class Work(NamedTuple):
    """One piece of work."""

    name: str
    about: str
    model: Model
    batches: Sequence[Batch]
    wanted: Sequence[Intervention]
    library: Library | None
    """Gives what patches put in place."""


class Sides(NamedTuple):
    """What runs it."""

    fast: Fast
    same: Model
    """The model with the engine's matrix kernel in all its linear maps."""
    kernel: Kernel


def some_heads(model: Model) -> list[Site]:
    """All heads of two layers whose mean is about that of all layers (7 and 22 of 30)."""
    half = model.sizes.n_layers // 2
    layers = ((half - 1) // 2, (half - 1) // 2 + half)
    return [head(layer, index) for layer in layers for index in range(model.sizes.n_heads)]


def works(model: Model, prompts: int) -> list[Work]:
    """The pieces of work."""
    sites = some_heads(model)
    made: list[Work] = []
    for shots in (2, 8):
        batches = ask(model, SUMS.format(shots), prompts).batches
        wanted = [Scale(sites=(site,), alpha=alpha) for site in sites for alpha in (0.0, 2.0)]
        made.append(Work(f"R1, {shots} shots", _shape(batches), model, batches, wanted, None))
    asked = ask(model, "ioi", prompts)
    zeroed = [Scale(sites=(site,), alpha=0.0) for site in sites]
    made.append(Work("S1", _shape(asked.batches), model, asked.batches, zeroed, None))
    directions: tuple[Direction, ...] = ("noising", "denoising")
    for direction in directions:
        pairs, _ = with_twins(asked, direction)
        (pair,) = in_parts(next(in_parts(pairs.batches[0], 1)), 1)
        patches = [
            Patch(sites=(site,), positions=f"index:{place}") for site in sites for place in range(pair.prompt_length)
        ]
        made.append(Work(f"S2, {direction}", _shape([pair]), model, [pair], patches, Library(model)))
    return made


def _shape(batches: Sequence[Batch]) -> str:
    rows = sum(len(batch.rows) for batch in batches)
    lengths = sorted({batch.inputs.shape[1] for batch in batches})
    ends = f"{lengths[0]}" if len(lengths) == 1 else f"{lengths[0]} to {lengths[-1]}"
    return f"{rows} {'prompt' if rows == 1 else 'prompts'} of {ends} tokens"


def quick(sides: Sides, work: Work) -> None:
    """All interventions by the engine, and the numbers of the first answer position."""
    for batch in work.batches:
        sources = None if work.library is None else work.library.sources(batch, work.wanted)
        for _, outcome in sides.fast.run(batch, work.wanted, None, sources):
            numbers(outcome.logits, batch)


def plain(model: Model, work: Work, spread: Sequence[Intervention], *, late: bool) -> None:
    """Some interventions by one whole forward pass each."""
    for batch in work.batches:
        for one in spread:
            if isinstance(one, Scale):
                loop(model, batch, one, late=late)
            else:
                assert work.library is not None
                patch(model, batch, one, work.library.sources(batch, [one])[one], late=late)


def patch(model: Model, batch: Batch, one: Intervention, source: Source, *, late: bool) -> None:
    """A whole forward pass with a known activation put in place; the corrupted prompt's is made outside, once."""
    place, mask = model.place(one.sites[0]), batch.mask(one.positions)
    other = source[one.sites[0]].expand(*mask.shape, -1)

    def edit(activation: Tensor) -> Tensor:
        copied = activation.clone()
        copied.view(*mask.shape, place.units, -1)[:, :, place.index][mask] = other[mask]
        return copied

    keep = batch.inputs.shape[1] - batch.first if late else 0
    with torch.inference_mode(), edited(place.module, edit):
        logits = model.module(batch.inputs, use_cache=False, logits_to_keep=keep).logits
    numbers(logits if late else logits[:, batch.first :], batch)


def measure(sides: Sides, work: Work, repeats: int) -> dict[str, Any]:
    """One row of the table."""
    model, wanted = work.model, work.wanted
    spread = [wanted[(2 * i + 1) * len(wanted) // (2 * LOOPED)] for i in range(LOOPED)]
    ways: dict[str, Callable[[], None]] = {
        "lesion": lambda: quick(sides, work),
        "hooks": lambda: plain(model, work, spread, late=False),
        "same": lambda: plain(sides.same, work, spread, late=False),
        "expert": lambda: plain(sides.same, work, spread, late=True),
    }
    plain(model, work, spread[:1], late=False)
    taken: dict[str, list[Spent]] = {name: [] for name in ways}
    speeds: list[float] = []
    for _ in range(repeats):
        speeds.append(peak(model))
        for name, way in ways.items():
            taken[name].append(timed(way)[0])
    times = len(wanted) / len(spread)
    spent = {
        name: statistics.median(one.processor for one in each) * (1 if name == "lesion" else times)
        for name, each in taken.items()
    }
    least = sum(floor(model, batch, wanted, sides.fast.ending(batch)) for batch in work.batches)
    whole, late = (
        sum(plain_operations(model, batch, late=only) for batch in work.batches) * len(wanted) for only in (False, True)
    )
    everything = model.sizes.n_layers / 2  # from the heads of two layers to all
    return {
        "work": work.name,
        "about": work.about,
        "interventions": round(len(wanted) * everything),
        "run": len(wanted),
        "repeats": repeats,
        "day": time.strftime("%Y-%m-%d"),
        "load": os.getloadavg()[0],
        "share": least / max(speeds) / 1e9 / spent["lesion"],
        "gflops": max(speeds),
        "seconds": {name: value * everything for name, value in spent.items()},
        "ratios": {name: spent[name] / spent["lesion"] for name in ("hooks", "same", "expert")},
        "saved": whole / least,
        "saved_late": late / least,
        **errors(sides, work, spread),
    }


def peak(model: Model) -> float:
    """The machine's matrix speed at this model's width, the better of both kernels, 10^9 operations per second."""
    sizes = model.sizes
    shape = Shape(sizes.n_layers, sizes.n_heads, sizes.d_model, sizes.vocab_size, 1)
    kernels: tuple[Kernel, ...] = ("onednn", "default")
    return max(matrix_speed(shape, kernel) for kernel in kernels)


def bound(model: Model, rows: int = 1024) -> float:
    """Share of the matrix speed that a block's own products reach on so many rows, each with the better kernel.

    No engine that makes these products one by one comes nearer to its floor.
    """
    linears = [part for part in model.block(0).modules() if is_map(part)]
    operations, seconds = 0.0, 0.0
    for linear in linears:
        weight, _ = weight_and_bias(linear)
        work = 2 * rows * weight.numel()
        operations += work
        seconds += min(_seconds(way, torch.randn(rows, len(weight)), work) for way in (linear, PackedLinear(linear)))
    return operations / seconds / 1e9 / peak(model)


def products(sides: Sides, work: Work) -> float:
    """Share of the engine's time that its matrix products take, by torch's profiler, on every third intervention."""
    some = work._replace(wanted=work.wanted[::3])
    quick(sides, some)
    with profile(activities=[ProfilerActivity.CPU]) as told:
        quick(sides, some)
    spent = {event.key: event.self_cpu_time_total for event in told.key_averages()}
    return sum(spent.get(name, 0.0) for name in MADE) / sum(spent.values())


def _seconds(way: Callable[[Tensor], Tensor], x: Tensor, work: float) -> float:
    """Processor seconds of one product, the best of five."""
    many = max(3, int(2**31 / work))  # long enough for the clock
    with torch.inference_mode():
        return min(timed(lambda: [way(x) for _ in range(many)])[0].processor for _ in range(5)) / many


def errors(sides: Sides, work: Work, spread: Sequence[Intervention]) -> dict[str, float | None]:
    """Largest error of a log-probability at the answer positions, nats: both sides against float64, on some rows.

    Patches are compared with the reference engine, since float64 has no patches here.
    """
    (batch,) = [next(in_parts(each, CHECKED)) for each in work.batches[:1]]
    sources = None if work.library is None else work.library.sources(batch, spread)
    found = {index: outcome.logits for index, outcome in sides.fast.run(batch, spread, None, sources)}
    ours = [found[index].double().log_softmax(-1) for index in range(len(spread))]
    beside = [
        reference.run(work.model, batch, one, None, None if sources is None else sources[one]).logits for one in spread
    ]
    theirs = [logits.double().log_softmax(-1) for logits in beside]
    apart = max(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True))
    scaled = [one for one in spread if isinstance(one, Scale)]
    if len(scaled) < len(spread):
        return {"error": None, "error_hooks": None, "apart": apart}
    variants = [Variant(batch.inputs, batch.first, one, batch.mask(one.positions)) for one in scaled]
    truth = [logits.log_softmax(-1) for logits in Truth(work.model).logits(variants)]
    error, error_hooks = (
        max(float((a - b).abs().max()) for a, b in zip(side, truth, strict=True)) for side in (ours, theirs)
    )
    return {"error": error, "error_hooks": error_hooks, "apart": apart}


def section(found: dict[str, Any]) -> str:
    """The section of a page of benchmarks: a table a model."""
    tables = [_table(name, each) for name, each in found.items()]
    kernels = {each["kernel"] for each in found.values()}
    return HEAD.format(looped=LOOPED) + "".join(tables) + TAIL.format(kernel=", ".join(sorted(kernels)))


def _table(model: str, found: dict[str, Any]) -> str:
    lines = [COLUMNS.format(model=model)]
    for row in found["rows"]:
        ratios = row["ratios"]
        error = "–" if row["error"] is None else f"{row['error']:.0e} ({row['error_hooks']:.0e})"
        lines.append(
            f"| {row['work']}: {row['about']} | {row['interventions']:,} | {row['share']:.0%} | "
            f"{ratios['same']:.1f}× | {ratios['expert']:.1f}× | {ratios['hooks']:.1f}× | "
            f"{row['saved']:.1f}× ({row['saved_late']:.1f}×) | "
            f"{row['seconds']['lesion']:.0f} | {error} | {row['apart']:.0e} | {row['gflops']:.0f} | {row['repeats']} | "
            f"{row['load']:.1f} | {row['day']} |\n"
        )
    for text, share in ((BOUND, found.get("bound")), (PRODUCTS, found.get("products"))):
        lines += [] if share is None else [text.format(share=share)]
    return "".join(lines)


HEAD = """\
## Real weights: share of the arithmetic floor

One thread, all sides in one process and in turns, processor time, medians where there are several repeats. The heads
of two layers are run, and both sides are extrapolated to all heads; the plain loops run {looped} interventions.

- *Share of the floor*: the multiply-adds that the batched algorithm cannot avoid, at the matrix speed measured in the
  same run (*GFLOP/s*), over the time taken.
- *Same kernel*: plain hooks on the module whose linear maps are the engine's. *Last logits*: the same loop with logits
  at the answer positions only, as an expert writes it. *As it comes*: transformers with torch's own kernel.
- *Saved*: multiply-adds of the plain loop over ours; in brackets, of the loop with the last logits only.
- *Error*: of a log-probability against float64, nats; in brackets, that of plain hooks. *Apart*: the largest
  difference between both sides.
"""
COLUMNS = """
**{model}**

| work | edits | share of the floor | same kernel | last logits | as it comes | saved | lesion, s | error | apart | \
GFLOP/s | repeats | load | day |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|
"""
BOUND = "\nA block's own products, made alone on 1,024 rows, reach {share:.0%} of the matrix speed.\n"
PRODUCTS = "\nMatrix products take {share:.0%} of the engine's time in R1 at 2 shots (torch's profiler).\n"
TAIL = """
R1: every head × {{0, 2}} on sums (`format=equation high=99`); with 32 prompts on the two larger models.
S1: every head zeroed on `ioi`, no token shared. S2: every head × every position of one `ioi` pair, patched: short
passes, where a plain loop waits for much else than arithmetic, so the ratio is above what is saved.

**Wanted: a share of 92 %.** The two numbers below a table, multiplied, are what an engine reaches that makes the
products one by one and all else beside them: norms, activation functions, the softmax of attention, copies. **Wanted
at 2 shots: 8.5× plain hooks.** An engine cannot save more than *saved* says, so more than that comes from kernels
alone.

Other jobs ran beside these rows (*load*; the machine has two cores), and a share moves by several points from one
measurement to the next: read it to the nearest ten. Each row has its day; the engine may have changed since.
Kernel: {kernel}. Measured by `benchmarks/shares.py`.
"""


def main() -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description="Shares of the arithmetic floor on real weights.")
    parser.add_argument("model", help="pretrained:NAME, or a folder")
    parser.add_argument("--page", type=Path, default=None, help="page of benchmarks that gets the section")
    parser.add_argument("--only", default="", help="only the work whose name begins so; other stored rows stay")
    parser.add_argument("--repeats", type=int, default=3, help="how often everything is timed")
    parser.add_argument("--prompts", type=int, default=PROMPTS, help="how many prompts R1 and S1 ask")
    given = parser.parse_args()
    name = given.model.removeprefix("pretrained:")
    if given.only != "none":
        if name != given.model and not is_there(name):
            print(f"{given.model} is not on this machine, so nothing was measured: lesion get {name}")
            return 0
        torch.set_num_threads(1)
        measured(given.model, given.only, given.repeats, given.prompts)
    if given.page is not None:
        said = section(json.loads(FILE.read_text(encoding="utf-8")))
        page = given.page.read_text(encoding="utf-8")
        given.page.write_text(with_section(page, "shares", said), encoding="utf-8")
    return 0


def measured(name: str, only: str, repeats: int, prompts: int) -> None:
    """Measure rows, and keep each as soon as it is there."""
    model = open_model(name)
    engine = engine_for(model)
    if engine.fast is None:
        sys.exit(f"{name} does not run on the batched engine here: {engine.choice.note}")
    kernel = engine.fast.twin.kernel
    shared = {id(tensor): tensor for tensor in [*model.module.parameters(), *model.module.buffers()]}
    module: Any = copy.deepcopy(model.module, shared)
    quicken(module, kernel)
    sides = Sides(engine.fast, replace(model, module=module), kernel)
    every = works(model, prompts)
    for work in every:
        if work.name.startswith(only):
            row = measure(sides, work, repeats)
            print(json.dumps(row), flush=True)
            _keep(name, kernel, [one.name for one in every], {row["work"]: row})
    if not only or only == "bound":
        reached = {"bound": bound(model), "products": products(sides, every[0])}
        _keep(name, kernel, [one.name for one in every], {}, reached)


def _keep(
    name: str, kernel: Kernel, order: list[str], new: dict[str, dict[str, Any]], reached: dict[str, float] | None = None
) -> None:
    """Put rows in the place of those that were stored, and the bounds where they were measured."""
    found = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    stored = found.get(name, {})
    rows = {**{one["work"]: one for one in stored.get("rows", [])}, **new}
    kept = [rows[work] for work in order if work in rows]
    bounds = {key: stored.get(key) for key in ("bound", "products")} | (reached or {})
    found[name] = {"kernel": kernel, **bounds, "rows": kept}
    FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
