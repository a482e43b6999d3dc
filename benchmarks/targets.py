"""What the project promises of its speed, beside what was measured: one table, made by code.

Ratios are in processor time, which other jobs on the machine disturb less; those by the clock stand beside them. Beside
the peers' work (compare.py) this measures what no peer is needed for: prompts that share nothing, late positions, other
families and growth. There the plain loop stands for the fastest peer, which it is in compare.py's own tables.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import shapes
from results import EXPERT, OURS, Result, fastest, named

from lesion.engine.bench.bench import Timing, bench
from lesion.engine.bench.growth import growth

FAMILIES = ("llama", "gpt_neox", "qwen2", "gemma2")
PEERS = {"W1": 42.0, "W2": 60.0, "W3": 50.0}
"""At least so many times the fastest peer."""


class Row(NamedTuple):
    """One promise."""

    what: str
    target: str
    found: str
    met: bool
    note: str


def measured(repeats: int, *, quick: bool = False) -> dict[str, Timing | float]:
    """Everything that needs no peer; `quick` runs a few interventions only, to see that it works.

    Shares of the floor and peak memory are measured by shapes.py, which keeps them; `quick` takes the kept ones.
    """
    share = 36 if quick else 6
    found: dict[str, Timing | float] = {
        "unshared": bench("gpt2", "W1", shared=0, share=2 * share, loops=2, repeats=repeats),
        "last": bench("gpt2", "W1", positions="last", share=share // 3, loops=2, repeats=repeats),
    }
    shapes.measured("none" if quick else "")
    for family in FAMILIES:
        found[family] = bench(family, "W1", share=share, loops=2, repeats=repeats)
    grown = growth("gpt2", "W2", share=4, repeats=1 if quick else repeats)
    found |= {"prompts": grown.exponent_prompts, "interventions": grown.exponent_interventions}
    return found


def targets(found: Mapping[str, Sequence[Result]], extra: Mapping[str, Timing | float]) -> list[str]:
    """The table, as lines of Markdown."""
    rows = [*(_shares() if extra else ()), *_peers(found), *_alone(extra)]
    missed = [row.what for row in rows if not row.met]
    return [
        "## What was promised, and what was measured",
        "",
        f"{len(rows) - len(missed)} of {len(rows)} met" + (f"; missed: {'; '.join(missed)}." if missed else "."),
        "Ratios are in processor time; by the clock in brackets; promised on the first machine, where torch's",
        "own kernel is less than half as fast as oneDNN; where both are alike they are out of reach (*saved*, below).",
        "",
        "| what | target | measured | | depends on |",
        "|---|---|---|---|---|",
        *(
            f"| {row.what} | {row.target} | {row.found} | {'met' if row.met else '**missed**'} | {row.note} |"
            for row in rows
        ),
    ]


def _peers(found: Mapping[str, Sequence[Result]]) -> Iterator[Row]:
    for work, results in found.items():
        side, least = fastest(list(results)), PEERS[work]
        note = f"{side.name}; 48 of 56 tokens shared; oneDNN"
        yield _ratio(f"{work}, fastest peer", least, side.ratio_processor, side.ratio, note)
        ours = named(list(results), OURS)
        yield Row(f"{work}, error", "≤ 1e-4 nats", f"{ours.error:.1e}", ours.error <= 1e-4, "against the plain loop")
    if "W1" in found:
        results = list(found["W1"])
        expert = named(results, EXPERT)
        yield _ratio("W1, an expert's loop", 28, expert.ratio_processor, expert.ratio, "last logits only")


def _shares() -> Iterator[Row]:
    """What does not depend on how fast a machine multiplies: it leads."""
    kept = shapes.measured("none")
    for work in (work for work in shapes.WORKS if work in kept):
        share, note = kept[work]["share_of_floor"], f"{kept[work]['gflops']:.0f} GFLOP/s; {kept[work]['day']}"
        met = share >= shapes.WANTED
        yield Row(f"{work}, share of the arithmetic floor", f"≥ {shapes.WANTED:.0%}", f"{share:.0%}", met, note)
    for family, sides in kept.get("memory", {}).items():
        times, target = sides["lesion"] / sides["plain"], f"≤ {shapes.MEMORY:g}× the plain loop"
        what = f"peak memory, W1's shape, {family}"
        yield Row(what, target, f"{times:.2f}×", times <= shapes.MEMORY, "each side in its own process")


def _alone(extra: Mapping[str, Timing | float]) -> Iterator[Row]:
    words = {"unshared": ("W1, no shared prefix", 8.0), "last": ("W1, last position only", 150.0)}
    words |= {family: (f"W1's shape, {family}", 30.0) for family in FAMILIES}
    for name, value in extra.items():
        if not isinstance(value, Timing):
            continue
        note = f"plain loop; {value.interventions} interventions; error {value.max_abs_error:.0e}"
        what, least = words[name]
        yield _ratio(what, least, value.ratio_plain_processor, value.ratio_plain, note)
    for name, exponent in (("prompts", extra.get("prompts")), ("interventions", extra.get("interventions"))):
        if isinstance(exponent, float):
            yield Row(f"growth with {name}", "linear: exponent ≤ 1.05", f"{exponent:.2f}", exponent <= 1.05, "W2")


def _ratio(what: str, least: float, processor: float, clock: float, note: str) -> Row:
    return Row(what, f"≥ {least:g}×", f"{processor:.1f}× ({clock:.1f}×)", processor >= least, note)
