"""What all tasks share whose problems are numbered in strata: their pool, their lanes, and items made one at a time."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

from lesion.tasks.drawing.few_shot import Examples, behind
from lesion.tasks.drawing.numbering import Place, Stratum, lane
from lesion.tasks.task import Draw, Item


class _Stratified(ABC):
    """Problems in strata."""

    _strata: tuple[Stratum, ...]
    """Set by the subclass when it is made."""

    @property
    def pool(self) -> int:
        """How many different problems there are."""
        return sum(stratum.size for stratum in self._strata)

    def capacity(self, draw: Draw) -> int:
        """How many items this lane holds."""
        return lane(self._strata, *draw.lane).capacity

    def _places(self, draw: Draw, start: int, stop: int) -> Iterator[Place]:
        return lane(self._strata, *draw.lane).places(start, stop)


class PlainTask(_Stratified):
    """A task that shows no examples."""

    @abstractmethod
    def _item(self, place: Place) -> Item:
        """The item of a place."""

    def items(self, draw: Draw, start: int, stop: int) -> Iterator[Item]:
        """Items `start` … `stop`-1 of the lane, made one at a time.

        Raises:
            InputError: when the lane holds fewer than `stop`.
        """
        return map(self._item, self._places(draw, start, stop))


class FewShotTask(_Stratified):
    """A task whose items stand behind examples, which come from the *shots* part."""

    @abstractmethod
    def examples(self, draw: Draw, prefix: int = 0) -> Examples:
        """The few-shot examples of one prefix of a draw."""

    @abstractmethod
    def _item(self, place: Place, examples: Examples) -> Item:
        """The item of a place behind examples."""

    def _shots(self, draw: Draw, prefix: int, count: int) -> Iterator[Place]:
        """Places of a prefix's examples: its own order of the *shots* part, the strata in turn."""
        return lane(self._strata, "shots", draw.examples_key(prefix), 0, 1).places(0, count)

    def items(self, draw: Draw, start: int, stop: int) -> Iterator[Item]:
        """Items `start` … `stop`-1 of the lane, made one at a time.

        Raises:
            InputError: when the lane holds fewer than `stop`, or the pool too few examples.
        """
        return behind(draw, self._places(draw, start, stop), self.examples, self._item)
