"""A prediction on N workers: bounded by the work, by the longest cell, and by the stages that wait for each other."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from lesion.study.forecast.forecast import Costed
from lesion.study.forecast.makespan import WORTH, makespan, scaling

stages = st.lists(
    st.builds(
        lambda cells, flop: Costed("baseline", cells, 0, 0, 0, flop), st.integers(0, 300), st.floats(1e6, 1e15)
    ),
    min_size=1,
    max_size=6,
)  # fmt: skip


@given(stages, st.integers(1, 500))
def test_it_never_beats_an_even_division_nor_the_longest_cells(forecast, workers) -> None:
    seconds = makespan(forecast, 1e10, workers)
    work = sum(each.flop for each in forecast if each.cells) / 1e10
    longest = sum(each.flop / each.cells for each in forecast if each.cells) / 1e10
    assert seconds >= max(work / workers, longest) * (1 - 1e-9)
    assert seconds <= makespan(forecast, 1e10, 1) * (1 + 1e-9)


def test_five_cells_on_two_workers_take_three_turns() -> None:
    assert makespan([Costed("confirm", 5, 0, 0, 0, 5e10)], 1e10, 2) == 3.0


@given(stages)
def test_the_table_ends_where_doubling_is_not_worth_it(forecast) -> None:
    table = scaling(forecast, 1e10)
    seconds = [row.minutes for row in table]
    assert all(later <= (1 - WORTH) * sooner for sooner, later in pairwise(seconds))
    assert all(0 < row.busy <= 1 + 1e-9 for row in table)
    assert [row.workers for row in table] == [2**power for power in range(len(table))]
