"""Few-shot examples in front of questions: every item stands behind one of the draw's example sets, its prefix.

Items behind one prefix are not independent of each other, so the prefix is a bucket, and the cluster of the analysis.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache

from lesion.tasks.drawing.numbering import Place
from lesion.tasks.task import Draw, Item, Segment

Examples = tuple[Segment, ...]
KEPT = 64
"""Example sets that are kept at a time."""


def behind(
    draw: Draw,
    places: Iterator[Place],
    examples: Callable[[Draw, int], Examples],
    item: Callable[[Place, Examples], Item],
) -> Iterator[Item]:
    """Items at places, each behind its prefix.

    Args:
        draw: says which prefix an item has.
        places: where the items' problems stand.
        examples: the examples of a prefix; empty where the task shows none.
        item: makes the item of a place behind examples.

    Raises:
        InputError: at once, when the pool holds too few examples.
    """

    @lru_cache(maxsize=KEPT)
    def kept(prefix: int) -> Examples:
        return examples(draw, prefix)

    kept(draw.prefix or 0)

    def made(place: Place) -> Item:
        prefix = draw.prefix_of(place.item)
        shown = kept(prefix)
        one = item(place, shown)
        marks = draw.buckets(prefix) if shown else {}
        return replace(one, buckets={**one.buckets, **marks}) if marks else one

    return map(made, places)
