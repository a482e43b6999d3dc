"""What the exploratory pages of the publication share: its runs, their verdicts, and items before and under an edit."""

import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl

OUT = Path(__file__).resolve().parent / "real-models"
KEY = ("tier", "split", "seed", "index")
"""What names an item in rows and questions."""


def published() -> list[Path]:
    """The published runs, the oldest first."""
    return sorted(path.parent for path in OUT.glob("*/verdicts.json"))


def study_of(run: Path) -> str:
    """The name of a run's study."""
    return json.loads((run / "manifest.json").read_text(encoding="utf-8"))["study"]["name"]


def cells(run: Path) -> Iterator[tuple[str, str]]:
    """Tier and arm of every verdict of a run."""
    for each in json.loads((run / "verdicts.json").read_text(encoding="utf-8"))["cells"]:
        _, tier, arm = each.split("|")
        yield tier, arm


def before_and_after(rows: pl.DataFrame, tier: str, arm: str, *columns: str) -> pl.DataFrame:
    """The confirmation's items of a tier that an edit was made on, unedited and (`_after`) edited.

    Args:
        rows: of a published run.
        tier: which task.
        arm: the edit's name.
        columns: what of the rows.
    """
    here = rows.filter((pl.col("stage") == "confirm") & (pl.col("tier") == tier))
    before, after = (here.filter(pl.col("arm") == one).select(*KEY, *columns) for one in ("baseline", arm))
    return before.join(after, on=KEY, validate="1:1", suffix="_after")
