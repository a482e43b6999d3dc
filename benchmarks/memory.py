"""Prints the most memory that one side of W1 held, in a process of its own: memory.py FAMILY plain|lesion."""

import sys

from lesion.engine.batched.engine import Fast
from lesion.engine.batched.memory import peak_bytes
from lesion.engine.bench.bench import loop, quick
from lesion.engine.bench.workload import workload

SHARE = 36
"""One intervention in so many is run; the peak is that of the widest pass."""


def main(family: str, side: str) -> None:
    """Measure one side; the plain loop gives the logits of all positions."""
    load = workload(family, "W1", share=SHARE)
    if side == "plain":
        peak = peak_bytes(lambda: [loop(load.model, load.batch, one, late=False) for one in load.wanted[:2]])
    else:
        fast = Fast(load.model)
        peak = peak_bytes(lambda: quick(fast, load.batch, load.wanted))
    print(0 if peak is None else peak)


if __name__ == "__main__":
    main(*sys.argv[1:])
