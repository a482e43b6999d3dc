"""Twins, against a plain search."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lesion.errors import InputError
from lesion.tasks.problems.counterfactual import Operand, as_long, changes, twin, values


@given(number=st.integers(-(10**6), 10**6), other=st.integers(-(10**6), 10**6))
def test_numbers_are_as_long_when_their_text_and_sign_are(number: int, other: int):
    low, high = as_long(number)
    assert (low <= other <= high) == (len(str(other)) == len(str(number)) and (other < 0) == (number < 0))


@settings(deadline=None)
@given(
    value=st.integers(0, 150),
    low=st.integers(0, 150),
    high=st.integers(0, 150),
    slope=st.integers(-12, 12),
    rest=st.integers(-200, 200),
)
def test_allowed_values_are_those_that_a_search_finds(value: int, low: int, high: int, slope: int, rest: int):
    low, high = min(low, value), max(high, value)
    answer = slope * value + rest
    expected = [
        x
        for x in range(low, high + 1)
        if len(str(x)) == len(str(value))
        and len(str(slope * x + rest)) == len(str(answer))
        and (slope * x + rest < 0) == (answer < 0)
    ]
    assert list(values(Operand(value, low, high, slope), answer)) == (expected if slope else [])


def test_changes_in_range_come_first_and_every_value_once():
    found = list(changes([Operand(5, 4, 7, 1), Operand(3, 3, 3, 1)], 8, "k"))
    assert set(found[:2]) == {(0, 4), (0, 6)}
    assert (0, 7) not in found[:2]  # 7 + 3 is longer than 8


def test_a_problem_without_a_twin_of_equal_length_gets_a_longer_one():
    assert twin([Operand(0, 0, 0, 15), Operand(15, 15, 15, 0)], 0, "k") == (0, 1)


def test_an_answer_that_follows_no_operand_is_refused():
    with pytest.raises(InputError, match="no twin"):
        twin([Operand(3, 0, 9, 0)], 5, "k")


def test_the_cheapest_change_is_taken():
    change = twin([Operand(50, 10, 99, 1)], 50, "k", cost=lambda change: abs(change.value - 77))
    assert change.value == 77 or abs(change.value - 77) <= 30
    assert twin([Operand(5, 1, 9, 1)], 5, "k", cost=lambda change: abs(change.value - 7)) == (0, 7)
