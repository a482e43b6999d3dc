"""Expressions of several operations: reduced step by step as on paper, and numbered without gaps.

A form is a string like `(a+b)*c`; its letters stand for operands in alphabetical order. Brackets come first, then `*`,
then `+` and `-` from left to right.
"""

import operator
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from lesion.tasks.problems.counterfactual import Operand

Token = Any
"""A number, an array of numbers (to count many problems at once), or a sign."""

_APPLY = {"+": operator.add, "-": operator.sub, "*": operator.mul}


class Step(NamedTuple):
    """One operation, and what the expression is after it."""

    left: Token
    sign: str
    right: Token
    result: Token
    rest: tuple[Token, ...]


def filled(form: str, operands: Sequence[Token]) -> tuple[Token, ...]:
    """The form with its letters replaced.

    >>> filled("(a+b)*c", (12, 3, 4))
    ('(', 12, '+', 3, ')', '*', 4)
    """
    named = dict(zip(sorted(filter(str.isalpha, form)), operands, strict=True))
    return tuple(named.get(sign, sign) for sign in form)


def _is(token: Token, signs: str) -> bool:
    return isinstance(token, str) and token in signs


def reduced(tokens: Sequence[Token]) -> Step:
    """The next operation: in the first innermost bracket, the first `*`, else the first `+` or `-`."""
    closing = [place for place, token in enumerate(tokens) if _is(token, ")")]
    stop = closing[0] if closing else len(tokens)
    start = max((place + 1 for place in range(stop) if _is(tokens[place], "(")), default=0)
    places = [place for signs in ("*", "+-") for place in range(start, stop) if _is(tokens[place], signs)]
    left, sign, right = tokens[places[0] - 1 : places[0] + 2]
    result = _APPLY[sign](left, right)
    before, after = places[0] - 1, places[0] + 2
    if closing and stop - start == 3:  # nothing else stands in the bracket: it goes, too
        before, after = before - 1, after + 1
    return Step(left, sign, right, result, (*tokens[:before], result, *tokens[after:]))


def steps(form: str, operands: Sequence[Token]) -> list[Step]:
    """All operations in order; the last one's result is the expression's value."""
    taken: list[Step] = []
    rest = filled(form, operands)
    while len(rest) > 1:
        taken.append(reduced(rest))
        rest = taken[-1].rest
    return taken


def value(form: str, operands: Sequence[Token]) -> Token:
    """The expression's value; with arrays as operands, an array."""
    return steps(form, operands)[-1].result


def is_factor(form: str, letter: str) -> bool:
    """Whether a letter stands beside `*`, brackets apart."""
    place = form.index(letter)
    return "*" in form[max(0, place - 1) : place + 2]


class Grid:
    """All problems of a form whose operands lie in their ranges and whose value is at least `least`, numbered.

    An expression is affine in its last operand. So for each choice of the others the allowed values of the last one
    form an interval; the intervals' lengths are added up once, and a number is found in them by bisection.
    """

    def __init__(self, form: str, ranges: Sequence[tuple[int, int]], least: int = 0) -> None:
        self.form, self.ranges, self.least = form, tuple(ranges), least

    @property
    def size(self) -> int:
        """How many problems there are."""
        return int(self._ends[-1])

    def operands(self, number: int) -> tuple[int, ...]:
        """The operands of problem `number`."""
        lead = int(np.searchsorted(self._ends, number, side="right"))
        first, _ = self._last
        offset = number - (int(self._ends[lead - 1]) if lead else 0)
        place = np.unravel_index(lead, self._shape)
        leads = (int(at) + low for at, (low, _) in zip(place, self.ranges[:-1], strict=True))
        return (*leads, int(first.flat[lead]) + offset)

    def described(self, operands: Sequence[int]) -> list[Operand]:
        """The operands with their ranges and how the value follows each."""
        now = value(self.form, operands)
        grown = [(*operands[:i], operands[i] + 1, *operands[i + 1 :]) for i in range(len(operands))]
        slopes = [value(self.form, more) - now for more in grown]
        return [Operand(x, *span, slope) for x, span, slope in zip(operands, self.ranges, slopes, strict=True)]

    @cached_property
    def _shape(self) -> tuple[int, ...]:
        return tuple(high - low + 1 for low, high in self.ranges[:-1])

    @cached_property
    def _last(self) -> tuple[Any, Any]:
        """Smallest and largest last operand for each choice of the others."""
        leads = np.ogrid[tuple(slice(low, high + 1) for low, high in self.ranges[:-1])]
        base = np.broadcast_to(value(self.form, (*leads, 0)), self._shape) - self.least
        slope = np.broadcast_to(value(self.form, (*leads, 1)), self._shape) - self.least - base
        low, high = self.ranges[-1]
        bound = np.where(slope < 0, base // np.where(slope < 0, -slope, 1), high)
        first = np.where(slope > 0, -(base // np.where(slope > 0, slope, 1)), low)
        never = (slope == 0) & (base < 0)
        return np.clip(first, low, None), np.where(never, low - 1, np.minimum(bound, high))

    @cached_property
    def _ends(self) -> Any:
        first, last = self._last
        return np.cumsum(np.maximum(0, last - first + 1).ravel())
