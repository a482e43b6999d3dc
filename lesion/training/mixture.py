"""The rows of the training mixture: packed arithmetic problems and symbol patterns, with their loss mask.

The rows of a step depend on the recipe's seed and the step's number alone, so a resumed training meets the same rows.
No held-out problem (`lesion.tasks.drawing.heldout`) ever appears. Only what can be predicted is graded: answers with
their end mark, and the part of a pattern that follows from what came before.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lesion.identity import generator
from lesion.tasks.drawing.heldout import held_out
from lesion.tasks.problems.alphabet import COPY, END, REVERSE, SYMBOLS
from lesion.training.recipe import Mixture, Recipe
from lesion.training.vocabulary import BOS_ID, encode_rows

Rng = np.random.Generator

KINDS = ("+", "-", "*", "+-")
"""Sum, difference, product, chain (`a+b-c`)."""
LARGEST_FACTOR, LARGEST_LINK = 12, 49
"""Largest factor of a product, and operand of a chain."""


class Row(NamedTuple):
    """A row's text (without BOS), and a `1` under each character that is graded, `0` elsewhere."""

    text: str
    graded: str


class Batch(NamedTuple):
    """One step's rows."""

    ids: NDArray[np.int64]
    """Token ids, BOS first, shape [batch, length]."""
    labels: NDArray[np.int64]
    """The next token where it is graded, else -100, shape [batch, length]."""
    arithmetic: NDArray[np.bool_]
    """Which rows are arithmetic, shape [batch]."""
    dropped: NDArray[np.bool_]
    """Which rows are trained without the stage's heads, shape [batch]; only arithmetic ones."""


def solve(kind: str, operands: tuple[int, ...]) -> tuple[str, str]:
    """Prompt and answer (without the end mark) of a problem, e.g. `("3-8=", "-5")`."""
    if kind == "+-":
        a, b, c = operands
        return f"{a}+{b}-{c}=", str(a + b - c)
    a, b = operands
    return f"{a}{kind}{b}=", str(a + b if kind == "+" else a - b if kind == "-" else a * b)


def draw_kind(rng: Rng, mixture: Mixture) -> str:
    """A kind of problem, by the mixture's shares."""
    u = rng.random()
    if u < mixture.products:
        return "*"
    if u < mixture.products + mixture.chains:
        return "+-"
    return "+" if rng.random() < mixture.sums else "-"


def draw_operands(rng: Rng, mixture: Mixture, kind: str) -> tuple[int, ...]:
    """Operands of a problem that is not held out."""
    while True:
        if kind == "+-":
            a, b, c = (int(x) for x in rng.integers(0, LARGEST_LINK + 1, 3))
            operands: tuple[int, ...] = (a, b, c)
            if c > a + b:
                continue
        else:
            a, b = (int(x) for x in rng.integers(0, (LARGEST_FACTOR if kind == "*" else mixture.high) + 1, 2))
            if kind != "*" and rng.random() < mixture.beyond:
                a, b = (a + 100, b) if rng.random() < 0.5 else (a, b + 100)
            operands = (a, b)
        if not held_out(kind, *operands):
            return operands


def arithmetic_row(rng: Rng, mixture: Mixture, length: int) -> Row:
    """Problems packed until the row is full; the last one may be cut."""
    one = KINDS[int(rng.choice([0, 1, 0, 1, 2, 3]))] if rng.random() < mixture.uniform else None
    text = graded = ""
    while len(text) < length:
        kind = one or draw_kind(rng, mixture)
        prompt, answer = solve(kind, draw_operands(rng, mixture, kind))
        text += prompt + answer + END
        graded += "0" * len(prompt) + "1" * (len(answer) + 1)
    return Row(text[:length], graded[:length])


def _symbols(rng: Rng, count: int) -> str:
    return "".join(SYMBOLS[i] for i in rng.permutation(len(SYMBOLS))[:count])


def repeat_row(rng: Rng, mixture: Mixture, length: int) -> Row:
    """A block without repeated symbols, again and again, after 0–4 other symbols, so that no offset is fixed."""
    before = int(rng.integers(0, 5))
    size = int(rng.integers(mixture.shortest, mixture.longest + 1))
    symbols = _symbols(rng, before + size)
    prefix, block = symbols[:before], symbols[before:]
    copies = -(-(length - before) // size)
    text = prefix + block * copies
    graded = "0" * (before + size + 1) + "1" * length  # nothing tells that the first copy ends
    return Row(text[:length], graded[:length])


def unit_row(rng: Rng, mixture: Mixture, length: int) -> Row:
    """Short units (A, AB, AAB, ABB, ABC) that go on for 1–22 symbols more, then an ungraded end mark."""
    del mixture
    text = graded = ""
    while len(text) < length:
        a, b, c = _symbols(rng, 3)
        unit = (a, a + b, a + a + b, a + b + b, a + b + c)[int(rng.integers(0, 5))]
        more = int(rng.integers(1, 23))
        text += (unit * (more + 1))[: len(unit) + more] + END
        graded += "0" * (len(unit) + 1) + "1" * (more - 1) + "0"
    return Row(text[:length], graded[:length])


def _transformed_row(rng: Rng, length: int, mark: str) -> Row:
    text = graded = ""
    while len(text) < length:
        block = _symbols(rng, int(rng.integers(2, 9)))
        text += block + mark + (block[::-1] if mark == REVERSE else block) + END
        graded += "0" * (len(block) + 1) + "1" * (len(block) + 1)
    return Row(text[:length], graded[:length])


def copy_row(rng: Rng, mixture: Mixture, length: int) -> Row:
    """`abc>abc;`: blocks of 2–8 symbols and their copies."""
    del mixture
    return _transformed_row(rng, length, COPY)


def reverse_row(rng: Rng, mixture: Mixture, length: int) -> Row:
    """`abc<cba;`: blocks of 2–8 symbols and their reversals."""
    del mixture
    return _transformed_row(rng, length, REVERSE)


def draw_maker(rng: Rng, recipe: Recipe, staged: bool) -> Callable[[Rng, Mixture, int], Row]:
    """Which kind of row comes next."""
    mixture = recipe.mixture
    if staged and recipe.stage:
        return repeat_row if rng.random() < recipe.stage.repeats else copy_row
    if rng.random() >= mixture.patterns:
        return arithmetic_row
    if rng.random() < mixture.repeats:
        return repeat_row
    return (unit_row, copy_row, reverse_row)[int(rng.integers(0, 3))]


def draw_batch(recipe: Recipe, step: int, staged: bool) -> Batch:
    """The rows of one step, a function of the recipe, the step and whether the stage is on."""
    rng = generator("training rows", recipe.seed, step)
    makers = [draw_maker(rng, recipe, staged) for _ in range(recipe.batch)]
    rows = [make(rng, recipe.mixture, recipe.length) for make in makers]
    tokens = np.pad(encode_rows([row.text for row in rows]), ((0, 0), (1, 0)), constant_values=BOS_ID)
    graded = np.array([[mark == "1" for mark in row.graded] for row in rows])
    arithmetic = np.array([make is arithmetic_row for make in makers])
    dropped = arithmetic & (rng.random(recipe.batch) < recipe.drop)
    return Batch(tokens[:, :-1], np.where(graded, tokens[:, 1:], -100), arithmetic, dropped)
