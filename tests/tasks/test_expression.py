"""Expressions, against Python's own arithmetic."""

from itertools import product
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lesion.tasks.config import Form
from lesion.tasks.problems.expression import Grid, filled, is_factor, steps, value

FORMS = get_args(Form)


def python(form: str, operands: tuple[int, ...]) -> int:
    return eval("".join(map(str, filled(form, operands))))  # an oracle on our own forms


@settings(deadline=None)
@given(form=st.sampled_from(FORMS), operands=st.tuples(*[st.integers(0, 99)] * 4))
def test_values_are_those_that_python_gives(form: str, operands: tuple[int, ...]):
    operands = operands[: sum(map(str.isalpha, form))]
    assert value(form, operands) == python(form, operands)


def test_steps_follow_brackets_then_products_then_the_order():
    assert [(s.left, s.sign, s.right, s.result) for s in steps("(a+b)-(c-d)", (9, 8, 7, 6))] == [
        (9, "+", 8, 17),
        (7, "-", 6, 1),
        (17, "-", 1, 16),
    ]
    assert steps("a-b*c", (20, 3, 4))[0].rest == (20, "-", 12)
    assert [s.rest for s in steps("(a+b)*c", (1, 2, 3))] == [(3, "*", 3), (9,)]


@pytest.mark.parametrize("form", FORMS)
def test_a_grid_numbers_just_the_problems_whose_value_is_allowed(form: str):
    ranges = [(2, 4) if is_factor(form, x) else (0, 6) for x in sorted(filter(str.isalpha, form))]
    for least in (0, 1, 5):
        grid = Grid(form, ranges, least)
        found = [grid.operands(number) for number in range(grid.size)]
        everything = product(*(range(low, high + 1) for low, high in ranges))
        assert sorted(found) == [x for x in everything if python(form, x) >= least]


@pytest.mark.parametrize("form", FORMS)
def test_slopes_tell_how_the_value_follows_an_operand(form: str):
    ranges = [(2, 9)] * sum(map(str.isalpha, form))
    grid = Grid(form, ranges)
    operands = grid.operands(grid.size // 2)
    for place, operand in enumerate(grid.described(operands)):
        moved = (*operands[:place], operands[place] + 3, *operands[place + 1 :])
        assert python(form, moved) - python(form, operands) == 3 * operand.slope
