"""From cells to the study's scenario."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesion.errors import InputError
from lesion.stats.verdict.scenario import scenario

UP, DOWN, NULL, MIXED, OPEN, BAD = "Improvement", "Harm", "Null", "Mixed", "Inconclusive", "Invalid"


@pytest.mark.parametrize(
    ("cells", "name"),
    [
        ([UP], UP),
        ([UP, NULL, OPEN, BAD], UP),
        ([UP, DOWN], MIXED),
        ([MIXED], MIXED),
        ([MIXED, UP], MIXED),
        ([MIXED, NULL, DOWN], MIXED),
        ([NULL, NULL], NULL),
        ([NULL, BAD], OPEN),
        ([NULL, OPEN], OPEN),
        ([DOWN, NULL], DOWN),
        ([DOWN, OPEN, BAD], DOWN),
        ([OPEN], OPEN),
        ([BAD], OPEN),
    ],
)
def test_the_scenario_follows_from_its_cells(cells, name):
    verdicts = {f"cell{k}": verdict for k, verdict in enumerate(cells)}
    found = scenario(verdicts)
    assert found.name == name
    assert found.invalid == tuple(cell for cell, verdict in verdicts.items() if verdict == BAD)


@given(st.lists(st.sampled_from([UP, DOWN, NULL, MIXED, OPEN, BAD]), min_size=1, max_size=8))
def test_the_scenario_does_not_depend_on_order_and_a_null_needs_every_cell(cells):
    found = scenario(dict(enumerate(cells))).name
    assert found == scenario(dict(enumerate(reversed(cells)))).name
    assert (found == NULL) == all(cell == NULL for cell in cells)


def test_no_cells_and_unfinished_cells_have_no_scenario():
    with pytest.raises(InputError, match="at least one"):
        scenario({})
    with pytest.raises(InputError, match="second look"):
        scenario({"a": "Ambiguous", "b": "Null"})
