"""Times the batched engine against the plain loop and against an expert's loop, on one machine in one run.

The plain loop is one whole forward pass per intervention with a hook that scales a copy; the expert's asks for the last
logits only. Both are timed on interventions spread over the layers and extrapolated; the batched engine is timed whole.
All are interleaved and every ratio is taken within its own repeat, so that a busy machine slows both sides alike.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lesion.engine.batch import Batch
from lesion.engine.batched.engine import Fast
from lesion.engine.batched.linear_kernels import Kernel, PackedLinear, kernel_rule
from lesion.engine.batched.memory import peak_bytes
from lesion.engine.bench.workload import Shape, Work, Workload, floor, workload
from lesion.engine.hooks import edited
from lesion.identity import Document
from lesion.interventions.intervention import Positions, Scale
from lesion.models.device import busy_seconds, described
from lesion.models.model import Model


class Timing(Document):
    """What one benchmark measured; times are medians, in seconds for the whole work."""

    family: str
    work: Work
    positions: str
    """Where the interventions act."""
    interventions: int
    """How many the batched engine ran."""
    looped: int
    """How many the loops were timed on; their times are extrapolated from these to all."""
    repeats: int
    """How often everything was timed."""
    prompts: int
    """Rows of the batch."""
    share_of_prefix: float
    """How much of a prompt is the same for all rows, 0 to 1."""
    seconds: float
    """Of the batched engine, all of it."""
    processor_seconds: float
    """The same in processor time, which other jobs on the machine disturb less."""
    plain_seconds: float
    """The plain loop, extrapolated."""
    expert_seconds: float
    """The loop that asks for the last logits only, extrapolated."""
    ratio_plain: float
    """Plain over quick, the median over the repeats."""
    ratio_expert: float
    """Expert's over quick, the median over the repeats."""
    ratio_plain_processor: float
    """Plain over quick in processor time."""
    max_abs_error: float
    """Largest absolute difference of log-probabilities from the plain loop, nats, over the interventions it ran."""
    share_of_floor: float
    """Arithmetic that cannot be avoided, at this machine's own matrix speed, over the processor time; 1 is perfect."""
    gflops: float
    """Matrix speed measured beside it, 10^9 operations per second of processor time."""
    plain_peak_bytes: int | None
    """Most memory of the process in the plain loop; null on a device, and where the system does not tell."""
    fast_peak_bytes: int | None
    """Most memory of the process in the batched engine, the model and the loop's leftovers included."""
    halvings: int
    """How often a pass was cut because memory did not suffice."""
    device: str
    """Where it ran."""
    threads: int
    """Processor threads."""
    torch: str
    """Version of torch."""
    kernel: Kernel
    """Matrix kernel of the batched engine."""


class Spent(NamedTuple):
    """Time that something took, in seconds."""

    wall: float
    processor: float


class Repeat(NamedTuple):
    """One repeat: everything once, one after the other."""

    quick: Spent
    plain: Spent
    expert: Spent
    gflops: float
    error: float
    peak: int | None


