import dataclasses

import pytest
import torch

from lesion.engine.hooks import hook_count
from lesion.engine.proof.prove import CHECKS, prove
from lesion.errors import InterventionError
from lesion.interventions.intervention import Scale
from lesion.interventions.site import KINDS, parse_site
from lesion.models.model import open_model


def _with(model, **family):
    return dataclasses.replace(model, family=dataclasses.replace(model.family, **family))


def _failed(proof):
    return {identity.name.rsplit(",", 1)[0] for identity in proof.identities if not identity.holds}


SLICES = "attention pattern times values = z, head by head"
READS = "the MLP reads what the residual rule says"
STREAM = "resid_pre + attention + MLP = resid_post"


def test_every_identity_holds_on_every_family(model):
    before = hook_count(model.module)
    weights = {name: tensor.clone() for name, tensor in model.module.state_dict().items()}
    proof = prove(model)
    assert _failed(proof) == set()
    assert proof.disabled == ()
    known = [about for about, _, _ in CHECKS.values() if about == "model" or not model.has(about)]
    assert len(proof.identities) == 2 * len(known)
    assert {identity.about for identity in proof.identities} == {"model", *(k for k in KINDS if not model.has(k))}
    assert hook_count(model.module) == before
    assert all(torch.equal(weights[name], tensor) for name, tensor in model.module.state_dict().items())


def test_the_proof_includes_a_prompt_as_long_as_there_are_heads(tiny):
    proof = prove(tiny("llama"))
    assert any(identity.name.endswith(", 4 tokens") for identity in proof.identities)


@pytest.mark.parametrize(("heads", "width"), [(2, 16), (8, 4), (16, 2)])
def test_a_wrong_number_of_heads_disables_heads(tiny, heads, width):
    model = tiny("gpt2")
    sliced = model.sizes.model_copy(update={"n_heads": heads, "n_groups": heads, "d_head": width})
    proof = prove(dataclasses.replace(model, sizes=sliced))
    assert "head" in proof.disabled
    assert "neuron" not in proof.disabled
    assert SLICES in _failed(proof)
    with pytest.raises(InterventionError, match=r"head sites are disabled on this model.*head by head"):
        proof.require(Scale(sites=(parse_site("L0H1"),), alpha=0))
    proof.require(Scale(sites=(parse_site("L0N1"),), alpha=0))


def test_heads_in_another_order_than_the_patterns_are_noticed(tiny):
    model = open_model("tiny:gpt2")

    def swap(_module, _args, output):
        return (output[0], output[1][:, [1, 0, 2, 3]]) if output[1] is not None else output

    for layer in range(3):
        model.block(layer).attn.register_forward_hook(swap)
    assert set(prove(model).disabled) == {"head", "q", "pattern"}


def test_the_input_of_another_projection_is_not_z(tiny):
    proof = prove(_with(tiny("llama"), attention_out="self_attn.q_proj"))
    assert "head" in proof.disabled
    assert SLICES in _failed(proof)


def test_the_mlp_in_the_place_of_attention_is_noticed(tiny):
    proof = prove(_with(tiny("llama"), attention_out="mlp.up_proj"))
    assert "head" in proof.disabled
    swapped = _with(tiny("gpt_neox"), attention_out="mlp.dense_4h_to_h", mlp_out="attention.dense")
    assert {"head", "neuron"} <= set(prove(swapped).disabled)


def test_another_projection_in_the_place_of_the_down_projection_disables_the_stream(tiny):
    assert "resid_pre" in prove(_with(tiny("llama"), mlp_out="mlp.up_proj")).disabled


@pytest.mark.parametrize(("name", "rule"), [("llama", "parallel"), ("gptj", "sequential"), ("gpt_neox", "sequential")])
def test_a_wrong_residual_rule_disables_the_stream(tiny, name, rule):
    proof = prove(dataclasses.replace(tiny(name), residual=rule))
    assert proof.disabled[0] == "resid_pre"
    assert set(proof.disabled) <= {"resid_pre", "resid_mid"}
    assert READS in _failed(proof)


@pytest.mark.parametrize("norm", ["post_attention_norm", "post_mlp_norm"])
@pytest.mark.parametrize("name", ["gemma2", "gemma3_text", "olmo2"])
def test_a_forgotten_post_norm_disables_the_stream(tiny, name, norm):
    proof = prove(_with(tiny(name), **{norm: None}))
    assert {"resid_pre", "attn_out" if norm == "post_attention_norm" else "mlp_out"} <= set(proof.disabled)
    assert "head" not in proof.disabled
    assert STREAM in _failed(proof)


def test_a_forgotten_soft_cap_refuses_the_model(tiny):
    with pytest.raises(InterventionError, match="final norm and unembedding"):
        prove(_with(tiny("gemma2"), softcap=None))


def test_a_path_that_is_not_there_is_refused_with_the_nearest_one(tiny):
    with pytest.raises(InterventionError, match=r"no 'model\.layers\.0\.self_attn\.o_prj'; did you mean"):
        prove(_with(tiny("llama"), attention_out="self_attn.o_prj"))


def test_an_edit_that_is_not_what_it_says_is_noticed(tiny, monkeypatch):
    monkeypatch.setattr("lesion.interventions.edit.edit", lambda activation, *_: activation * (1 + 1e-6))
    failed = _failed_or_refused(tiny("llama"))
    assert {"head scaled by 1 = no hook", "neuron scaled by 1 = no hook", "stream scaled by 1 = no hook"} <= failed


def test_zeroing_that_leaves_a_rest_is_noticed(tiny, monkeypatch):
    monkeypatch.setattr("lesion.interventions.edit.edit", lambda activation, *_: activation * 0.9)
    failed = _failed_or_refused(tiny("llama"))
    assert {"zeroed head = zeroed rows of W_O", "zeroed neuron = zeroed column of the down projection"} <= failed


def _failed_or_refused(model):
    try:
        return _failed(prove(model))
    except InterventionError as refused:
        return {name for name in CHECKS if name in str(refused)}


def test_hooks_that_look_and_change_something_refuse_the_model(tiny):
    model = open_model("tiny:llama")
    calls = []

    def drift(_module, _args, output):
        calls.append(1)
        output["logits"] = output.logits + len(calls)

    model.module.register_forward_hook(drift)
    with pytest.raises(InterventionError, match="hooks that only look"):
        prove(model)


def test_a_projection_without_its_bias_breaks_the_sum_of_heads(tiny, monkeypatch):
    from lesion.engine.proof import prove as check

    plain = check.weight_and_bias
    monkeypatch.setattr(check, "weight_and_bias", lambda projection: (plain(projection)[0], None))
    assert "sum of heads through W_O, plus bias = attention output" in _failed(prove(tiny("gpt2")))


def test_a_weight_that_is_no_number_refuses_the_model():
    model = open_model("tiny:llama")
    with torch.no_grad():
        model.block(1).mlp.down_proj.weight[0, 0] = float("nan")
    with pytest.raises(InterventionError, match="cannot be trusted"):
        prove(model)


def test_a_proof_can_be_written_down_and_read_back(tiny):
    proof = prove(tiny("falcon"))
    assert type(proof).model_validate_json(proof.model_dump_json()) == proof


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_the_proof_holds_in_other_precisions(dtype):
    assert prove(open_model("tiny:qwen3", dtype=dtype)).disabled == ()
