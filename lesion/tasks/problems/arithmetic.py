"""Tiers 1 and 2: sums, differences and products of two numbers, with few-shot examples and strata.

A stratum holds the problems of one operator; items take the operators in turn. Carries and borrows are counted by
columns, as one does on paper.
"""

from typing import NamedTuple

from lesion.tasks.config import ArithmeticConfig, Operator
from lesion.tasks.drawing.heldout import held_out
from lesion.tasks.drawing.numbering import Place, Stratum
from lesion.tasks.drawing.stratified import FewShotTask
from lesion.tasks.formats import STYLES, example, question, reply
from lesion.tasks.problems.counterfactual import Change, Operand, twin
from lesion.tasks.task import Draw, Item, Segment

_LARGEST_TABLE_FACTOR = 12


class Problem(NamedTuple):
    """Two operands and what is done to them."""

    operator: Operator
    a: int
    b: int

    @property
    def result(self) -> int:
        """The right answer."""
        return {"+": self.a + self.b, "-": self.a - self.b, "*": self.a * self.b}[self.operator]


def count_carries(a: int, b: int) -> int:
    """In how many columns the written sum of `a` and `b` carries.

    >>> count_carries(12, 34), count_carries(19, 3), count_carries(99, 1)
    (0, 1, 2)
    """
    count = carry = 0
    while a or b:
        carry = int(a % 10 + b % 10 + carry > 9)
        count, a, b = count + carry, a // 10, b // 10
    return count


def carrying(problem: Problem) -> str:
    """The `carry` bucket.

    Sums: in how many columns they carry, `none`, `one` or `cascading` (two or more). Differences: the same of borrows,
    or `negative` when the result is. Products: `table` when both factors are at most 12, else `partial`.
    """
    operator, a, b = problem
    if operator == "*":
        return "table" if max(a, b) <= _LARGEST_TABLE_FACTOR else "partial"
    if operator == "-" and a < b:
        return "negative"
    # a - b borrows in just those columns in which (a - b) + b carries.
    count = count_carries(a, b) if operator == "+" else count_carries(a - b, b)
    return ("none", "one", "cascading")[min(count, 2)]


class ArithmeticTask(FewShotTask):
    """Problems of an `ArithmeticConfig`, in lanes."""

    def __init__(self, config: ArithmeticConfig) -> None:
        self.config = config
        self._style = STYLES[config.format]
        self._strata = tuple(self._stratum(operator) for operator in config.operators)

    def examples(self, draw: Draw, prefix: int = 0) -> tuple[Segment, ...]:
        """The few-shot examples of one prefix of a draw: its own order of the *shots* part, the operators in turn."""
        places = self._shots(draw, prefix, self.config.shots)
        problems = [self.problem(place.stratum, place.number) for place in places]
        shown = (example(self._question(p), reply(p.result, self._style), self._style) for p in problems)
        return tuple(segment for one in shown for segment in one)

    def problem(self, stratum: int, number: int) -> Problem:
        """Problem `number` of an operator: a bijection onto the pairs that the configuration allows."""
        operator = self.config.operators[stratum]
        low, high = self.config.bounds(operator)
        width = high - low + 1
        if self.config.beyond is None:
            a, b = divmod(number, width)
            return Problem(operator, low + a, low + b)
        number, swapped = divmod(number, 2)
        large, small = divmod(number, width)
        a, b = high + 1 + large, low + small
        return Problem(operator, b, a) if swapped else Problem(operator, a, b)

    def _stratum(self, operator: Operator) -> Stratum:
        low, high = self.config.bounds(operator)
        width, beyond = high - low + 1, self.config.beyond
        size = width**2 if beyond is None else 2 * (beyond - high) * width
        return Stratum(f"arithmetic {operator} {low} {high} {beyond}", size)

    def _question(self, problem: Problem) -> tuple[Segment, ...]:
        operator, a, b = problem
        parts = ((a, "operand_1"), (operator, "operator"), (b, "operand_2"), ("=", "equals"))
        return question(parts, self._style)

    def _item(self, place: Place, examples: tuple[Segment, ...]) -> Item:
        problem = self.problem(place.stratum, place.number)
        other = self._twin(problem)
        return Item(
            index=place.item,
            segments=examples + self._question(problem),
            answer=reply(problem.result, self._style),
            wrong=reply(other.result, self._style),
            buckets=self._buckets(problem),
            twin=examples + self._question(other),
            signed="-" in self.config.operators,
        )

    def _twin(self, problem: Problem) -> Problem:
        operator, a, b = problem
        first, second = self.config.twin != "second", self.config.twin != "first"
        slope = {"+": (1, 1), "-": (1, -1), "*": (b, a)}[operator]
        slopes = (slope[0] * first, slope[1] * second)  # a number of slope 0 stays as it is
        operands = [Operand(x, *self._range(operator, x), slope) for x, slope in zip((a, b), slopes, strict=True)]

        def changed(change: Change) -> Problem:
            return problem._replace(**{"ab"[change.operand]: change.value})

        def letters(one: Problem) -> tuple[int, int]:
            return len(reply(one.result, self._style)), sum(len(text) for text, _ in self._question(one))

        def cost(change: Change) -> int:
            return sum(abs(x - y) for x, y in zip(letters(changed(change)), letters(problem), strict=True))

        return changed(twin(operands, problem.result, *problem, cost=cost if self.config.format == "words" else None))

    def _range(self, operator: Operator, value: int) -> tuple[int, int]:
        low, high = self.config.bounds(operator)
        return (low, high) if value <= high else (high + 1, self.config.beyond or value)

    def _buckets(self, problem: Problem) -> dict[str, str]:
        operator, a, b = problem
        return {
            "operator": operator,
            "carry": carrying(problem),
            "pair": "unseen" if held_out(operator, a, b) else "seen",
            "digits": f"{len(str(a))}+{len(str(b))}",
        }
