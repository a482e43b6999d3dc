"""The held-out third: fixed for ever, for the shipped models were trained without it."""

from hypothesis import given
from hypothesis import strategies as st

from lesion.tasks.drawing.heldout import held_out


@given(operands=st.permutations([3, 17, 42]), operator=st.sampled_from(["+", "-", "*", "+-"]))
def test_every_order_of_the_operands_is_held_out_together(operands: list[int], operator: str):
    assert held_out(operator, *operands) == held_out(operator, 3, 17, 42)


def test_a_third_of_the_pairs_is_held_out_and_it_is_always_this_third():
    pairs = [(a, b) for a in range(100) for b in range(100)]
    assert 0.31 < sum(held_out("+", a, b) for a, b in pairs) / len(pairs) < 0.36
    assert [b for b in range(20) if held_out("+", 7, b)] == [2, 5, 6, 9, 10, 13, 14, 18, 19]
    assert [b for b in range(20) if held_out("-", 7, b)] == [0, 3, 5, 10, 11, 16, 17]
