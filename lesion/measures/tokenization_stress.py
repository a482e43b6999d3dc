"""The tokenization stress test: do failures come with more digits, or with more tokens?

Operand ranges and operations are scaled; every item is one of (operation, digits, tokens). Accuracy is read by token
count at a fixed digit count and by digit count at a fixed token count. The common difference over the fixed strata is
Mantel and Haenszel's risk difference with the variance of Sato (1989, Biometrics 45, 1323). Where the tokenizer gives
all numbers of a length the same number of tokens, the two cannot be told apart, and that is the answer.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from lesion.engine.batch import batches
from lesion.engine.select_engine import Engine
from lesion.errors import InputError
from lesion.identity import Document
from lesion.measures.metrics import measure
from lesion.stats.intervals import wilson
from lesion.tasks.catalogue import make_task
from lesion.tasks.config import ArithmeticConfig, Format, Operator
from lesion.tasks.task import Draw
from lesion.tasks.tokenizers.prompt_contract import Compiled, compile_item

RANGES = ((0, 9), (10, 99), (100, 999), (1000, 9999))
"""Smallest and largest operand of each scale."""


class Answered(NamedTuple):
    """One item of the stress test and whether it was right."""

    operator: str
    digits: int
    """Digits of both operands together."""
    tokens: int
    """Tokens of both operands together."""
    correct: bool


class Cell(Document):
    """Accuracy of the items of one operation, digit count and token count."""

    operator: str
    """The operation."""
    digits: int
    """Digits of both operands together."""
    tokens: int
    """Tokens of both operands together."""
    items: int
    """Items."""
    correct: int
    """Right answers."""
    low: float
    """Lower end of Wilson's 95 % interval of the accuracy."""
    high: float
    """Upper end."""


class Difference(Document):
    """What more of one thing does to accuracy when the other is fixed."""

    fixed: str
    """What is fixed, with the operation."""
    strata: int
    """Strata in which both sides occur; the others say nothing."""
    delta: float | None
    """Accuracy with more minus accuracy with fewest, -1 … 1; null where no stratum has both."""
    low: float | None
    """Lower end of the 95 % interval."""
    high: float | None
    """Upper end."""


class Stress(Document):
    """The outcome of a stress test."""

    cells: tuple[Cell, ...]
    """All combinations that occurred."""
    by_tokens: Difference
    """More tokens against fewest, digits and operation fixed."""
    by_digits: Difference
    """More digits against fewest, tokens and operation fixed."""
    refused: int
    """Items that break the prompt contract or are longer than the model reads; they are in no cell."""

    @property
    def verdict(self) -> str:
        """In words: which of the two accuracy falls with."""
        told = {name: _told(d) for name, d in (("tokens", self.by_tokens), ("digits", self.by_digits))}
        if None in told.values():
            lacking = " and ".join(name for name, answer in told.items() if answer is None)
            return f"cannot be separated: no items differ in {lacking} alone"
        falling = [name for name, answer in told.items() if answer]
        return f"accuracy falls with {' and with '.join(falling)}" if falling else "accuracy falls with neither"


def _told(difference: Difference) -> bool | None:
    return None if difference.high is None else difference.high < 0


def stress(
    engine: Engine,
    operators: Sequence[Operator] = ("+", "-", "*"),
    items: int = 100,
    written: Format = "compact",
    shots: int = 2,
    ranges: Sequence[tuple[int, int]] = RANGES,
) -> Stress:
    """Ask a model problems of growing ranges and every operation, and separate digits from tokens.

    Raises:
        InputError: when no item keeps the prompt contract.
    """
    rows: list[Answered] = []
    refused = 0
    for operator in operators:
        for low, high in ranges:
            answered, lost = _asked(engine, operator, (low, high), items, written, shots)
            rows += answered
            refused += lost
    if not rows:
        raise InputError(f"no item keeps the prompt contract of {engine.model.name}: try another format")
    return separate(rows, refused)


