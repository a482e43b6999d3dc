import dataclasses

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import HealthCheck, given, settings

from lesion.engine import reference
from lesion.engine.batch import batches
from lesion.engine.batched.engine import Fast
from lesion.engine.batched.prefix_shared_attention import Tree, tree_attention
from lesion.engine.batched.token_trie import apart
from lesion.engine.hooks import hook_count
from lesion.errors import InterventionError
from lesion.interventions.intervention import Scale
from lesion.interventions.site import Site, parse_site
from lesion.models.families import FAMILIES, family_named
from lesion.models.model import random_model
from lesion.tasks.tokenizers.prompt_contract import Compiled

_FAST = {}
POSITIONS = ("all", "last", "role:operand_1", "role:answer")


def _fast(model):
    if model.name not in _FAST:
        _FAST[model.name] = Fast(model)
    return _FAST[model.name]


def _scale(*sites, alpha=0.0, positions="all"):
    return Scale(sites=tuple(map(parse_site, sites)), alpha=alpha, positions=positions)


def _error(left, right):
    return float((left.log_softmax(-1) - right.log_softmax(-1)).abs().max())


def _compare(model, batch, interventions):
    baseline = reference.run(model, batch).logits
    quick = dict(_fast(model).run(batch, interventions, baseline))
    assert sorted(quick) == list(range(len(interventions)))
    for number, intervention in enumerate(interventions):
        plain = reference.run(model, batch, intervention, baseline)
        assert _error(quick[number].logits, plain.logits) <= 1e-4, f"{intervention}"
        for field in ("forwards", "firings", "modules", "elements"):
            assert getattr(quick[number].receipt, field) == getattr(plain.receipt, field), f"{intervention}: {field}"
        assert quick[number].receipt.max_logit_change == pytest.approx(plain.receipt.max_logit_change, abs=1e-4)


KINDS = ("L0H1", "L2H3", "L1H0+L1H2", "L0H1+L2H0+L1N3", "L1N5", "L2N40", "L0H0+L0N4", "L1.resid_pre", "L3.resid_pre")


@pytest.mark.parametrize("shape", [(3, 9, 2, 6), (2, 7, 1, 0)])
def test_every_kind_of_site_at_all_and_late_positions_gives_the_references_numbers(model, compiled, shape):
    (batch,) = batches(compiled(*shape), 8)
    wanted = [_scale(*kind.split("+"), alpha=0.3, positions=where) for kind in KINDS for where in ("all", "last")]
    _compare(model, batch, wanted)


@st.composite
def _cases(draw):
    count, prompt, answer = draw(st.integers(1, 4)), draw(st.integers(2, 12)), draw(st.integers(1, 3))
    shared = draw(st.integers(0, prompt))
    kinds = st.sampled_from(["head", "neuron", "resid_pre"])
    chosen = []
    for _ in range(draw(st.integers(1, 3))):
        sites = set()
        for _ in range(draw(st.integers(1, 4))):
            kind, layer = draw(kinds), draw(st.integers(0, 2))
            index = {"head": 3, "neuron": 47, "resid_pre": None}[kind]
            sites.add(Site(kind=kind, layer=layer, index=None if index is None else draw(st.integers(0, index))))
        positions = draw(st.sampled_from(POSITIONS if answer > 1 else POSITIONS[:3]))
        alpha = draw(st.sampled_from([0.0, 0.5, 1.0, 2.0, -1.0]))
        chosen.append(Scale(sites=tuple(sites), alpha=alpha, positions=positions))
    return draw(st.sampled_from(sorted(FAMILIES))), (count, prompt, answer, shared), chosen


@st.composite
def _tries(draw):
    """Rows over two tokens: no prefix, all prefix, prefixes of prefixes, rows that are equal."""
    count, prompt, answer = draw(st.integers(1, 8)), draw(st.integers(2, 9)), draw(st.integers(1, 3))
    row = st.lists(st.integers(2, 3), min_size=prompt + answer, max_size=prompt + answer)
    ids = [tuple(draw(row)) for _ in range(count)]
    starts = [draw(st.integers(0, prompt - 1)) for _ in range(count)]
    family, _, interventions = draw(_cases())
    items = [
        Compiled(
            i,
            {"operand_1": ((s, s + 1),), "answer": ((prompt, prompt + answer),)},
            i[prompt:],
            i[:answer],
            prompt,
            None,
        )
        for i, s in zip(ids, starts, strict=True)
    ]
    fits = [one for one in interventions if answer > 1 or one.positions != "role:answer"]
    return family, items, fits or [Scale(sites=(parse_site("L1H2"),), alpha=0.5)]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(_tries())
def test_prompts_that_share_prefixes_of_prefixes_give_the_references_numbers(tiny, case):
    family, items, interventions = case
    (batch,) = batches(items, 8)
    _compare(tiny(family), batch, interventions)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(_cases())
def test_random_interventions_on_random_batches_give_the_references_numbers(tiny, compiled, case):
    family, shape, interventions = case
    (batch,) = batches(compiled(*shape), 8)
    _compare(tiny(family), batch, interventions)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_cases())
def test_a_thousand_random_interventions_give_the_references_numbers(tiny, compiled, case):
    family, shape, interventions = case
    (batch,) = batches(compiled(*shape), 8)
    _compare(tiny(family), batch, interventions)


