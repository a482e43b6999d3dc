import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from lesion.errors import InterventionError
from lesion.interventions.edit import edit, rewrite, vector_hash
from lesion.interventions.intervention import KnockOut, Mean, Patch, Resample, Scale, Steer
from lesion.interventions.site import head, stream

shapes = st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 5), st.integers(1, 4))
NAME = "0" * 64


def _activation(shape, seed=0):
    batch, pos, units, width = shape
    return torch.randn(batch, pos, units * width, generator=torch.Generator().manual_seed(seed))


def _scale(alpha):
    return Scale(sites=(head(0, 0),), alpha=alpha)


REPLACING = [
    Patch(sites=(head(0, 0),)),
    Mean(sites=(head(0, 0),), reference=NAME),
    Resample(sites=(head(0, 0),), reference=NAME, seed=0),
]


@settings(deadline=None)
@given(shapes, st.data())
def test_only_the_chosen_units_at_the_masked_positions_are_edited(shape, data):
    batch, pos, units, width = shape
    chosen = sorted(data.draw(st.sets(st.integers(0, units - 1), min_size=1)))
    mask = torch.tensor(data.draw(st.lists(st.booleans(), min_size=batch * pos, max_size=batch * pos))).view(batch, pos)
    activation = _activation(shape)
    source = torch.randn(batch, pos, len(chosen), width, generator=torch.Generator().manual_seed(1))
    scaled, before, after = rewrite(activation, mask, units, chosen, _scale(0.5))
    patched, _, put = rewrite(activation, mask, units, chosen, REPLACING[0], source)
    assert torch.equal(after, before * 0.5)
    assert torch.equal(put, source[mask])
    for b in range(batch):
        for p in range(pos):
            for u in range(units):
                part = slice(u * width, (u + 1) * width)
                here = bool(mask[b, p]) and u in chosen
                plain = activation[b, p, part]
                assert torch.equal(scaled[b, p, part], plain * 0.5 if here else plain)
                assert torch.equal(patched[b, p, part], source[b, p, chosen.index(u)] if here else plain)


@settings(deadline=None)
@given(shapes)
def test_alpha_one_and_a_coefficient_of_zero_keep_every_bit(shape):
    batch, pos, units, width = shape
    activation = _activation(shape)
    mask = torch.ones(batch, pos, dtype=torch.bool)
    idle = Steer(sites=(head(0, 0),), vector=NAME, coefficient=0.0)
    for intervention, source in ((_scale(1.0), None), (idle, torch.ones(1, 1, 1, width))):
        edited, _, _ = rewrite(activation, mask, units, range(units), intervention, source)
        assert torch.equal(edited.view(torch.int32), activation.view(torch.int32))


def test_the_callers_tensor_is_not_touched_even_when_everything_is_zeroed():
    activation = _activation((2, 3, 4, 2))
    before = activation.clone()
    edited, _, _ = rewrite(activation, torch.ones(2, 3, dtype=torch.bool), 4, range(4), _scale(0.0))
    assert torch.equal(activation, before)
    assert not edited.any()


def test_a_source_that_takes_an_activations_place_is_not_shared_with_it():
    source = torch.zeros(3)
    edit(torch.ones(2, 3), REPLACING[0], source)[0, 0] = 7
    assert not source.any()


def test_scaling_by_a_then_by_b_is_scaling_by_a_times_b():
    activation = _activation((2, 3, 4, 2))
    mask = torch.tensor([[True, False, True], [False, True, True]])
    once, _, _ = rewrite(activation, mask, 4, [1, 3], _scale(0.5 * 4.0))
    twice, _, _ = rewrite(rewrite(activation, mask, 4, [1, 3], _scale(0.5))[0], mask, 4, [1, 3], _scale(4.0))
    assert torch.equal(once, twice)


def test_an_activation_whose_rows_and_positions_are_flattened_is_edited_alike():
    activation = _activation((2, 3, 4, 2))
    mask = torch.tensor([[True, False, True], [False, True, True]])
    flat, _, _ = rewrite(activation.flatten(0, 1), mask, 4, [2], _scale(0.1))
    assert torch.equal(flat, rewrite(activation, mask, 4, [2], _scale(0.1))[0].flatten(0, 1))


def test_steering_adds_the_coefficient_times_the_vector():
    activation, vector = _activation((2, 3, 1, 4)), torch.arange(4.0)
    steer = Steer(sites=(stream(0),), vector=vector_hash(vector), coefficient=-2.0)
    assert torch.equal(edit(activation, steer, vector), activation - 2 * vector)


@pytest.mark.parametrize("intervention", REPLACING)
def test_a_replacement_without_a_source_or_with_one_that_does_not_fit_is_refused(intervention):
    with pytest.raises(InterventionError, match="no source was given"):
        edit(torch.ones(2, 3), intervention)
    with pytest.raises(InterventionError, match=r"the shape \(5,\) for an activation of \(2, 3\)"):
        edit(torch.ones(2, 3), intervention, torch.ones(5))
    assert torch.equal(edit(torch.ones(2, 3), intervention, torch.zeros(3)), torch.zeros(2, 3))


def test_a_knock_out_edits_no_activation():
    with pytest.raises(InterventionError, match="edits no activation"):
        edit(torch.ones(2), KnockOut(sites=(head(0, 0),), keys="all"), torch.ones(2))


def test_a_vector_is_named_by_its_numbers_alone():
    vector = torch.tensor([0.5, -1.0])
    name = vector_hash(vector)
    assert name == vector_hash(vector.double()) == vector_hash(torch.tensor([0.5, 9.0, -1.0])[::2])
    assert name != vector_hash(torch.tensor([-1.0, 0.5]))
