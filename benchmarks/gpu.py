"""Does the engine hold on a CUDA device, and how much of the device does it use? Eight minutes; run by `make gpu`.

    python benchmarks/gpu.py             # on the first CUDA device; without one it says so
    python benchmarks/gpu.py --small     # W2 alone, on the processor: what the tests run

First the stored numbers of small models must come out (the fixture), then W1 and R1's shape (a Llama of about a
billion parameters, random weights) are timed against a plain loop with hooks. The share of the floor is the arithmetic
that cannot be avoided, at the device's own matrix speed measured beside it, over the time taken.
"""

import argparse
import sys

from lesion.device import wanted
from lesion.engine.bench.bench import Timing, bench
from lesion.engine.bench.workload import Work
from lesion.engine.proof.device_fixture import TOLERANCE, fixture_error
from lesion.models.device import absent, settle

WHOLE: tuple[tuple[str, Work, int], ...] = (("gpt2", "W1", 1), ("llama", "R1", 8))
"""Family, work, and of how many interventions one is run."""
SMALL: tuple[tuple[str, Work, int], ...] = (("llama", "W2", 24),)
CLOSE = 1e-4
"""Nats: largest accepted difference from the plain loop."""


def line(timing: Timing) -> str:
    """A work's figures on one line."""
    return (
        f"{timing.work} {timing.family}: {timing.share_of_floor:.0%} of the arithmetic floor at {timing.gflops:,.0f}"
        f" GFLOP/s, {timing.ratio_plain:.1f} x a plain loop, {timing.ratio_expert:.1f} x a loop that makes the last"
        f" logits only; error {timing.max_abs_error:.1e} nats; {timing.interventions} interventions in"
        f" {timing.seconds:.1f} s"
    )


def check(*, small: bool) -> int:
    """The whole check; 0 where all numbers are right."""
    if not small and (why := absent("cuda")):
        print(f"make gpu: {why}. Nothing was measured.")
        return 2
    settle("cpu" if small else "cuda")
    error = fixture_error()
    print(f"fixture on {wanted()}: largest difference from a processor's numbers {error:.1e} nats", flush=True)
    wrong = not error <= TOLERANCE
    for family, work, share in SMALL if small else WHOLE:
        timing = bench(family, work, share=share, loops=4, repeats=1 if small else 3)
        print(line(timing), flush=True)
        wrong |= not timing.max_abs_error <= CLOSE
    print("numbers are NOT right: do not use this device" if wrong else "all numbers are right")
    return int(wrong)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Check and time the engine on a CUDA device.")
    parser.add_argument("--small", action="store_true", help="W2 alone, on the processor")
    sys.exit(check(small=parser.parse_args().small))
