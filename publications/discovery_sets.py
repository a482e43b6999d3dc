"""Writes publications/real-models/discovery-sets.md: every verdict's edit beside random sets, on discovery items.

    python -m publications.discovery_sets

It reads the published rows alone. Nothing here was registered: the page says so.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import polars as pl

from lesion.report.wording.words import signed
from publications.exploratory import KEY, OUT, cells, published, study_of

FILE = "discovery-sets.md"


class Beside(NamedTuple):
    """A target's mean change on discovery items, nats, and those of its random sets."""

    items: int
    target: float
    sets: tuple[float, ...]

    @property
    def strongest(self) -> float:
        """The set that goes furthest in the target's direction."""
        return max(self.sets, key=lambda change: change * self.target)

    @property
    def as_much(self) -> int:
        """Sets that go as far as the target, or further."""
        return sum(change * self.target >= self.target**2 for change in self.sets)


def beside(rows: pl.DataFrame, tier: str, arm: str) -> Beside | None:
    """A target and its random sets under the same edit on the same items; none where no set was measured so.

    Args:
        rows: of a published run.
        tier: which task.
        arm: the target's edit, such as `target:screened@resample`.
    """
    here = rows.filter((pl.col("stage") == "discovery") & (pl.col("tier") == tier))
    plain = here.filter(pl.col("arm") == "baseline").select(*KEY, "answer_logprob")
    whose, edit = arm.split("@")
    random = rf"^{whose.replace('target', 'control', 1)}{':' if ':' in whose else ''}\d+@{edit}$"
    wanted = here.filter((pl.col("arm") == arm) | pl.col("arm").str.contains(random))
    both = wanted.join(plain, on=KEY, validate="m:1", suffix="_before")
    change = (pl.col("answer_logprob") - pl.col("answer_logprob_before")).mean()
    means = dict(both.group_by("arm").agg(change).iter_rows())
    if arm not in means or len(means) < 2:
        return None
    return Beside(plain.height, means.pop(arm), tuple(means[name] for name in sorted(means)))


def lines(run: Path) -> Iterator[str]:
    """The table's lines of a run: every edit that a verdict is about."""
    rows = pl.read_parquet(run / "rows.parquet")
    for tier, arm in cells(run):
        found = beside(rows, tier, arm)
        if found is not None:
            yield (
                f"| {study_of(run)} | {tier} | {arm} | {found.items} | {signed(found.target, 2)} | {len(found.sets)} | "
                f"{signed(found.strongest, 2)} | {found.as_much} |"
            )


def page(runs: list[Path]) -> str:
    """The page."""
    return HEAD + "\n".join(line for run in runs for line in lines(run)) + "\n"


HEAD = """\
<!-- made from the published rows: python -m publications.discovery_sets -->

# Targets beside random sets, on discovery items

**Exploratory.** A verdict is *specific* only where a hypothesis asked and up to 269 sets were measured on confirmation
items. Everywhere else, this is what is known: the same edit of a few random sets that match the target, on the
discovery items. *Strongest*: the set that goes furthest in the target's direction. *As much*: sets that go as far as
the target. A target that was chosen on these items looks better here than it is.

| study | task | edit | items | target, nats | sets | strongest, nats | as much |
|---|---|---|--:|--:|--:|--:|--:|
"""


def main() -> None:
    """Write the page."""
    (OUT / FILE).write_text(page(published()), encoding="utf-8")


if __name__ == "__main__":
    main()
