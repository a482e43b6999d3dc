"""Writes publications/real-models/buckets.md: the published effects by carry, digits of the operands and block length.

    python -m publications.buckets

It reads the published rows alone. Every verdict's edit is taken apart on the confirmation's own items. Nothing here was
registered, and no study was powered for it: the page says so.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import polars as pl

from lesion.measures.attribution.target import mean_interval
from lesion.report.wording.words import signed
from publications.exploratory import KEY, OUT, before_and_after, cells, published, study_of

FILE = "buckets.md"
LENGTHS = {"6 to 9": range(6, 10), "10 to 12": range(10, 13), "13 to 16": range(13, 17)}
"""Symbols in a block of a pattern that repeats."""
FEWEST = 30
"""Items without which a bucket has no line."""


class Part(NamedTuple):
    """A cell on the items of one bucket."""

    name: str
    value: str
    items: int
    right: tuple[float, float]
    """Share of right answers before and under the edit."""
    change: tuple[float, float, float]
    """Mean change of the answer's log-probability, nats, with its 95 % interval over example sets."""


def buckets_of(text: str) -> dict[str, str]:
    """The buckets of an item that the page tells, by name."""
    given: Mapping[str, str] = json.loads(text)
    found = {name: given[name] for name in ("operator", "carry", "digits") if name in given}
    if "length" in given and "pattern" in given:
        found["block"] = next(words for words, lengths in LENGTHS.items() if int(given["length"]) in lengths)
    return found


def parts(rows: pl.DataFrame, questions: pl.DataFrame, tier: str, arm: str) -> Iterator[Part]:
    """An arm of a tier beside the unedited model, bucket by bucket.

    Args:
        rows: of a published run.
        questions: their items.
        tier: which task.
        arm: the edit's name.
    """
    changed = before_and_after(rows, tier, arm, "correct", "answer_logprob")
    both = changed.join(questions.select(*KEY, "buckets"), on=KEY, validate="1:1")
    given = [buckets_of(text) for text in both["buckets"]]
    sets = pl.Series([json.loads(text).get("prefix", "") for text in both["buckets"]], dtype=pl.String)
    change = (both["answer_logprob_after"] - both["answer_logprob"]).to_numpy()
    for name in sorted({name for one in given for name in one}):
        values = [one.get(name, "") for one in given]
        for value in sorted(set(values), key=_order):
            mask = pl.Series([one == value for one in values])
            if FEWEST <= mask.sum() < len(mask):
                some, own = both.filter(mask), sets.filter(mask)
                shares = [_percent(some[column]) for column in ("correct", "correct_after")]
                told = mean_interval(change[mask.to_numpy()], own.to_numpy() if own.n_unique() > 1 else None)
                yield Part(name, value, some.height, (shares[0], shares[1]), told)


def _order(value: str) -> tuple[int, str]:
    """Numbers by size, words by the alphabet."""
    first = value.split(" ", maxsplit=1)[0]
    return int(first) if first.isdigit() else 0, value


def _percent(right: pl.Series) -> float:
    return 100 * float(right.cast(pl.Float64).to_numpy().mean())


def lines(run: Path) -> Iterator[str]:
    """The table's lines of a run."""
    rows, questions = (pl.read_parquet(run / f"{name}.parquet") for name in ("rows", "questions"))
    for tier, arm in cells(run):
        for part in parts(rows, questions, tier, arm):
            mean, low, high = (signed(number, 2) for number in part.change)
            yield (
                f"| {study_of(run)} | {tier} | {arm} | {part.name}: {part.value} | {part.items:,} | "
                f"{part.right[0]:.0f} → {part.right[1]:.0f} | {mean} ({low} to {high}) |"
            )


def page(runs: list[Path]) -> str:
    """The page."""
    return HEAD + "\n".join(line for run in runs for line in lines(run)) + "\n"


HEAD = f"""\
<!-- made from the published rows: python -m publications.buckets -->

# The effects by carry, digits and block length

**Exploratory.** No hypothesis speaks of these parts and no study was planned for them. Intervals are 95 % t intervals
over example sets (where an item has none, over items), each alone, not corrected for the number of lines. Two lines
differ only where a test of their difference says so, and none was made.

*carry*: whether a digit is carried. *digits*: those of the two numbers. *block*: symbols in the block that repeats.
Buckets with fewer than {FEWEST} items, and those that hold all items, have no line.

| study | task | edit | items with | number | right answers, % | change of log-probability, nats |
|---|---|---|---|--:|--:|--:|
"""


def main() -> None:
    """Write the page."""
    (OUT / FILE).write_text(page(published()), encoding="utf-8")


if __name__ == "__main__":
    main()
