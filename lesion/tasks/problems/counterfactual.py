"""The twin of an arithmetic problem: one operand changed, so that the answer differs and is written as long.

Every expression of ours is affine in each of its operands, f(x) = f(v) + slope · (x - v). So the values that keep the
answer's length form one interval, and a twin is found without a search, whatever the range. Where no change keeps the
length (0 · 15), the twin's answer is longer, and the prompt contract refuses the item where that matters.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from lesion.errors import InputError
from lesion.tasks.drawing.numbering import chosen

_TRIED = 64


class Operand(NamedTuple):
    """One number of a problem, where it may lie, and how strongly the answer follows it."""

    value: int
    low: int
    high: int
    slope: int
    """Change of the answer when the operand grows by one; 0 when the answer does not follow it."""


class Change(NamedTuple):
    """Which operand the twin changes, and to what."""

    operand: int
    value: int


def as_long(number: int) -> tuple[int, int]:
    """The smallest and largest number written with as many characters and the same sign.

    >>> as_long(7), as_long(46), as_long(-5)
    ((0, 9), (10, 99), (-9, -1))
    """
    digits = len(str(abs(number)))
    smallest, largest = 10 ** (digits - 1), 10**digits - 1
    if number < 0:
        return -largest, -smallest
    return (0 if digits == 1 else smallest), largest


def values(operand: Operand, answer: int) -> range:
    """All values of the operand, its own among them, that keep its own length and the answer's."""
    if operand.slope == 0:
        return range(0)
    shortest, longest = as_long(operand.value)
    first, last = as_long(answer)
    if operand.slope < 0:
        first, last = last, first
    low = operand.value - (answer - first) // operand.slope
    high = operand.value + (last - answer) // operand.slope
    return range(max(low, operand.low, shortest), min(high, operand.high, longest) + 1)


def changes(operands: Sequence[Operand], answer: int, *key: str | int) -> Iterator[Change]:
    """All changes that keep the answer's length, in keyed order: first those that stay in the operands' ranges."""
    free = [operand._replace(low=as_long(operand.value)[0], high=as_long(operand.value)[1]) for operand in operands]
    first = chosen(len(operands), "operand", *key)
    for family in (operands, free):
        for which in (*range(first, len(family)), *range(first)):
            allowed = values(family[which], answer)
            if len(allowed) > 1:
                own = family[which].value - allowed.start
                start = chosen(len(allowed) - 1, "value", *key)
                for step in range(len(allowed) - 1):
                    place = (own + 1 + (start + step) % (len(allowed) - 1)) % len(allowed)
                    yield Change(which, allowed[place])
    for which, operand in enumerate(operands):
        if operand.slope:
            yield Change(which, operand.value + 1)


def twin(
    operands: Sequence[Operand], answer: int, *key: str | int, cost: Callable[[Change], int] | None = None
) -> Change:
    """The change that makes the twin.

    Args:
        operands: The problem's numbers.
        answer: Its answer.
        key: What the choice depends on.
        cost: By how many characters a change alters what is written, where that is more than digits (words, worked
            solutions): the cheapest of the first 64 changes is taken.

    Raises:
        InputError: when the answer follows no operand.
    """
    best: tuple[int, Change] | None = None
    for change in islice(changes(operands, answer, *key), _TRIED):
        price = 0 if cost is None else cost(change)
        if best is None or price < best[0]:
            best = price, change
        if price == 0:
            break
    if best is None:
        raise InputError(f"no twin: the answer {answer} follows none of {[o.value for o in operands]}")
    return best[1]
