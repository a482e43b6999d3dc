"""Planted models do what their truth says: the circuit alone answers, and every head that it names is what it is."""

import numpy as np
import pytest
import torch

from lesion.identity import generator
from lesion.interventions.site import Site
from lesion.measures.heads.repeated_sequences import repeats
from lesion.training.planted_heads import DISTRACTORS, planted
from lesion.training.written_weights import GAIN, HEAD_SIZE

SEEDS = range(12)


def logit(network, ids: torch.Tensor, without: frozenset[Site] = frozenset()) -> float:
    """The right token's mean logit in the second copy, with some heads zeroed, by hooks of our own."""
    hooks = []
    for layer, block in enumerate(network.transformer.h):
        gone = [site.index for site in without if site.layer == layer]

        def zero(module, inputs, gone=gone):
            z = inputs[0].clone()
            for index in gone:
                z[..., index * HEAD_SIZE : (index + 1) * HEAD_SIZE] = 0
            return (z,)

        hooks.append(block.attn.c_proj.register_forward_pre_hook(zero))
    with torch.no_grad():
        logits = network(ids[:, :-1]).logits
    for hook in hooks:
        hook.remove()
    right = logits[:, 17:].gather(2, ids[:, 18:, None])
    return float(right.mean())


@pytest.mark.parametrize("seed", SEEDS)
def test_the_truth_of_a_planted_model_holds(seed):
    made = planted(seed)
    ids = repeats(np.arange(1, 33), 0, 16, 0, 4, generator("planted test")).ids
    everything = logit(made.network, ids)
    assert everything == pytest.approx(GAIN, abs=0.06 * GAIN), "leaks of noise heads, no more"
    others = frozenset(made.kinds) - made.circuit
    assert logit(made.network, ids, others) == pytest.approx(GAIN, abs=1e-3), "the circuit alone answers"
    for site in made.circuit:
        lost = everything - logit(made.network, ids, frozenset((site,)))
        if site in made.backups:
            assert abs(lost) < 1e-3, "a backup alone changes nothing"
        else:
            assert lost > 0.15 * GAIN
    assert logit(made.network, ids, made.backups) < 0.1 * GAIN or not made.backups
    assert made.circuit & made.stripes == {site for site, kind in made.kinds.items() if kind == "induction"}


def test_a_seed_is_one_model_and_every_distractor_comes_up():
    one, again = (planted(3).network.state_dict() for _ in range(2))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert set(DISTRACTORS) <= {kind for seed in SEEDS for kind in planted(seed).kinds.values()}
