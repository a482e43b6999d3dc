"""Writes publications/real-models/set-heads.md: which heads make a matched set strong.

    python -m publications.set_heads

It reads the published effects of the sets alone. Nothing here was registered: the page says so.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from lesion.interventions.site import parse_site
from lesion.report.wording.words import signed
from publications.exploratory import OUT, published, study_of

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
    """The heads whose sets do most beyond the sets without them, the strongest first.

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
        if min(len(own), len(rest)) >= FEWEST and sign * (fmean(own) - fmean(rest)) > 0:
            found.append(Told(head, len(own), fmean(own), fmean(rest), sum(head in sets[place] for place in strong)))
    return sorted(found, key=lambda told: sign * (told.without - told.with_it))[:SHOWN]


class Pair(NamedTuple):
    """Two heads, and the sets that hold either of them."""

    heads: tuple[str, str]
    held: int
    """Sets that hold one or both."""
    weakest: float
    """Effect of the weakest of these, nats."""
    strongest: float
    """Effect of the strongest set that holds neither."""


def pair(sets: Sequence[Sequence[str]], effects: Sequence[float], target: float) -> Pair | None:
    """The head whose sets differ most, and the one whose sets differ most among the sets without it."""
    first = next(iter(telling(sets, effects, target)), None)
    if first is None:
        return None
    rest = [place for place, each in enumerate(sets) if first.head not in each]
    second = next(iter(telling([sets[i] for i in rest], [effects[i] for i in rest], target)), None)
    if second is None:
        return None
    heads = (first.head, second.head)
    own = [effect for each, effect in zip(sets, effects, strict=True) if {*heads} & {*each}]
    others = [effect for each, effect in zip(sets, effects, strict=True) if not {*heads} & {*each}]
    weakest, strongest = (min(own), max(others)) if target > 0 else (max(own), min(others))
    return Pair(heads, len(own), weakest, strongest)


def is_head(site: str) -> bool:
    """Whether a site's name is that of a head: a page of heads tells no neurons."""
    return parse_site(site).kind == "head"


def tests(run: Path) -> Iterator[tuple[str, list[list[str]], list[float], float]]:
    """Study, task and edit of every rank test of a run among sets of heads, these, their effects and the target's."""
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    results = manifest["results"]
    for cell, test in (results.get("specific") or {}).items():
        if test["effects"] and is_head(results["sets"][cell][0][0]):
            named = " | ".join((study_of(run), *cell.split("|")[1:]))
            yield named, results["sets"][cell], test["effects"], test["target"]


def pair_lines(run: Path) -> Iterator[str]:
    """The second table's lines of a run."""
    for named, sets, effects, target in tests(run):
        if found := pair(sets, effects, target):
            yield (
                f"| {named} | {signed(target, 2)} | {', '.join(found.heads)} | {found.held} of {len(sets)} | "
                f"{signed(found.weakest, 2)} | {signed(found.strongest, 2)} |"
            )


def lines(run: Path) -> Iterator[str]:
    """The table's lines of a run: tests with sets of several heads that differ from the target's."""
    for named, sets, effects, target in tests(run):
        for told in telling(sets, effects, target):
            with_it, without = (signed(number, 2) for number in (told.with_it, told.without))
            yield (
                f"| {named} | {signed(target, 2)} | {told.head} | {told.held} of {len(sets)} | {with_it} | {without} | "
                f"{told.strong} of {len(tenth(effects, target))} |"
            )


def page(runs: list[Path]) -> str:
    """The page."""
    tables = ([line for run in runs for line in made(run)] for made in (lines, pair_lines))
    return HEAD + PAIRS.join("\n".join(table) + "\n" for table in tables)


HEAD = f"""\
<!-- made from the published runs: python -m publications.set_heads -->

# Which heads make a matched set strong

**Exploratory.** A target is ranked among sets of other heads. Here each head is asked how the sets that hold it differ
from those that do not. For each test the {SHOWN} heads with the largest difference stand here, of all that at least
{FEWEST} sets hold and {FEWEST} do not. They were picked for their difference, so it is too large; nothing was tested.
A strong head in fewer sets is not seen. Sets share heads, so one head's difference may be another's. The numbers are
mean changes of the answer's log-probability, nats, on the test's items.

Where a head is ranked among single heads, and where the sets are other edges of the same heads or neurons, no head has
a line.

| study | task | edit | target | head | sets with it | their mean | mean of the others | of the strongest tenth |
|---|---|---|--:|---|--:|--:|--:|--:|
"""


PAIRS = """
The two heads that tell most: the first above, and then the first among the sets without it. Where the weakest set with
either is stronger than the strongest set with neither, these two heads divide the sets.

| study | task | edit | target | heads | sets with either | weakest of these | strongest of the others |
|---|---|---|--:|---|--:|--:|--:|
"""


def main() -> None:
    """Write the page."""
    (OUT / FILE).write_text(page(published()), encoding="utf-8")


if __name__ == "__main__":
    main()
