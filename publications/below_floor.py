"""Writes publications/real-models/below-floor.md: how much of each published change lies below the floor of guessing.

    python -m publications.below_floor

It reads the published rows and verdicts alone. Nothing here was registered: the page says so.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from lesion.report.wording.words import signed
from publications.exploratory import OUT, before_and_after, cells, published, study_of

FILE = "below-floor.md"
LEAST = 0.25
"""Changes smaller than this, in nats, have no share: it would be noise."""


class Cut(NamedTuple):
    """A change, and what is left of it above the floor."""

    items: int
    change: float
    """Mean change of the answer's log-probability, nats."""
    above: float
    """The same where every log-probability below the floor is counted as the floor."""


def cut(rows: pl.DataFrame, tier: str, arm: str, floor: float) -> Cut:
    """An arm's change, whole and with all log-probabilities cut off at the floor, item by item.

    Args:
        rows: of a published run.
        tier: which task.
        arm: the edit's name.
        floor: log-probability of guessing, nats.
    """
    both = before_and_after(rows, tier, arm, "answer_logprob")
    before, after = (both[name].to_numpy() for name in ("answer_logprob", "answer_logprob_after"))
    above = np.maximum(after, floor) - np.maximum(before, floor)
    return Cut(both.height, float((after - before).mean()), float(above.mean()))


def floors(run: Path) -> dict[str, float]:
    """Tier -> its floor of guessing, nats."""
    chance = json.loads((run / "verdicts.json").read_text(encoding="utf-8"))["chance"]
    return {name.split("|")[1]: value for name, value in chance.items()}


def lines(run: Path) -> Iterator[str]:
    """The table's lines of a run: every edit that a verdict is about."""
    rows, known = pl.read_parquet(run / "rows.parquet"), floors(run)
    for tier, arm in cells(run):
        told = cut(rows, tier, arm, known[tier])
        share = f"{100 * (1 - told.above / told.change):.0f}" if abs(told.change) >= LEAST else "–"
        yield (
            f"| {study_of(run)} | {tier} | {arm} | {told.items:,} | {signed(known[tier], 1)} | "
            f"{signed(told.change, 2)} | {signed(told.above, 2)} | {share} |"
        )


def page(runs: list[Path]) -> str:
    """The page."""
    return HEAD + "\n".join(line for run in runs for line in lines(run)) + "\n"


HEAD = f"""\
<!-- made from the published rows: python -m publications.below_floor -->

# How much of each change lies below the floor of guessing

**Exploratory.** The *floor of guessing* is the log-probability that the right answer gets from someone who guesses
each of the task's answers as often as it comes. Below it one wrong answer is as wrong as another, so a change there
tells less. Here each change stands whole, and with every log-probability below the floor counted as the floor. The
share is what the second lacks of the first; changes of less than {LEAST} nats have none.

| study | task | edit | items | floor, nats | change, nats | above the floor | share below, % |
|---|---|---|--:|--:|--:|--:|--:|
"""


def main() -> None:
    """Write the page."""
    (OUT / FILE).write_text(page(published()), encoding="utf-8")


if __name__ == "__main__":
    main()
