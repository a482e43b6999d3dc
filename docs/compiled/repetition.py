"""Repetition in the planted models' letters: a random block again, up to its middle; the answer is its next letter."""

from collections.abc import Iterator
from math import perm

from lesion.tasks.drawing.numbering import Place, Stratum, lane
from lesion.tasks.problems.alphabet import SYMBOLS
from lesion.tasks.task import Draw, Item, Segment

LETTERS = SYMBOLS[:32]
BLOCK = 8


class Repetition:
    """Blocks of different letters, by number."""

    strata = (Stratum(f"planted repetition {BLOCK}", perm(len(LETTERS), BLOCK)),)

    @property
    def pool(self) -> int:
        """How many different blocks there are."""
        return self.strata[0].size

    def capacity(self, draw: Draw) -> int:
        """How many items this lane holds."""
        return lane(self.strata, *draw.lane).capacity

    def items(self, draw: Draw, start: int, stop: int) -> Iterator[Item]:
        """Items `start` ... `stop`-1 of the lane."""
        return map(self.item, lane(self.strata, *draw.lane).places(start, stop))

    def item(self, place: Place) -> Item:
        """A block and its first half; in the twin's first copy two letters change places, and with them the answer."""
        number, left, block = place.number, list(LETTERS), ""
        for _ in range(BLOCK):
            number, index = divmod(number, len(left))
            block += left.pop(index)
        half = BLOCK // 2
        last, far = half - 1, BLOCK - 2
        swapped = list(block)
        swapped[last], swapped[far] = block[far], block[last]
        return Item(
            index=place.item,
            segments=(Segment(block, "block"), Segment(block[:half], "again")),
            answer=block[half],
            wrong=block[far + 1],
            buckets={},
            twin=(Segment("".join(swapped), "block"), Segment(block[:half], "again")),
        )


def make() -> Repetition:
    """What a study calls."""
    return Repetition()
