"""Initial weights and head gates."""

import math

import pytest
import torch

from lesion.models.families import family_named
from lesion.training.network import decay_groups, gated, new_network, set_gates, sinusoids
from lesion.training.recipe import Recipe, Shape

FAMILIES = ("llama", "gpt2", "gpt_neox")


def recipe(family: str, **changes) -> Recipe:
    shape = Shape(layers=2, width=32, heads=4, mlp=48)
    return Recipe(name="x", about="x", family=family, shape=shape, steps=1, deviation=0.2, **changes)


IDS = torch.arange(3, 51).reshape(2, 24)


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_are_a_function_of_the_seed_and_leave_the_global_generator_alone(family):
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    first = new_network(recipe(family)).state_dict()
    assert torch.equal(torch.rand(3), expected)
    second = new_network(recipe(family)).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = new_network(recipe(family, seed=1)).state_dict()
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("family", FAMILIES)
def test_open_gates_change_nothing_and_are_taken_out_again(family):
    network = new_network(recipe(family)).eval()
    names = [name for name, _ in network.named_modules()]
    plain = network(IDS).logits
    with gated(network, family) as gates:
        assert torch.equal(network(IDS).logits, plain)
        set_gates(gates, torch.ones(2, 2, 4))
        assert torch.equal(network(IDS).logits, plain)
    assert [name for name, _ in network.named_modules()] == names


@pytest.mark.parametrize("family", FAMILIES)
def test_a_closed_gate_is_the_same_as_zeroing_the_heads_weights(family):
    network = new_network(recipe(family)).eval()
    with gated(network, family) as gates:
        factors = torch.ones(1, 2, 4)
        factors[0, 1, 2] = 0
        set_gates(gates, factors)
        closed = network(IDS).logits
    row = family_named(family)
    weight = network.get_submodule(f"{row.blocks}.1.{row.attention_out}").weight
    with torch.no_grad():
        if family == "gpt2":
            weight[16:24] = 0  # Conv1D: [in, out]
        else:
            weight[:, 16:24] = 0
    assert torch.allclose(network(IDS).logits, closed, atol=1e-6)
    assert not torch.allclose(new_network(recipe(family)).eval()(IDS).logits, closed, atol=1e-4)


def test_gates_are_taken_out_after_an_error():
    network = new_network(recipe("llama"))
    names = [name for name, _ in network.named_modules()]
    with pytest.raises(RuntimeError), gated(network, "llama"):
        raise RuntimeError
    assert [name for name, _ in network.named_modules()] == names


@pytest.mark.parametrize("family", FAMILIES)
def test_every_parameter_is_in_one_group_and_embeddings_do_not_decay(family):
    network = new_network(recipe(family))
    decayed, rest = (group["params"] for group in decay_groups(network, 0.1))
    assert len(decayed) + len(rest) == len(list(network.parameters()))
    assert not {id(p) for p in decayed} & {id(p) for p in rest}
    assert any(p is network.get_input_embeddings().weight for p in rest)
    assert all(p.ndim == 2 for p in decayed)


def test_learned_positions_begin_as_a_sinusoid():
    positions = new_network(recipe("gpt2", sinusoid=0.3)).transformer.wpe.weight
    assert torch.equal(positions, 0.3 * sinusoids(48, 32))
    assert sinusoids(48, 32)[5, 0] == pytest.approx(math.sin(5))
    assert sinusoids(48, 32)[5, 3] == pytest.approx(math.cos(5 * 1000 ** (-2 / 32)))


def test_a_sinusoid_has_the_wavelengths_that_are_asked_for():
    waves = sinusoids(48, 32, (3.0, 48.0))
    assert waves[0, :2].tolist() == [0.0, 1.0]
    assert waves[3, :2].tolist() == pytest.approx([0.0, 1.0], abs=1e-5)
    assert waves[5, 2] == pytest.approx(math.sin(5 * 2 * math.pi / 3 * 16 ** (-2 / 32)), abs=1e-5)
