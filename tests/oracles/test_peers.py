"""The same weights through nnsight and transformer-lens: what every layer computes, and logits under edits.

Both know all families of the table, so none is left out: nnsight wraps whatever module transformers has, and
transformer-lens 4's bridge has an adapter for each of these classes. Neither folds anything, so numbers compare.
"""

import pytest
import torch

from lesion.engine import reference
from lesion.engine.batched.engine import Fast
from lesion.engine.patterns import patterns
from lesion.models.families import FAMILIES

CLOSE = 1e-5
"""Largest difference, in units of the largest number compared (or of 1). All compute in float32, where a rounding is
6e-8, but torch's fused attention here adds up in another order than the peers' eager one, and the batched engine cuts
its products differently: through three layers some tens of roundings. Measured: at most 2e-6."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module", params=["nnsight", "transformer-lens"])
def peer(request):
    """Whom we ask."""
    return request.param


@pytest.fixture(scope="module", params=list(FAMILIES))
def case(request, peer, said):
    """A family's network, and what the peer says of it."""
    return said(peer)[request.param]


def difference(ours, theirs):
    """Largest difference, in units of the largest of their numbers, or of 1."""
    theirs = torch.as_tensor(theirs)
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1))


def test_every_layer_is_read_alike(case):
    family, places = case.model.family, {}
    for layer in range(case.model.sizes.n_layers):
        path = case.model.block_path(layer)
        places |= {
            f"{layer}.resid_pre": (path, "input"),
            f"{layer}.z": (f"{path}.{family.attention_out}", "input"),
            f"{layer}.attn_out": (f"{path}.{family.post_attention_norm or family.attention_out}", "output"),
            f"{layer}.neurons": (f"{path}.{family.mlp_out}", "input"),
            f"{layer}.mlp_out": (f"{path}.{family.post_mlp_norm or family.mlp_out}", "output"),
            f"{layer}.resid_post": (path, "output"),
        }
    for name, ours in case.read(places).items():
        theirs = case.theirs[name].reshape(*case.ids.shape, -1)  # z has an axis for heads, or OPT's MLP none for rows
        assert difference(ours, theirs[:, :-1]) < CLOSE, name


def test_attention_patterns_are_the_same(case):
    ours = patterns(case.model, case.ids, list(range(case.model.sizes.n_layers)))
    for layer, pattern in ours.items():
        assert difference(pattern, case.theirs[f"{layer}.pattern"]) < CLOSE, layer


def test_unedited_logits_are_the_same_by_both_engines(case):
    batch, theirs = case.batch(), case.at_answers("logits")
    assert difference(reference.run(case.model, batch).logits, theirs) < CLOSE
    assert difference(Fast(case.model).clean(batch), theirs) < CLOSE


def test_logits_under_an_edited_head_or_neuron_are_the_same_by_both_engines(case):
    batch = case.batch()
    quick = dict(Fast(case.model).run(batch, case.edits))
    for number, edit in enumerate(case.edits):
        theirs = case.at_answers(f"edit{number}")
        assert difference(theirs, case.at_answers("logits")) > 100 * CLOSE, f"{edit}: no change proves nothing"
        assert quick[number].engine == "fast"
        assert difference(quick[number].logits, theirs) < CLOSE, f"{edit}"
        assert difference(reference.run(case.model, batch, edit).logits, theirs) < CLOSE, f"{edit}"
