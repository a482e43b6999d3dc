import dataclasses

import pytest
import torch

from lesion.engine.batch import batches
from lesion.engine.decode.kept import cache_name
from lesion.engine.hooks import applied, edited, held, hook_count, recorded
from lesion.errors import InterventionError
from lesion.interventions.intervention import KnockOut, Patch, Scale, Steer
from lesion.interventions.site import parse_site


def _scale(*sites, alpha=0.0, positions="all"):
    return Scale(sites=tuple(map(parse_site, sites)), alpha=alpha, positions=positions)


def _everywhere(ids):
    return torch.ones(ids.shape, dtype=torch.bool)


IDS = torch.arange(2, 14).view(2, 6)


def _forward(model, ids=IDS):
    with torch.inference_mode():
        return model.module(ids, use_cache=False).logits


def test_alpha_one_is_bit_equal_to_no_hook_on_every_kind_of_site(model):
    plain = _forward(model)
    for site in ("L0H1", "L2H3", "L1N5", "L0.resid_pre", "L3.resid_pre"):
        with applied(model, _scale(site, alpha=1.0), _everywhere(IDS)) as recorder:
            assert torch.equal(_forward(model), plain)
        assert recorder.receipt().l2_change == 0


def test_zeroing_a_head_when_the_prompt_is_as_long_as_there_are_heads_zeroes_that_head_and_no_position(model):
    heads, width = model.sizes.n_heads, model.sizes.d_head
    ids = torch.arange(2, 2 + 2 * heads).view(2, heads)
    place = model.place(parse_site("L0H1"))
    with recorded(model, [place.path]) as before:
        _forward(model, ids)
    # the outer hooks see what the projection is given after the edit, because they are put on later
    with applied(model, _scale("L0H1"), _everywhere(ids)), recorded(model, [place.path]) as after:
        _forward(model, ids)
    z, edited_z = (seen[place.path].input.view(2, heads, heads, width) for seen in (before, after))
    assert not edited_z[:, :, 1].any()
    others = [0, 2, 3]
    assert torch.equal(edited_z[:, :, others], z[:, :, others])


def test_the_module_tree_carries_as_many_hooks_after_as_before(model):
    before = hook_count(model.module)
    with applied(model, _scale("L0H1", "L1H0"), _everywhere(IDS)):
        assert hook_count(model.module) == before + 3
        _forward(model)
    assert hook_count(model.module) == before


