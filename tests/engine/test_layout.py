import hypothesis.strategies as st
import torch
from hypothesis import given, settings

from lesion.engine.batched.token_trie import apart, trie


@st.composite
def _prompts(draw):
    """Rows over an alphabet of two tokens, so that prefixes of prefixes and equal rows are common."""
    rows, length = draw(st.integers(1, 6)), draw(st.integers(1, 8))
    bits = st.lists(st.integers(0, 1), min_size=length, max_size=length)
    ids, edits = (torch.tensor([draw(bits) for _ in range(rows)]) for _ in range(2))
    edits = edits * draw(st.integers(0, 1))
    first = draw(st.integers(0, length - 1))
    return ids, first, edits, draw(st.integers(0, length - 1)), draw(st.sampled_from([4, 10**9]))


def _whole(ids):
    return torch.arange(ids.numel()).view(ids.shape)


@settings(deadline=None, max_examples=200)
@given(_prompts())
def test_every_token_that_is_run_stands_for_equal_beginnings_and_for_all_of_them(case):
    ids, first, edits, start, worth = case
    full = trie(ids, first, edits, worth=worth)
    beginnings = [
        [(tuple(row[: t + 1]), tuple(edit[: t + 1])) for t in range(len(row))]
        for row, edit in zip(ids.tolist(), edits.tolist(), strict=True)
    ]
    for layout in (full, full.late(start)):
        at = range(layout.start, first)
        held: dict[int, set] = {}
        for row in range(len(ids)):
            for t in at:
                held.setdefault(int(layout.index[row, t]), set()).add(beginnings[row][t])
        assert all(len(same) == 1 for same in held.values())
        if worth > 4:  # nothing is joined: each beginning is run once
            assert len(held) == len({beginnings[row][t] for row in range(len(ids)) for t in at})


@settings(deadline=None, max_examples=200)
@given(_prompts())
def test_packing_takes_each_token_that_is_run_from_where_the_index_says(case):
    ids, first, edits, start, worth = case
    full = trie(ids, first, edits, worth=worth)
    for layout in (full, full.late(start)):
        packed = layout.pack(_whole(ids))
        assert len(packed) == layout.tokens == len(set(packed.tolist()))
        assert torch.equal(packed % ids.shape[1], layout.positions)
        assert torch.equal(layout.index.flatten()[packed], torch.arange(layout.tokens))
        assert torch.equal(packed, full.pack(_whole(ids))[layout.among])
        assert int(layout.times.sum()) == len(ids) * (ids.shape[1] - layout.start)


@settings(deadline=None, max_examples=200)
@given(_prompts())
def test_the_read_tokens_are_each_rows_own_and_come_row_by_row(case):
    ids, first, edits, start, worth = case
    full = trie(ids, first, edits, worth=worth)
    for layout in (full, full.late(start)):
        assert torch.equal(layout.pack(_whole(ids))[layout.read], _whole(ids)[:, first:].flatten())


@settings(deadline=None, max_examples=200)
@given(_prompts())
def test_a_late_layout_runs_everything_that_an_edit_can_change(case):
    ids, first, edits, start, worth = case
    late = trie(ids, first, edits, worth=worth).late(start)
    assert late.start <= start
    assert (late.index[:, late.start :] >= 0).all()


def test_prefixes_of_prefixes_are_levels():
    ids = torch.tensor([[1, 2, 3, 4, 9], [1, 2, 3, 5, 9], [1, 2, 6, 4, 9], [1, 2, 6, 4, 9]])
    layout = trie(ids, 4)
    assert [(level.start, level.stop, level.count) for level in layout.levels] == [
        (0, 2, 1),
        (2, 3, 2),
        (3, 4, 3),
        (4, 5, 4),
    ]
    assert (layout.common, layout.tokens) == (2, 2 + 2 + 3 + 4)
    assert layout.times.tolist() == [4, 4, 2, 2, 1, 1, 2, 1, 1, 1, 1]


def test_rows_part_where_an_edit_differs_and_before_what_is_read():
    ids = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 5]])
    edits = torch.zeros(2, 4, dtype=torch.long)
    assert trie(ids, 3, edits).common == 3
    assert trie(ids, 2).common == 2
    edits[1, 1] = 1
    assert trie(ids, 3, edits).common == 1


def test_a_level_that_saves_next_to_nothing_is_joined_to_the_next():
    ids = torch.randint(2, 99, (40, 12))
    ids[:, 0] = 1
    assert trie(ids, 11, worth=10**9).common == 1
    assert trie(ids, 11, worth=8).levels == apart(ids, 11).levels
