"""A task of your own in one file: days of the week, `Monday plus 3 days is` -> ` Thursday`.

A task is three things: how many problems there are (`pool`), how many a lane holds (`capacity`), and the items of a
lane (`items`). The lanes are `lesion`'s: name your strata, and no two seeds share a problem, discovery and
confirmation share none, and item i never depends on how many are drawn.

Run it to see the task's card:

    python examples/own_task.py

Use it in a study like any other task (the hash pins this file; `sha256sum examples/own_task.py` gives it):

    tasks:
      weekdays: {task: own, file: examples/own_task.py, sha256: …, parameters: {longest: 60}}
"""

from collections.abc import Iterator
from pathlib import Path

from lesion.identity import file_hash
from lesion.tasks.card import describe, render
from lesion.tasks.config import OwnConfig
from lesion.tasks.drawing.numbering import Place, Stratum, lane
from lesion.tasks.task import Draw, Item, Segment
from lesion.tasks.trusted_code import trust

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Weekdays:
    """Which day of the week comes so many days later."""

    def __init__(self, longest: int) -> None:
        self.strata = (Stratum(f"weekdays {longest}", len(DAYS) * longest),)

    @property
    def pool(self) -> int:
        """How many different problems there are."""
        return self.strata[0].size

    def capacity(self, draw: Draw) -> int:
        """How many items this lane holds."""
        return lane(self.strata, *draw.lane).capacity

    def items(self, draw: Draw, start: int, stop: int) -> Iterator[Item]:
        """Items `start` … `stop`-1 of the lane."""
        return map(self.item, lane(self.strata, *draw.lane).places(start, stop))

    def item(self, place: Place) -> Item:
        """The item of one problem number; its twin starts a day later."""
        distance, day = divmod(place.number, len(DAYS))
        distance += 1
        other = (day + 1) % len(DAYS)
        return Item(
            index=place.item,
            segments=question(day, distance),
            answer=f" {DAYS[(day + distance) % len(DAYS)]}",
            wrong=f" {DAYS[(other + distance) % len(DAYS)]}",
            buckets={"wraps": "yes" if day + distance >= len(DAYS) else "no", "digits": str(len(str(distance)))},
            twin=question(other, distance),
        )


def question(day: int, distance: int) -> tuple[Segment, ...]:
    """The prompt in segments; a role names what interventions and patches may point at."""
    return (
        Segment(DAYS[day], "operand_1"),
        Segment(" plus", "operator"),
        Segment(f" {distance}", "operand_2"),
        Segment(" days is", "equals"),
    )


def make(longest: int = 60) -> Weekdays:
    """What a study calls."""
    return Weekdays(longest)


def main() -> None:
    """Print the task's card."""
    here = Path(__file__)
    trust(file_hash(here))
    config = OwnConfig(file=str(here), sha256=file_hash(here), parameters={"longest": 60})
    print(render(describe(config, "weekdays")))


if __name__ == "__main__":
    main()
