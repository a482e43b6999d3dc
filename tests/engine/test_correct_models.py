"""No correct model is refused: sharp heads, silent MLPs, the hand model, random scales of the weights."""

import pytest
import torch

from lesion.engine.proof.prove import examine
from lesion.engine.proof.recorded_passes import gather
from lesion.identity import generator
from lesion.models.families import FAMILIES
from lesion.models.model import open_model
from lesion.training.hand_model import write_hand_model


def _failed(model):
    return [(one.name, one.error, one.note) for one in examine(model) if not one.holds]


def test_the_hand_model_holds(tmp_path):
    write_hand_model(tmp_path)
    assert _failed(open_model(str(tmp_path))) == []


def test_a_head_whose_pattern_is_one_hot_holds():
    model = open_model("tiny:gpt2")
    with torch.no_grad():
        for layer in range(model.sizes.n_layers):
            model.block(layer).attn.c_attn.weight[:, : 2 * model.sizes.d_model].mul_(100)
    evidence = gather(model, 7)
    last = evidence.pattern(model, 1)[:, model.sizes.n_heads - 1]
    assert (last == 1).any()
    assert _failed(model) == []


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_model_whose_mlps_read_and_write_nothing_holds(name):
    model = open_model(f"tiny:{name}")
    with torch.no_grad():
        for layer in range(model.sizes.n_layers):
            for parameter in model.block(layer).mlp.parameters():
                parameter.zero_()
    assert _failed(model) == []


@pytest.mark.parametrize("name", list(FAMILIES))
def test_random_scales_of_the_weights_are_no_fault(name):
    rng = generator("scales", name)
    model = open_model(f"tiny:{name}")
    with torch.no_grad():
        for _, parameter in sorted(model.module.named_parameters()):
            if parameter.ndim > 1:
                parameter.mul_(float(rng.choice([0.0, 0.01, 0.1, 1.0, 1.0, 1.0, 10.0, 100.0])))
    assert _failed(model) == []
