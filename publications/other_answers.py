"""Writes publications/real-models/other-answers.md: how often the other prompt's answer is preferred to the right one.

    python publications/other_answers.py

It reads the published rows alone. Nothing here was registered: the page says so.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl

OUT = Path(__file__).resolve().parent / "real-models"
FILE = "other-answers.md"
KEY = ("tier", "split", "seed", "index")


def preferred(rows: pl.DataFrame, tier: str, arm: str) -> tuple[int, float, float]:
    """Items, and on how many of them, in percent, the right answer is preferred: unedited, and under an edit.

    Args:
        rows: of a published run.
        tier: which task.
        arm: the edit's name.
    """
    here = rows.filter((pl.col("stage") == "confirm") & (pl.col("tier") == tier))
    before, after = (here.filter(pl.col("arm") == one).select(*KEY, "logit_diff") for one in ("baseline", arm))
    both = before.join(after, on=KEY, validate="1:1", suffix="_after")
    shares = [100 * float((both[name] > 0).to_numpy().mean()) for name in ("logit_diff", "logit_diff_after")]
    return both.height, shares[0], shares[1]


def lines(run: Path) -> Iterator[str]:
    """The table's lines of a run: every edit that a verdict is about."""
    study = json.loads((run / "manifest.json").read_text(encoding="utf-8"))["study"]["name"]
    rows = pl.read_parquet(run / "rows.parquet")
    for cell in json.loads((run / "verdicts.json").read_text(encoding="utf-8"))["cells"]:
        _, tier, arm = cell.split("|")
        items, before, after = preferred(rows, tier, arm)
        yield f"| {study} | {tier} | {arm} | {items:,} | {before:.0f} → {after:.0f} |"


def page(runs: list[Path]) -> str:
    """The page."""
    return HEAD + "\n".join(line for run in runs for line in lines(run)) + "\n"


HEAD = """\
<!-- made from the published rows: python publications/other_answers.py -->

# Which of two answers is preferred

**Exploratory.** Every item has a second prompt, with another operand or another pattern, and so a second answer. Here
stands on how many items the logit of the right answer is above that of the second one, at the first token where the two
differ. Nothing before that token tells the answers apart, so no patch can leak the second answer. Half is a coin's.

| study | task | edit | items | right answer preferred, % |
|---|---|---|--:|--:|
"""


def published() -> list[Path]:
    """The published runs, the oldest first."""
    return sorted(path.parent for path in OUT.glob("*/verdicts.json"))


def main() -> None:
    """Write the page."""
    (OUT / FILE).write_text(page(published()), encoding="utf-8")


if __name__ == "__main__":
    main()