def _asked(
    engine: Engine, operator: Operator, bounds: tuple[int, int], items: int, written: Format, shots: int
) -> tuple[list[Answered], int]:
    low, high = bounds
    config = ArithmeticConfig(
        operators=(operator,), low=low, high=high, factor_low=max(low, 1), factor_high=high, format=written, shots=shots
    )
    task, draw, model = make_task(config), Draw("discovery", "stress", 0, 1), engine.model
    made = [
        (item, compile_item(item, model.tokenizer, model.bos))
        for item in task.items(draw, 0, min(items, task.capacity(draw)))
    ]
    most = model.sizes.max_positions
    kept = [(i, c) for i, c in made if isinstance(c, Compiled) and (most is None or len(c.ids) - 1 <= most)]
    rows: list[Answered] = []
    for batch in batches([compiled for _, compiled in kept], 64):
        right = measure(engine.clean(batch), batch, ["correct"])["correct"] == 1
        for place, row in enumerate(batch.rows):
            item, compiled = kept[row]
            texts = [text for text, role in item.segments if role.startswith("operand_")][-2:]
            roles = [role for role in sorted(compiled.roles) if role.startswith("operand_")]
            spans = [compiled.roles[role][-1] for role in roles]
            digits = sum(sum(map(str.isdigit, text)) for text in texts)
            rows.append(Answered(operator, digits, sum(stop - start for start, stop in spans), bool(right[place])))
    return rows, len(made) - len(kept)


def separate(rows: Iterable[Answered], refused: int = 0) -> Stress:
    """Tables and differences from answered items; a pure function of them."""
    counts: defaultdict[tuple[str, int, int], list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        count = counts[row[:3]]
        count[0] += 1
        count[1] += row.correct
    cells: list[Cell] = []
    for (operator, digits, tokens), (n, right) in sorted(counts.items()):
        low, high = wilson(right, n)
        cells.append(
            Cell(
                operator=operator,
                digits=digits,
                tokens=tokens,
                items=n,
                correct=right,
                low=float(low),
                high=float(high),
            )
        )
    by_tokens = _difference([((c.operator, c.digits), c.tokens, c) for c in cells], "digits and operation")
    by_digits = _difference([((c.operator, c.tokens), c.digits, c) for c in cells], "tokens and operation")
    return Stress(cells=tuple(cells), by_tokens=by_tokens, by_digits=by_digits, refused=refused)


def _difference(cells: Sequence[tuple[tuple[str, int], int, Cell]], fixed: str) -> Difference:
    """Mantel-Haenszel's difference between more and fewest, over strata that have both."""
    strata: defaultdict[tuple[str, int], list[tuple[int, Cell]]] = defaultdict(list)
    for stratum, level, cell in cells:
        strata[stratum].append((level, cell))
    tables = [table for levels in strata.values() if (table := _table(levels)) is not None]
    if not tables:
        return Difference(fixed=fixed, strata=0, delta=None, low=None, high=None)
    weight = sum(n0 * n1 / (n0 + n1) for n0, _, n1, _ in tables)
    delta = sum((x1 * n0 - x0 * n1) / (n0 + n1) for n0, x0, n1, x1 in tables) / weight
    half = 1.959964 * math.sqrt(max(0.0, sum(_sato(*table, delta) for table in tables))) / weight
    return Difference(
        fixed=fixed, strata=len(tables), delta=delta, low=max(-1.0, delta - half), high=min(1.0, delta + half)
    )


def _table(levels: Sequence[tuple[int, Cell]]) -> tuple[int, int, int, int] | None:
    """Items and right answers at the lowest level, then at all higher ones; None where there is no higher one."""
    fewest = min(level for level, _ in levels)
    few = [cell for level, cell in levels if level == fewest]
    more = [cell for level, cell in levels if level > fewest]
    (n0, x0), (n1, x1) = ((sum(c.items for c in side), sum(c.correct for c in side)) for side in (few, more))
    return (n0, x0, n1, x1) if more else None


def _sato(n0: int, x0: int, n1: int, x1: int, delta: float) -> float:
    """A stratum's share of Sato's variance, before division by the squared weight."""
    n = n0 + n1
    p = (n1**2 * x0 - n0**2 * x1 + n1 * n0 * (n0 - n1) / 2) / n**2
    q = (x1 * (n0 - x0) + x0 * (n1 - x1)) / (2 * n)
    return delta * p + q
