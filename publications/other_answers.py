"""Writes publications/real-models/other-answers.md: how often the other prompt's answer is preferred to the right one.

    python -m publications.other_answers

It reads the published rows alone. Nothing here was registered: the page says so.
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from publications.exploratory import OUT, before_and_after, cells, published, study_of

FILE = "other-answers.md"


def preferred(rows: pl.DataFrame, tier: str, arm: str) -> tuple[int, float, float]:
    """Items, and on how many of them, in percent, the right answer is preferred: unedited, and under an edit.

    Args:
        rows: of a published run.
        tier: which task.
        arm: the edit's name.
    """
    both = before_and_after(rows, tier, arm, "logit_diff")
    shares = [100 * float((both[name] > 0).to_numpy().mean()) for name in ("logit_diff", "logit_diff_after")]
    return both.height, shares[0], shares[1]


def lines(run: Path) -> Iterator[str]:
    """The table's lines of a run: every edit that a verdict is about."""
    rows = pl.read_parquet(run / "rows.parquet")
    for tier, arm in cells(run):
        items, before, after = preferred(rows, tier, arm)
        yield f"| {study_of(run)} | {tier} | {arm} | {items:,} | {before:.0f} → {after:.0f} |"


def page(runs: list[Path]) -> str:
    """The page."""
    return HEAD + "\n".join(line for run in runs for line in lines(run)) + "\n"


HEAD = """\
<!-- made from the published rows: python -m publications.other_answers -->

# Which of two answers is preferred

**Exploratory.** Every item has a second prompt, with another operand or another pattern, and so a second answer. Here
stands on how many items the logit of the right answer is above that of the second one, at the first token where the two
differ. Up to there the donor of a patch reads the same answer tokens, so it leaks nothing; the donor of a resample
ablation reads a third answer. Half is a coin's. Under denoising the model reads the second prompt, and the right answer
is that of the first, whose activations it gets.

| study | task | edit | items | right answer preferred, % |
|---|---|---|--:|--:|
"""


def main() -> None:
    """Write the page."""
    (OUT / FILE).write_text(page(published()), encoding="utf-8")


if __name__ == "__main__":
    main()
