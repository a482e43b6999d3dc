"""Writes publications/real-models/set-heads.md: which heads make a matched set strong.

    python publications/set_heads.py

It reads the published effects of the sets alone. Nothing here was registered: the page says so.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from lesion.report.wording.words import signed

OUT = Path(__file__).resolve().parent / "real-models"
FILE = "set-heads.md"
FEWEST = 5
"""Sets that must hold a head, and as many that must not, before it has a line."""
SHOWN = 3
"""Heads shown for each test."""


class Told(NamedTuple):
    """One head in the sets of one test."""

    head: str
    held: int
    """Sets that hold it."""
    with_it: float
    """Mean effect of these, nats."""
    without: float
    strong: int
    """Of the strongest tenth of all sets, how many hold it."""


def tenth(effects: Sequence[float], target: float) -> list[int]:
    """Places of the strongest tenth of the sets, in the direction of the target's effect; at least one."""
    order = sorted(range(len(effects)), key=lambda place: effects[place], reverse=target > 0)
    return order[: max(1, len(effects) // 10)]


def telling(sets: Sequence[Sequence[str]], effects: Sequence[float], target: float) -> list[Told]:
    """The heads whose sets differ most from the sets without them, the strongest first.

    Args:
        sets: the heads of each set.
        effects: what each set does, nats, in the same order.
        target: what the target does on the same items; its sign says which way is strong.
    """
    strong, sign = tenth(effects, target), 1 if target > 0 else -1
    found: list[Told] = []
    for head in sorted({head for each in sets for head in each}):
        own = [effect for each, effect in zip(sets, effects, strict=True) if head in each]
        rest = [effect for each, effect in zip(sets, effects, strict=True) if head not in each]
        if min(len(own), len(rest)) >= FEWEST:
            found.append(Told(head, len(own), fmean(own), fmean(rest), sum(head in sets[place] for place in strong)))
    return sorted(found, key=lambda told: sign * (told.without - told.with_it))[:SHOWN]


def lines(run: Path) -> Iterator[str]:
    """The table's lines of a run: tests with sets of several heads that differ from the target's."""
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    results = manifest["results"]
    for cell, test in (results.get("specific") or {}).items():
        sets, effects, target = results["sets"].get(cell, []), test["effects"], test["target"]
        _, tier, arm = cell.split("|")
        for told in telling(sets, effects, target) if effects else ():
            with_it, without = (signed(number, 2) for number in (told.with_it, told.without))
            yield (
                f"| {manifest['study']['name']} | {tier} | {arm} | {signed(target, 2)} | {told.head} | "
                f"{told.held} of {len(sets)} | {with_it} | {without} | {told.strong} of {len(tenth(effects, target))} |"
            )


def page(runs: list[Path]) -> str:
    """The page."""
    return HEAD + "\n".join(line for run in runs for line in lines(run)) + "\n"


HEAD = f"""\
<!-- made from the published runs: python publications/set_heads.py -->

# Which heads make a matched set strong

**Exploratory.** A target is ranked among sets of other heads. Here each head is asked how the sets that hold it differ
from those that do not. For each test the {SHOWN} heads with the largest difference stand here, of all that at least
{FEWEST} sets hold and {FEWEST} do not. They were picked for their difference, so it is too large; nothing was tested.
Sets share heads, so one head's difference may be another's. The numbers are mean changes of the answer's
log-probability, nats, on the test's items.

Where a head is ranked among single heads, and where the sets are other edges of the same heads, no head has a line.

| study | task | edit | target | head | sets with it | their mean | mean of the others | of the strongest tenth |
|---|---|---|--:|---|--:|--:|--:|--:|
"""


def published() -> list[Path]:
    """The published runs, the oldest first."""
    return sorted(path.parent for path in OUT.glob("*/verdicts.json"))


def main() -> None:
    """Write the page."""
    (OUT / FILE).write_text(page(published()), encoding="utf-8")


if __name__ == "__main__":
    main()
