"""Writes publications/real-models/set-sizes.md: how much targets and matched sets change, and what the largest take.

    python -m publications.set_sizes

It reads the published receipts and effects of the sets alone. Nothing here was registered: the page says so.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from math import sqrt
from pathlib import Path
from statistics import median
from typing import NamedTuple

import polars as pl

from lesion.report.wording.words import signed
from publications.exploratory import OUT, published, study_of

FILE = "set-sizes.md"
KNOCK_OUT = "knock_out"
"""Its receipts count edges that are cut; how much these had carried they do not say."""
NAMED = 4
"""Single heads that are named, the strongest first."""


class Sizes(NamedTuple):
    """How far the activations of a target and of its sets move, and what the larger sets do."""

    target: float
    """Root of the summed squares of all that was changed, over the test's items."""
    middle: float
    """The median set."""
    largest: float
    larger: int
    """Sets that move further than the target."""
    strongest: float | None
    """Effect of the strongest of these, nats; none where there are none."""


def sizes(moved: Mapping[str, float], target: str, sets: Sequence[str], effects: Sequence[float], sign: int) -> Sizes:
    """A target beside its sets.

    Args:
        moved: arm -> how far its activations moved.
        target: the target's arm.
        sets: the sets' arms.
        effects: what each set does, nats, in the same order.
        sign: of the target's own effect.
    """
    own, others = moved[target], [moved[name] for name in sets]
    larger = [effect for much, effect in zip(others, effects, strict=True) if much > own]
    strongest = max(larger, key=lambda effect: sign * effect, default=None)
    return Sizes(own, median(others), max(others), len(larger), strongest)


def moves(run: Path, tier: str) -> dict[str, float]:
    """Arm -> how far its activations moved on the items of a tier's rank tests."""
    receipts = pl.read_parquet(run / "receipts.parquet")
    here = receipts.filter((pl.col("stage") == "specificity") & (pl.col("tier") == tier))
    squares = here.group_by("arm").agg((pl.col("l2_change") ** 2).sum())
    return {name: sqrt(total) for name, total in squares.iter_rows()}


def lines(run: Path) -> Iterator[str]:
    """The table's lines of a run: every rank test."""
    results = json.loads((run / "manifest.json").read_text(encoding="utf-8"))["results"]
    for cell, test in (results.get("specific") or {}).items():
        if not test["effects"]:
            continue
        _, tier, arm = cell.split("|")
        whose, edit = arm.split("@")
        if edit == KNOCK_OUT:
            continue
        stem = f"set{whose.removeprefix('target')}" + (":" if ":" in whose else "")
        sets = [f"{stem}{number}@{edit}" for number in range(len(test["effects"]))]
        sign = 1 if test["target"] > 0 else -1
        told = sizes(moves(run, tier), arm, sets, test["effects"], sign)
        strongest = "–" if told.strongest is None else signed(told.strongest, 2)
        named = f"{study_of(run)} | {tier} | {arm}"
        yield (
            f"| {named} | {signed(test['target'], 2)} | {told.target:.0f} | {told.middle:.0f} | {told.largest:.0f} | "
            f"{told.larger} of {len(sets)} | {strongest} | "
            f"{singles(results['sets'][cell], test['effects'], sign)} |"
        )


def singles(sets: Sequence[Sequence[str]], effects: Sequence[float], sign: int) -> str:
    """The strongest single heads by name; a dash where the sets are larger."""
    if any(len(each) != 1 for each in sets):
        return "–"
    order = sorted(zip(effects, sets, strict=True), key=lambda each: sign * each[0], reverse=True)[:NAMED]
    return ", ".join(f"{names[0]} {signed(effect, 2)}" for effect, names in order)


def page(runs: list[Path]) -> str:
    """The page."""
    return HEAD + "\n".join(line for run in runs for line in lines(run)) + "\n"


HEAD = """\
<!-- made from the published receipts: python -m publications.set_sizes -->

# How much targets and matched sets change

**Exploratory.** A rank among sets tells little where the sets' activations hardly move. Each edit's receipt says how
far they moved: the root of the summed squares over all sites, tokens and items of the test. Here stand the target's,
the sets' median and largest, how many sets move *further* than the target, and what the strongest of these does.
Distances are comparable within a line only. Where the sets are single heads, the strongest are named. Cut patterns are
left out: their receipts count edges alone.

| study | task | edit | effect, nats | moves | median set | largest set | further | their strongest | strongest heads |
|---|---|---|--:|--:|--:|--:|--:|--:|---|
"""


def main() -> None:
    """Write the page."""
    (OUT / FILE).write_text(page(published()), encoding="utf-8")


if __name__ == "__main__":
    main()
