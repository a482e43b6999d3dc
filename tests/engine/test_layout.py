import hypothesis.strategies as st
import torch
from hypothesis import given, settings

from lesion.engine.layout import Layout, shared_prefix


@st.composite
def _layouts(draw):
    rows, length = draw(st.integers(1, 4)), draw(st.integers(1, 8))
    first = draw(st.integers(0, length - 1))
    full = Layout(rows, length, draw(st.integers(0, first)), first)
    return full, draw(st.integers(0, length - 1))


@settings(deadline=None)
@given(_layouts())
def test_packing_keeps_every_own_token_once_and_the_prefix_of_one_row(case):
    full, start = case
    whole = torch.arange(full.rows * full.length).view(full.rows, full.length)
    for layout in (full, full.late(start)):
        packed = layout.pack(whole)
        assert len(packed) == layout.tokens == len(set(packed.tolist()))
        assert torch.equal(packed % full.length, layout.positions)
        assert torch.equal(packed, full.pack(whole)[layout.among(full)])


@settings(deadline=None)
@given(_layouts())
def test_the_read_tokens_are_the_last_ones_of_every_row_in_order(case):
    full, start = case
    whole = torch.arange(full.rows * full.length).view(full.rows, full.length)
    for layout in (full, full.late(start)):
        assert torch.equal(layout.pack(whole)[layout.read], whole[:, full.first :].flatten())


@settings(deadline=None)
@given(_layouts())
def test_a_late_layout_runs_everything_that_an_edit_can_change(case):
    full, start = case
    late = full.late(start)
    assert late.start <= max(start, 0)
    assert set(range(min(start, full.first), full.length)) <= set(late.positions.tolist()) or late.start == 0


def test_a_prefix_ends_where_a_token_or_an_edit_differs_and_before_what_is_read():
    ids = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 5]])
    nowhere, somewhere = torch.zeros(2, 4, dtype=torch.bool), torch.zeros(2, 4, dtype=torch.bool)
    somewhere[1, 1] = True
    assert shared_prefix(ids, 3, []) == 3
    assert shared_prefix(ids, 2, [nowhere]) == 2
    assert shared_prefix(ids, 3, [nowhere, somewhere]) == 1
    assert shared_prefix(ids[:1], 3, []) == 3