def bench(
    family: str = "gpt2",
    work: Work = "W1",
    *,
    positions: Positions = "all",
    shared: int | None = None,
    share: int = 1,
    loops: int = 6,
    repeats: int = 3,
) -> Timing:
    """Time one piece of work.

    Args:
        family: row of the table of architectures.
        work: which.
        positions: where the interventions act.
        shared: length of the shared prefix, where it is not the work's own.
        share: take every `share`-th intervention only, and say so in `interventions`.
        loops: how many interventions the loops are timed on.
        repeats: how often everything is timed.
    """
    load = workload(family, work, positions=positions, shared=shared, share=share)
    wanted, batch = load.wanted, load.batch
    loops = min(loops, len(wanted))
    spread = [wanted[(2 * i + 1) * len(wanted) // (2 * loops)] for i in range(loops)]
    plain_peak = peak_bytes(lambda: [loop(load.model, batch, one, late=False) for one in spread[:2]])
    fast = Fast(load.model)
    quick(fast, batch, spread[:1])
    done = [_repeat(fast, load, spread) for _ in range(repeats)]
    times = {name: [getattr(one, name) for one in done] for name in ("quick", "plain", "expert")}
    processor = statistics.median(one.processor for one in times["quick"])
    gflops = max(one.gflops for one in done)
    return Timing(
        family=family,
        work=work,
        positions=str(positions),
        interventions=len(wanted),
        looped=len(spread),
        repeats=repeats,
        prompts=len(batch.rows),
        share_of_prefix=load.shape.shared / load.shape.prompt,
        seconds=statistics.median(one.wall for one in times["quick"]),
        processor_seconds=processor,
        plain_seconds=statistics.median(one.wall for one in times["plain"]),
        expert_seconds=statistics.median(one.wall for one in times["expert"]),
        ratio_plain=statistics.median(one.plain.wall / one.quick.wall for one in done),
        ratio_expert=statistics.median(one.expert.wall / one.quick.wall for one in done),
        ratio_plain_processor=statistics.median(one.plain.processor / one.quick.processor for one in done),
        max_abs_error=max(one.error for one in done),
        share_of_floor=floor(load.model, batch, wanted, fast.ending(batch)) / gflops / 1e9 / processor,
        gflops=gflops,
        plain_peak_bytes=plain_peak,
        fast_peak_bytes=max((one.peak for one in done if one.peak), default=None),
        halvings=len(fast.halvings),
        device=described(),
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        kernel=fast.twin.kernel,
    )


def _repeat(fast: Fast, load: Workload, spread: Sequence[Scale]) -> Repeat:
    batch, times = load.batch, len(load.wanted) / len(spread)
    speed = matrix_speed(load.shape)
    held: list[Spent] = []
    peak = peak_bytes(lambda: held.append(timed(lambda: quick(fast, batch, load.wanted))[0]))
    plain, logits = timed(lambda: [loop(load.model, batch, one, late=False) for one in spread])
    expert, _ = timed(lambda: [loop(load.model, batch, one, late=True) for one in spread])
    error = _error(dict(fast.run(batch, spread)), logits)
    whole = [Spent(spent.wall * times, spent.processor * times) for spent in (plain, expert)]
    return Repeat(held[0], whole[0], whole[1], speed, error, peak)


def quick(fast: Fast, batch: Batch, wanted: Sequence[Scale]) -> None:
    """All interventions by the batched engine, and the numbers of the first answer position."""
    for _, outcome in fast.run(batch, wanted):
        numbers(outcome.logits, batch)


def loop(model: Model, batch: Batch, one: Scale, *, late: bool) -> Tensor:
    """One whole forward pass with a hook, and the numbers of the last position; the logits, for comparison."""
    place = model.place(one.sites[0])
    mask = batch.mask(one.positions)

    def edit(activation: Tensor) -> Tensor:
        copy = activation.clone()
        part = copy.view(*mask.shape, place.units, -1)[:, :, place.index]
        if one.positions == "all":
            part *= one.alpha
        else:
            part[mask] *= one.alpha
        return copy

    keep = batch.inputs.shape[1] - batch.first if late else 0
    with torch.inference_mode(), edited(place.module, edit):
        logits = model.module(batch.inputs, use_cache=False, logits_to_keep=keep).logits
    read = logits if late else logits[:, batch.first :].clone()
    numbers(read, batch)
    return read


def numbers(logits: Tensor, batch: Batch) -> Tensor:
    """Answer log-probability, entropy and logit difference at the first answer position, the same way for all."""
    with torch.inference_mode():
        first = logits[:, 0].float()
        answer, wrong = (first.gather(1, ids[:, :1])[:, 0] for ids in (batch.answer, batch.wrong))
        total, entropy = torch.empty_like(answer), torch.empty_like(answer)
        few = max(1, 400_000 // first.shape[1])  # rows at a time that stay in the processor's cache
        for begin in range(0, len(first), few):
            rows = slice(begin, begin + few)
            some, most = first[rows], first[rows].amax(-1, keepdim=True)
            weight = (some - most).exp_()
            mass = weight.sum(-1)
            total[rows] = most[:, 0] + mass.log()
            entropy[rows] = total[rows] - torch.linalg.vecdot(weight, some) / mass
        return torch.stack([answer - total, entropy, answer - wrong])


def matrix_speed(shape: Shape, kernel: Kernel | None = None) -> float:
    """10^9 operations per second of processor time of one product of the work's size by a kernel, the best of five.

    Args:
        shape: the work's.
        kernel: which; none: the one that the rule chooses.
    """
    rows, inner, outer = 1024, shape.width, 4 * shape.width
    x, linear = torch.ones(rows, inner), torch.nn.Linear(inner, outer).requires_grad_(False)
    product = PackedLinear(linear) if (kernel or kernel_rule(linear)) == "onednn" else linear
    many = min(200, max(4, 2**32 // (rows * inner * outer)))  # long enough for the clock
    with torch.inference_mode():
        best = min(timed(lambda: [product(x) for _ in range(many)])[0].processor for _ in range(5))
    return many * 2 * rows * inner * outer / best / 1e9


def timed(work: Callable[[], Any]) -> tuple[Spent, Any]:
    """How long it took by the clock and on the processor (all threads) or device, and what it gave."""
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    held = busy_seconds(wall)
    return Spent(time.perf_counter() - wall, held or time.process_time() - processor), result


def _error(swift: Mapping[int, Any], logits: Sequence[Tensor]) -> float:
    pairs = [(swift[index].logits, plain) for index, plain in enumerate(logits)]
    return max(float((a.log_softmax(-1) - b.float().log_softmax(-1)).abs().max()) for a, b in pairs)
