"""How time and memory grow with the work, and whether the rule that picks the matrix kernel picks the quicker one.

Both are measurements for people: nothing else in the project reads a clock to decide anything.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import math

import torch
from torch.nn import functional

from lesion.engine.batched.engine import Fast
from lesion.engine.batched.linear_kernels import Kernel, PackedLinear, kernel_rule
from lesion.engine.batched.memory import peak_bytes
from lesion.engine.bench.bench import quick, timed
from lesion.engine.bench.workload import SHAPES, Work, workload
from lesion.identity import Document


class Size(Document):
    """The batched engine at one size of the work."""

    prompts: int
    interventions: int
    processor_seconds: float
    """Processor time of all interventions."""
    peak_bytes: int | None
    """Most memory of the process, the model included; null where the system does not tell."""


class Growth(Document):
    """How the batched engine's cost grows: cost ~ size ** exponent; 1 is linear, less is better than linear."""

    by_prompts: tuple[Size, ...]
    """Prompts times 1, 2, 4, 8."""
    by_interventions: tuple[Size, ...]
    """Interventions times 1, 2, 4."""
    exponent_prompts: float
    """From the first to the last size, of processor time."""
    exponent_interventions: float


class Choice(Document):
    """One matrix product with both kernels."""

    rows: int
    inputs: int
    outputs: int
    default_gflops: float
    """torch's own choice, 10^9 operations per second of processor time."""
    onednn_gflops: float | None
    """Packed oneDNN; null where torch has none."""


class Tuning(Document):
    """Both kernels on the products of a piece of work."""

    rule: Kernel
    """What the rule takes on this machine."""
    quicker: Kernel
    """What was quicker here, over all products."""
    right: bool
    """Whether the rule takes the quicker one, or one that is at most 5 % slower."""
    products: tuple[Choice, ...]


def growth(family: str = "gpt2", work: Work = "W2", *, share: int = 1, repeats: int = 3) -> Growth:
    """Time the batched engine with prompts ×1 … ×8 and interventions ×1 … ×4; the best of the repeats.

    Args:
        family: row of the table of architectures.
        work: which.
        share: take every `share`-th intervention for the growth with prompts.
        repeats: how often each size is timed.
    """
    prompts = tuple(_size(family, work, grow, share, repeats) for grow in (1, 2, 4, 8))
    wanted = tuple(_size(family, work, 1, 4 * share // many, repeats) for many in (1, 2, 4))
    return Growth(
        by_prompts=prompts,
        by_interventions=wanted,
        exponent_prompts=_exponent(prompts, "prompts"),
        exponent_interventions=_exponent(wanted, "interventions"),
    )


def _size(family: str, work: Work, grow: int, share: int, repeats: int) -> Size:
    load = workload(family, work, grow=grow, share=share)
    fast = Fast(load.model)
    peak = peak_bytes(lambda: quick(fast, load.batch, load.wanted))
    spent = [timed(lambda: quick(fast, load.batch, load.wanted))[0].processor for _ in range(repeats)]
    rows = len(load.batch.rows)
    return Size(prompts=rows, interventions=len(load.wanted), processor_seconds=min(spent), peak_bytes=peak)


def _exponent(sizes: tuple[Size, ...], name: str) -> float:
    first, last = sizes[0], sizes[-1]
    return math.log(last.processor_seconds / first.processor_seconds) / math.log(
        getattr(last, name) / getattr(first, name)
    )


def tune(work: Work = "W1") -> Tuning:
    """Time both kernels on the products of one block, at the number of rows that a pass has."""
    shape = SHAPES[work]
    width, rows = shape.width, shape.shared + shape.prompts * (shape.prompt - shape.shared)
    each = {(width, 3 * width), (width, width), (width, 4 * width), (4 * width, width)}
    products = tuple(_product(rows, inputs, outputs) for inputs, outputs in sorted(each))
    seconds = {
        "default": sum(p.inputs * p.outputs / p.default_gflops for p in products),
        "onednn": sum(p.inputs * p.outputs / p.onednn_gflops if p.onednn_gflops else math.inf for p in products),
    }
    quicker: Kernel = "onednn" if seconds["onednn"] < seconds["default"] else "default"
    rule = kernel_rule(torch.nn.Linear(1, 1))
    right = seconds[rule] <= 1.05 * seconds[quicker]
    return Tuning(rule=rule, quicker=quicker, right=right, products=products)


def _product(rows: int, inputs: int, outputs: int) -> Choice:
    linear = torch.nn.Linear(inputs, outputs).requires_grad_(False)
    packed = PackedLinear(linear) if kernel_rule(linear) == "onednn" else None
    x, work = torch.ones(rows, inputs), 2 * rows * inputs * outputs
    many = min(200, max(3, 2**31 // work))  # long enough for the clock
    with torch.inference_mode():
        default, other = [], []
        for _ in range(7):  # in turns, so that both meet the same machine
            default.append(timed(lambda: [functional.linear(x, linear.weight, linear.bias) for _ in range(many)])[0])
            if packed is not None:
                other.append(timed(lambda: [packed(x) for _ in range(many)])[0])
    speed = [many * work / min(spent.processor for spent in each) / 1e9 if each else None for each in (default, other)]
    return Choice(rows=rows, inputs=inputs, outputs=outputs, default_gflops=speed[0] or 0.0, onednn_gflops=speed[1])