def test_hooks_come_off_when_the_body_raises(tiny):
    model = tiny("llama")
    before = hook_count(model.module)
    with pytest.raises(ZeroDivisionError), applied(model, _scale("L0H1"), _everywhere(IDS)):
        _forward(model)[1 // 0]
    with pytest.raises(ZeroDivisionError), edited(model.block(0), lambda x: x), recorded(model, ["model.norm"]):
        raise ZeroDivisionError
    assert hook_count(model.module) == before


def test_hooks_come_off_when_a_site_does_not_exist(tiny):
    model = tiny("llama")
    before = hook_count(model.module)
    with pytest.raises(InterventionError, match="head 99 of 4"), applied(model, _scale("L0H99"), _everywhere(IDS)):
        pass
    assert hook_count(model.module) == before


def test_somebody_elses_hook_survives(tiny):
    model = tiny("gpt2")
    fired = []
    handle = model.place(parse_site("L0H1")).module.register_forward_pre_hook(lambda *_: fired.append(1))
    with applied(model, _scale("L0H1"), _everywhere(IDS)):
        _forward(model)
    _forward(model)
    handle.remove()
    assert len(fired) == 2


def test_a_hook_that_never_ran_is_an_error(tiny):
    model = tiny("llama")
    with pytest.raises(InterventionError, match="fired 0 times"), applied(model, _scale("L0H1"), _everywhere(IDS)):
        pass


def test_a_path_that_the_model_does_not_run_is_an_error(tiny):
    model = tiny("qwen3")
    model.block(0).self_attn.unused = torch.nn.Linear(48, 32)
    family = dataclasses.replace(model.family, attention_out="self_attn.unused")
    wrong = dataclasses.replace(model, family=family)
    try:
        with (
            pytest.raises(InterventionError, match="fired 0 times in 1 forward passes"),
            applied(wrong, _scale("L0H1"), _everywhere(IDS)),
        ):
            _forward(wrong)
    finally:
        del model.block(0).self_attn.unused


def test_an_edit_that_must_change_something_and_changes_nothing_is_an_error(tiny, monkeypatch):
    model = tiny("llama")
    monkeypatch.setattr("lesion.interventions.edit.edit", lambda activation, *_: activation)
    with pytest.raises(InterventionError, match="changed nothing"), applied(model, _scale("L0H1"), _everywhere(IDS)):
        _forward(model)


def test_positions_that_no_token_has_are_an_error(tiny):
    model = tiny("llama")
    nowhere = torch.zeros(IDS.shape, dtype=torch.bool)
    with pytest.raises(InterventionError, match="no token"), applied(model, _scale("L0H1"), nowhere):
        _forward(model)


def test_a_receipt_counts_forwards_firings_elements_and_change(tiny):
    model = tiny("llama")
    place = model.place(parse_site("L0H1"))
    with recorded(model, [place.path]) as seen:
        _forward(model)
    z = seen[place.path].input.view(2, 6, 4, 8)[:, :, 1]
    with applied(model, _scale("L0H1", "L0H2", "L2H0", alpha=1.5), _everywhere(IDS)) as recorder:
        _forward(model)
        _forward(model)
    receipt = recorder.receipt(0.25)
    assert (receipt.forwards, receipt.modules, receipt.firings) == (2, 2, 4)
    assert receipt.elements == 2 * (3 * 8 * 12)
    assert receipt.max_logit_change == 0.25
    with applied(model, _scale("L0H1", alpha=1.5), _everywhere(IDS)) as recorder:
        _forward(model)
    assert recorder.receipt().l2_change == pytest.approx(0.5 * float(z.norm()), rel=1e-5)


def test_an_edit_touches_only_its_positions(model, compiled):
    (batch,) = batches(compiled(3, 7, 2), 8)
    place = model.place(parse_site("L0H2"))
    for positions in ("last", "role:operand_1"):
        mask = batch.mask(positions)
        with recorded(model, [place.path]) as plain:
            _forward(model, batch.inputs)
        intervention = _scale("L0H2", positions=positions)
        with applied(model, intervention, mask), recorded(model, [place.path]) as changed:
            _forward(model, batch.inputs)
        z, edited_z = (s[place.path].input.view(*mask.shape, place.units, -1) for s in (plain, changed))
        assert not edited_z[mask][:, 2].any()
        assert torch.equal(edited_z[~mask], z[~mask])


def test_held_on_the_module_an_edit_is_what_it_is_in_one_pass_and_is_counted_over_all_of_them(model):
    do = _scale("L0H1", "L1N3", "L2.resid_mid" if not model.has("resid_mid") else "L2.attn_out", alpha=0.5)
    with applied(model, do, _everywhere(IDS)) as once:
        wanted = _forward(model)
    before = hook_count(model.module)
    with held(model, do) as recorder:
        for _ in range(3):
            assert torch.equal(_forward(model), wanted)
    assert hook_count(model.module) == before
    one, all_of_them = once.receipt(), recorder.receipt()
    assert (all_of_them.forwards, all_of_them.modules) == (3, one.modules)
    assert (all_of_them.firings, all_of_them.elements) == (3 * one.firings, 3 * one.elements)
    assert all_of_them.l2_change == pytest.approx(one.l2_change * 3**0.5)


def test_held_edits_no_padding_and_only_the_new_token_of_a_cached_step(tiny):
    model, real = tiny("llama"), torch.ones(2, 6, dtype=torch.long)
    real[0, :2] = 0
    with torch.inference_mode(), held(model, _scale("L0H1")) as recorder:
        cache = cache_name(model.module)
        kept = {cache: getattr(model.module(input_ids=IDS, attention_mask=real, use_cache=True), cache)}
        assert recorder.elements == (12 - 2) * model.sizes.d_head
        more = torch.cat([real, torch.ones(2, 1, dtype=torch.long)], 1)
        model.module(input_ids=IDS[:, :1], attention_mask=more, use_cache=True, **kept)
    assert recorder.receipt().elements == (12 - 2 + 2) * model.sizes.d_head


def test_held_refuses_by_name_what_has_no_meaning_where_only_tokens_are_known(tiny):
    model, site = tiny("llama"), (parse_site("L0H1"),)
    steer = Steer(sites=site, vector="0" * 64, coefficient=1.0)
    for asked, source, named in (
        (_scale("L0H1", positions="last"), None, "'last' has no meaning"),
        (_scale("L0H1", positions="role:operand"), None, "'role:operand' has no meaning"),
        (Patch(sites=site), None, "'patch' has no meaning"),
        (KnockOut(sites=site, keys="all"), None, "'knock_out' has no meaning"),
        (steer, {site[0]: torch.ones(1, 6, 4)}, "a source of its own for each row or position"),
    ):
        with pytest.raises(InterventionError, match=named), held(model, asked, source):
            raise AssertionError("nothing may run")
    assert hook_count(model.module) == 0


def test_held_adds_one_vector_at_every_token(tiny):
    model, site = tiny("llama"), parse_site("L1.resid_pre")
    steer = Steer(sites=(site,), vector="0" * 64, coefficient=2.0)
    source = {site: torch.ones(1, 1, model.sizes.d_model)}
    with applied(model, steer, _everywhere(IDS), source):
        wanted = _forward(model)
    with held(model, steer, source):
        assert torch.equal(_forward(model), wanted)


def test_held_without_a_forward_pass_is_an_error_and_so_is_a_pass_whose_tokens_are_not_known(tiny):
    model = tiny("llama")
    with pytest.raises(InterventionError, match="fired 0 times in 0 forward passes"), held(model, _scale("L0H1")):
        pass
    mask = torch.ones(2, 1, 6, 6, dtype=torch.bool)
    with pytest.raises(InterventionError, match="does not say which tokens"), held(model, _scale("L0H1")):
        model.module(IDS, attention_mask=mask)
    with pytest.raises(InterventionError, match="no token ids"), held(model, _scale("L0H1")):
        model.module(inputs_embeds=torch.zeros(1, 2, model.sizes.d_model))
    assert hook_count(model.module) == 0