def test_the_unedited_logits_are_the_references(model, compiled):
    for shape in [(3, 9, 2, 6), (3, 9, 2, 9), (1, 1, 1, 0), (4, 4, 1, 3)]:
        (batch,) = batches(compiled(*shape), 8)
        assert _error(_fast(model).clean(batch), reference.run(model, batch).logits) <= 1e-5


def test_rows_that_are_all_alike_and_a_single_row_are_right(model, compiled):
    (item,) = compiled(1, 6, 2)
    (batch,) = batches([item, item, item], 8)
    _compare(model, batch, [_scale("L0H1"), _scale("L1N3", positions="last")])
    (single,) = batches([item], 8)
    _compare(model, single, [_scale("L0H1"), _scale("L1N3", positions="last")])


def test_a_prompt_as_long_as_there_are_heads_is_right(model, compiled):
    (batch,) = batches(compiled(4, 4, 1), 8)
    _compare(model, batch, [_scale("L0H1"), _scale("L1H3", alpha=2)])


def test_roles_at_different_places_in_the_shared_prefix_are_not_shared(tiny, compiled):
    items = compiled(3, 9, 2, shared=7)
    moved = [
        dataclasses.replace(item, roles={**item.roles, "operand_1": ((row, row + 2),)})
        for row, item in enumerate(items)
    ]
    (batch,) = batches(moved, 8)
    for name in ("llama", "gpt2", "bloom"):
        _compare(tiny(name), batch, [_scale("L0H1", positions="role:operand_1")])


def test_an_outcome_does_not_depend_on_what_else_is_asked(tiny, compiled):
    model = tiny("gemma2")
    (batch,) = batches(compiled(3, 9, 2, 6), 8)
    many = [_scale(f"L{layer}H{head}", alpha=alpha) for layer in range(3) for head in range(4) for alpha in (0, 2)]
    together = dict(_fast(model).run(batch, many))
    for number in (0, 7, 23):
        ((_, alone),) = _fast(model).run(batch, [many[number]])
        assert _error(together[number].logits, alone.logits) <= 1e-5


def test_the_model_is_left_as_it_was(model, compiled):
    (batch,) = batches(compiled(2, 6, 1), 8)
    names = [name for name, _ in model.module.named_modules()]
    attention = model.module.config._attn_implementation
    weights = {name: tensor.clone() for name, tensor in model.module.state_dict().items()}
    list(Fast(model).run(batch, [_scale("L0H1")]))
    assert [name for name, _ in model.module.named_modules()] == names
    assert model.module.config._attn_implementation == attention
    assert hook_count(model.module) == 0
    assert all(torch.equal(weights[name], tensor) for name, tensor in model.module.state_dict().items())


def test_alpha_one_changes_no_logit_beyond_rounding(model, compiled):
    (batch,) = batches(compiled(2, 6, 1, 4), 8)
    clean = _fast(model).clean(batch)
    for _, outcome in _fast(model).run(batch, [_scale("L0H1", alpha=1.0), _scale("L1N2", alpha=1.0)]):
        assert _error(outcome.logits, clean) <= 1e-5
        assert outcome.receipt.l2_change == 0


def test_a_site_that_does_not_exist_is_refused(tiny, compiled):
    (batch,) = batches(compiled(2, 6, 1), 8)
    with pytest.raises(InterventionError, match="head 99 of 4"):
        list(_fast(tiny("llama")).run(batch, [_scale("L0H99")]))


def test_an_argument_of_attention_without_a_rule_is_refused(tiny, compiled):
    q = torch.zeros(1, 1, 2, 4)
    tree = Tree(layout=apart(torch.zeros(1, 2, dtype=torch.long), 1), allowed=torch.ones(2, 2, dtype=torch.bool))
    with pytest.raises(InterventionError, match="passes s_aux to attention"):
        tree_attention(torch.nn.Identity(), q, q, q, tree, s_aux=torch.zeros(1))


@pytest.mark.parametrize("name", ["gpt2", "gpt_neox", "gemma2", "bloom"])
@pytest.mark.parametrize("shape", [(4, 4, 1, 2), (1, 1, 1, 0), (2, 2, 4, 1)])
def test_a_model_with_as_many_layers_heads_and_numbers_as_a_prompt_has_tokens_is_right(name, shape, compiled):
    """Axes that are mistaken for one another show where all of them are equal, and where there is one token."""
    family = family_named(name)
    four = {name: 4 for names in (family.n_layers, family.n_heads, family.d_model) for name in names[:1]}
    grouped = {key: value for key, value in {"num_key_value_heads": 2, "head_dim": 4}.items() if key in family.tiny}
    arguments = {key: value for key, value in family.tiny.items() if key != "layer_types"}
    model = random_model(family, {**arguments, **four, **grouped}, 66)
    (batch,) = batches(compiled(*shape), 8)
    sites = [Site(kind=kind, layer=layer, index=3) for kind in ("head", "neuron") for layer in range(4)]
    wanted = [Scale(sites=(site,), alpha=0.3, positions=where) for site in sites for where in ("all", "last")]
    for number, outcome in Fast(model).run(batch, wanted):
        assert _error(outcome.logits, reference.run(model, batch, wanted[number]).logits) < 1e-4
