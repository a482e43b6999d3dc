"""The hand model's known answers (science reference, "Known answers")."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lesion.identity import generator
from lesion.measures.heads.repeated_sequences import repeats
from lesion.models.model import open_model
from lesion.training.hand_model import hand_network, write_hand_model
from lesion.training.network import gated, set_gates
from lesion.training.written_weights import GAIN, TOKENS

NETWORK = hand_network()
IDS = repeats(np.arange(1, 33), 0, 32, 0, 4, generator("hand")).ids
QUERIES = torch.arange(33, 64)


def logits(factors: dict[tuple[int, int], float]) -> torch.Tensor:
    gates_open = torch.ones(1, 2, 4)
    for site, factor in factors.items():
        gates_open[(0, *site)] = factor
    with gated(NETWORK, "gpt2") as gates:
        set_gates(gates, gates_open)
        return NETWORK(IDS).logits


def loss(values: torch.Tensor) -> float:
    """Mean cross-entropy in the second copy, nats."""
    return F.cross_entropy(values[:, QUERIES].double().flatten(0, 1), IDS[:, QUERIES + 1].flatten()).item()


def test_repeats_are_solved_with_the_known_loss():
    plain = NETWORK(IDS).logits
    assert (plain[:, QUERIES].argmax(-1) == IDS[:, QUERIES + 1]).all()
    assert loss(plain) == pytest.approx(math.log1p(32 * math.exp(-GAIN)), rel=1e-3)
    assert plain[:, QUERIES].max().item() == pytest.approx(GAIN, abs=1e-3)


@pytest.mark.parametrize("site", [(0, 2), (1, 1)])
def test_without_the_previous_token_or_the_induction_head_nothing_is_known(site):
    assert loss(logits({site: 0.0})) == pytest.approx(math.log(33), abs=1e-5)


@pytest.mark.parametrize("site", [(0, 0), (0, 1), (0, 3), (1, 0), (1, 2), (1, 3)])
def test_any_other_head_can_go_without_a_bit_changing(site):
    assert torch.equal(logits({site: 0.0}), NETWORK(IDS).logits)


@pytest.mark.parametrize("factor", [0.05, 0.1, 0.25, 0.5])
def test_scaling_the_induction_head_gives_the_known_loss(factor):
    assert loss(logits({(1, 1): factor})) == pytest.approx(math.log1p(32 * math.exp(-GAIN * factor)), abs=2e-6)


def test_it_opens_like_any_other_model(tmp_path):
    write_hand_model(tmp_path)
    model = open_model(str(tmp_path))
    assert (model.sizes.n_layers, model.sizes.n_heads, model.sizes.vocab_size) == (2, 4, 33)
    assert model.bos == TOKENS.index("[BOS]") == 0
    assert torch.equal(model.module(IDS).logits, NETWORK(IDS).logits)
    assert model.tokenizer.encode("abc", add_special_tokens=False).ids == [1, 2, 3]
