"""The same weights through nnsight, in its own environment: every family of the table, read and edited.

`make oracles` makes the environment and runs this. nnsight wraps the Hugging Face module, so no family is left out.
"""

import json

import numpy as np
import pytest
import torch

from lesion.engine import reference
from lesion.engine.batch import batches
from lesion.engine.fast import Fast
from lesion.engine.patterns import patterns
from lesion.interventions.intervention import Scale
from lesion.interventions.site import Site
from lesion.models.families import FAMILIES

PROMPT = 7
"""Prompt tokens; the answer begins behind them."""
EDITS = [
    Scale(sites=(Site(kind=kind, layer=layer, index=index),), alpha=0.5, positions=positions)
    for kind, layer, index in (("head", 0, 1), ("head", 1, 2), ("neuron", 0, 5), ("neuron", 1, 40))
    for positions in ("all", "last")
]
CLOSE = 1e-5
"""Largest difference, in units of the largest number compared (or 1): both sides compute in float32 (a rounding is
6e-8), but here torch's fused attention adds up, and shared prefixes cut the products differently, than nnsight's eager
pass over whole rows; through three layers that makes some tens of roundings."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def traced(saved, ask):
    """The folder with what nnsight saw, by family; one process for all."""
    root, cases = saved
    begins = {"all": 0, "last": PROMPT - 1}
    asked = [
        {"kind": edit.sites[0].kind, "layer": edit.sites[0].layer, "index": edit.sites[0].index}
        | {"begin": begins[edit.positions]}
        for edit in EDITS
    ]
    (root / "edits.json").write_text(json.dumps(asked))
    ask("nnsight", "tracer.py", root, *FAMILIES)
    return root, cases


@pytest.fixture(scope="module", params=list(FAMILIES))
def both(request, traced):
    """A family's case, and what nnsight saw of it."""
    root, cases = traced
    return cases[request.param], dict(np.load(root / request.param / "traced.npz"))


def difference(ours, theirs):
    """Largest difference, in units of the largest of their numbers, or of 1."""
    theirs = torch.as_tensor(theirs)
    return float((torch.as_tensor(ours) - theirs.reshape(ours.shape)).abs().max() / theirs.abs().max().clamp(min=1))


def test_every_layer_is_read_alike(both):
    case, theirs = both
    family, rows = case.model.family, len(case.ids)
    places = {}
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
        there = theirs[name].reshape(rows, case.ids.shape[1], -1)[:, :-1]  # our last token is an answer, never read
        assert difference(ours, there) < CLOSE, name


def test_attention_patterns_are_the_same(both):
    case, theirs = both
    ours = patterns(case.model, case.ids, list(range(case.model.sizes.n_layers)))
    for layer, pattern in ours.items():
        assert pattern.shape == (len(case.ids), case.model.sizes.n_heads, *[case.ids.shape[1]] * 2)
        assert difference(pattern, theirs[f"{layer}.pattern"]) < CLOSE, layer


def test_unedited_logits_are_the_same_by_both_engines(both):
    case, theirs = both
    (batch,) = batches(case.items(PROMPT), len(case.ids))
    for ours in (reference.run(case.model, batch).logits, Fast(case.model).clean(batch)):
        assert difference(ours, theirs["logits"][:, PROMPT - 1 : -1]) < CLOSE


def test_logits_under_an_edited_head_or_neuron_are_the_same_by_both_engines(both):
    case, theirs = both
    (batch,) = batches(case.items(PROMPT), len(case.ids))
    quick = dict(Fast(case.model).run(batch, EDITS))
    for number, edit in enumerate(EDITS):
        there, clean = (theirs[name][:, PROMPT - 1 : -1] for name in (f"edit{number}", "logits"))
        assert difference(there, clean) > 20 * CLOSE, f"{edit}: an edit that changes nothing proves nothing"
        assert quick[number].engine == "fast"
        for ours in (reference.run(case.model, batch, edit).logits, quick[number].logits):
            assert difference(ours, there) < CLOSE, f"{edit}"
