import dataclasses

import pytest
import torch
from torch.nn import functional

from lesion.engine import reference
from lesion.engine.batch import batches
from lesion.engine.batched.engine import Fast
from lesion.engine.batched.linear_kernels import PackedLinear, kernel_rule
from lesion.engine.select_engine import AGREEMENT, choose, trials
from lesion.errors import InputError
from lesion.identity import generator
from lesion.interventions.intervention import Scale
from lesion.interventions.site import parse_site
from lesion.models.families import family_named
from lesion.models.model import open_model, random_model


def test_every_family_runs_the_quick_way_within_a_tenth_of_the_tolerance(model):
    choice = choose(model).choice
    assert choice.engine == "fast", choice.note
    assert choice.error <= 1e-5


def test_a_batched_engine_that_differs_is_not_taken_and_says_so(tiny, monkeypatch):
    monkeypatch.setattr("lesion.engine.batched.prefix_shared_attention._masked", lambda scores, allowed: scores)
    choice = choose(tiny("gpt2")).choice
    assert choice.engine == "reference"
    assert choice.error > choice.tolerance
    assert "the slower reference engine is used" in choice.note


@pytest.mark.parametrize("attends", ["interface", "method", "torch"])
def test_a_family_whose_attention_is_not_where_its_row_says_is_not_believed(tiny, attends):
    model = tiny("bloom")
    engine = choose(dataclasses.replace(model, family=dataclasses.replace(model.family, attends=attends)))
    assert engine.choice.engine == "reference"
    assert engine.choice.note


def test_a_padding_token_beyond_the_rows_that_are_asked_for_does_not_matter_to_float64():
    family = family_named("qwen2")
    model = random_model(family, family.tiny, 66)
    model.module.get_input_embeddings().padding_idx = 65
    choice = choose(model).choice
    assert choice.engine == "fast", choice.note


@pytest.mark.skipif(kernel_rule(torch.nn.Linear(1, 1)) != "onednn", reason="this torch has no packed oneDNN")
def test_a_long_product_is_added_up_from_pieces_and_rounds_less_than_in_one():
    rng = generator("pieces")
    linear = torch.nn.Linear(2048, 24).requires_grad_(False)
    linear.weight.copy_(torch.from_numpy(rng.normal(size=(24, 2048)) / 45))
    rows = torch.from_numpy(rng.normal(size=(64, 2048))).float()
    exact = functional.linear(rows.double(), linear.weight.double(), linear.bias.double())
    pieces = PackedLinear(linear)
    whole = torch.ops.mkldnn._reorder_linear_weight(linear.weight)
    in_one = torch.ops.mkldnn._linear_pointwise(rows, whole, linear.bias, "none", [], "")
    assert len(pieces.pieces) == 4
    assert float((pieces(rows) - exact).square().mean()) < 0.7 * float((in_one - exact).square().mean())
    assert torch.allclose(pieces.linear(rows) + linear.bias, pieces(rows), atol=1e-5)
    bent = PackedLinear(linear, ("gelu", "tanh"))
    assert torch.allclose(bent(rows), functional.gelu(pieces(rows), approximate="tanh"), atol=1e-6)


def test_every_family_but_bloom_runs_a_shared_prefix_once(model, compiled):
    (batch,) = batches(compiled(3, 8, 2, shared=5), 8)
    tokens = Fast(model).layout(batch).tokens
    assert tokens == (27 if model.name == "tiny:bloom" else 27 - 2 * 5)


@pytest.mark.parametrize(
    ("given", "shares"),
    [
        ({"new_decoder_architecture": True, "num_kv_heads": 2}, True),
        ({"multi_query": False}, True),
        ({"parallel_attn": False}, True),
        ({"alibi": True}, False),
    ],
)
def test_every_kind_of_falcon_shares_prefixes_but_the_one_with_alibi(given, shares, compiled):
    family = family_named("falcon")
    try:
        model = random_model(family, {**family.tiny, **given}, 66)
    except InputError:  # a kind that has no rule is refused by name when it is opened
        return
    chosen = choose(model)
    assert chosen.choice.engine == "fast", chosen.choice.note
    assert chosen.choice.error <= 1e-5
    (batch,) = batches(compiled(3, 8, 2, shared=5), 8)
    assert (chosen.fast.layout(batch).tokens < 27) == shares


def test_one_key_and_value_for_all_heads_share_prefixes(tiny, compiled):
    chosen = choose(tiny("gpt_bigcode"))
    assert chosen.choice.engine == "fast", chosen.choice.note
    (batch,) = batches(compiled(3, 8, 2, shared=5), 8)
    assert chosen.fast.layout(batch).tokens == 27 - 2 * 5


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_both_engines_answer_the_same_call(tiny, compiled, engine):
    model = tiny("qwen2")
    (batch,) = batches(compiled(3, 8, 2, 5), 8)
    chosen = choose(model, engine)
    wanted = [Scale(sites=(parse_site(site),), alpha=0) for site in ("L2H0", "L0H1", "L1N3")]
    baseline = chosen.clean(batch)
    outcomes = dict(chosen.run(batch, wanted, baseline))
    for index, intervention in enumerate(wanted):
        plain = reference.run(model, batch, intervention).logits
        assert torch.allclose(outcomes[index].logits, plain, atol=1e-5)
        assert outcomes[index].receipt.max_logit_change > 0


def test_bfloat16_is_compared_with_its_own_tolerance():
    choice = choose(open_model("tiny:llama", dtype="bfloat16")).choice
    assert choice.tolerance >= AGREEMENT["bfloat16"]
    assert choice.kernel == "default"
    assert (choice.engine == "fast") == (choice.error <= choice.tolerance), choice.note


def test_a_model_that_reads_few_tokens_is_compared_on_shorter_prompts():
    sizes = {"n_positions": 6, "n_embd": 16, "n_layer": 2, "n_head": 2}
    model = random_model(family_named("gpt2"), sizes, 31)
    assert all(trial.batch.inputs.shape[1] <= 6 for trial in trials(model))
    assert choose(model).choice.engine == "fast"
