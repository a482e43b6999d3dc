import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from lesion.engine.batch import batches, induction_edges, random_edges
from lesion.errors import InputError, InterventionError
from lesion.tasks.tokenizers.prompt_contract import Compiled


def _item(prompt, answer, start=0):
    ids = tuple(range(start, start + prompt + answer))
    roles = {"operand_1": ((1, 3),), "answer": ((prompt, prompt + answer),)}
    return Compiled(ids, roles, ids[prompt:], ids[prompt:], prompt, None)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3)), max_size=20), st.integers(1, 5))
def test_every_item_is_in_one_batch_of_its_own_shape_in_the_order_given(lengths, most):
    items = [_item(*pair, start=i) for i, pair in enumerate(lengths)]
    made = batches(items, most)
    assert sorted(row for batch in made for row in batch.rows) == list(range(len(items)))
    for batch in made:
        assert 1 <= len(batch.rows) <= most
        assert list(batch.rows) == sorted(batch.rows)
        for row, ids, answer in zip(batch.rows, batch.ids.tolist(), batch.answer.tolist(), strict=True):
            assert tuple(ids) == items[row].ids
            assert tuple(answer) == items[row].answer_ids


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3)), max_size=20), st.integers(1, 5))
def test_a_bigger_list_that_begins_alike_has_the_same_full_batches(lengths, most):
    items = [_item(*pair) for pair in lengths]
    short = [batch.rows for batch in batches(items, most) if len(batch.rows) == most]
    longer = [batch.rows for batch in batches([*items, _item(2, 2)], most)]
    assert set(short) <= set(longer)


def test_the_model_reads_all_but_the_last_answer_token():
    (batch,) = batches([_item(4, 3)], 8)
    assert batch.inputs.tolist() == [[0, 1, 2, 3, 4, 5]]
    assert batch.answer.tolist() == [[4, 5, 6]]
    assert batch.first == 3


def test_positions_are_all_the_last_prompt_token_and_answer_steps_or_a_role():
    (batch,) = batches([_item(4, 3)], 8)
    assert batch.mask("all").tolist() == [[True] * 6]
    assert batch.mask("last").tolist() == [[False] * 3 + [True] * 3]
    assert batch.mask("role:operand_1").tolist() == [[False, True, True, False, False, False]]
    assert batch.mask("role:answer").tolist() == [[False] * 4 + [True] * 2]


def test_an_unknown_role_is_answered_with_the_nearest_one():
    (batch,) = batches([_item(4, 3)], 8)
    with pytest.raises(InterventionError, match="did you mean 'operand_1'"):
        batch.mask("role:operand1")


def test_a_row_gives_the_same_logits_alone_and_among_others(model, compiled):
    items = compiled(5, 8, 3)
    (together,) = batches(items, 8)
    with torch.inference_mode():
        logits = model.module(together.inputs, use_cache=False).logits
        for row, item in enumerate(items):
            (alone,) = batches([item], 8)
            single = model.module(alone.inputs, use_cache=False).logits[0]
            assert torch.allclose(logits[row], single, atol=1e-5)


@pytest.mark.parametrize(("item", "said"), [(_item(0, 2), "0 prompt"), (_item(2, 0), "0 answer")])
def test_an_empty_prompt_or_answer_is_refused(item, said):
    with pytest.raises(InputError, match=said):
        batches([item], 8)


def test_an_item_that_is_too_long_for_the_model_is_refused():
    assert batches([_item(4, 3)], 8, max_positions=6)
    with pytest.raises(InputError, match="needs 6 positions; this model has 5"):
        batches([_item(4, 3)], 8, max_positions=5)


def test_a_batch_of_no_rows_is_refused():
    with pytest.raises(InputError, match="at least one row"):
        batches([_item(1, 1)], 0)


def test_random_edges_are_as_many_as_the_patterns_causal_and_none_of_them():
    ids = torch.tensor([[5, 7, 9, 5, 7, 9, 5, 7], [1, 2, 3, 4, 5, 6, 7, 8], [3, 3, 3, 3, 3, 3, 3, 3]])
    pattern, drawn = induction_edges(ids), random_edges(ids, 0)
    assert not bool((pattern & drawn).any())
    assert not bool(drawn.triu(1).any())
    free = torch.ones_like(pattern).tril().sum(2) - pattern.sum(2)
    assert torch.equal(drawn.sum(2), torch.minimum(pattern.sum(2), free))
    assert torch.equal(random_edges(ids[1:], 0), drawn[1:]), "a row's edges do not depend on the other rows"
    assert torch.equal(random_edges(ids, 0), drawn)
    assert not torch.equal(random_edges(ids, 1), drawn)
