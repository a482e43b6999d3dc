import dataclasses
from typing import Literal

import pytest
import torch

from lesion.engine import reference, replacement_activations
from lesion.engine.batch import batches
from lesion.engine.batched.engine import Fast
from lesion.engine.replacement_activations import Library, observe, reference_hash
from lesion.engine.select_engine import Engine, choose
from lesion.errors import InputError, InterventionError
from lesion.interventions.intervention import (
    CENTRAL,
    KnockOut,
    Mean,
    Median,
    Patch,
    Resample,
    Scale,
    Steer,
    draws,
)
from lesion.interventions.parse import Replacement
from lesion.interventions.site import KINDS, UNITS, Site, head, parse_site, stream
from lesion.measures.effects.ablation import averaging


def _twinned(items):
    """Each item's twin is the next one."""
    return [dataclasses.replace(a, twin_ids=b.ids) for a, b in zip(items, items[1:] + items[:1], strict=True)]


def _run(model, batch, one, library):
    return reference.run(model, batch, one, source=library.sources(batch, [one]).get(one))


def test_patching_the_stream_that_enters_the_first_block_gives_the_twins_logits(model, compiled):
    (batch,) = batches(_twinned(compiled(3, 7, 2)), 8)
    twins = reference.run(model, dataclasses.replace(batch, ids=batch.twins)).logits
    outcome = _run(model, batch, Patch(sites=(stream(0),)), Library(model))
    assert torch.allclose(outcome.logits, twins, atol=1e-5)


def test_at_every_kind_of_site_patching_with_the_items_own_activation_changes_nothing(model, compiled):
    (batch,) = batches([dataclasses.replace(item, twin_ids=item.ids) for item in compiled(2, 6, 2)], 8)
    plain = reference.run(model, batch).logits
    for kind in KINDS:
        if not model.has(kind):
            one = Patch(sites=(Site(kind=kind, layer=1, index=0 if kind in UNITS else None),))
            outcome = _run(model, batch, one, Library(model))
            assert torch.allclose(outcome.logits, plain, atol=1e-5), kind
            assert outcome.receipt.elements > 0


def test_what_is_observed_under_a_patch_is_what_was_put_there(tiny, compiled):
    model = tiny("llama")
    (batch,) = batches(_twinned(compiled(3, 7, 2)), 8)
    for text in ("L1H1.q", "L1G0.k", "L1G1.v", "L1N3.gate", "L1N3.act", "L1N3.up", "L1.resid_mid", "L1.mlp_out"):
        one = Patch(sites=(parse_site(text),), positions="last")
        source = Library(model).sources(batch, [one])[one]
        with reference.applied(model, one, batch.mask("last"), source) as recorder:
            now = observe(model, batch, one.sites)[one.sites[0]]
        mask = batch.mask("last")
        assert torch.allclose(now[mask], source[one.sites[0]][mask], atol=1e-6), text
        assert not torch.equal(now[~mask], source[one.sites[0]][~mask])
        assert recorder.receipt().l2_change > 0


def test_a_key_or_value_of_a_group_touches_its_query_heads_and_no_others(tiny, compiled):
    model = tiny("llama")
    assert list(model.sizes.heads_of(1)) == [2, 3]
    (batch,) = batches(compiled(2, 6, 2), 8)
    before = [observe(model, batch, [head(1, index)])[head(1, index)] for index in range(4)]
    with reference.applied(model, Scale(sites=(parse_site("L1G1.v"),), alpha=0), batch.mask("all")):
        after = [observe(model, batch, [head(1, index)])[head(1, index)] for index in range(4)]
    assert [torch.equal(x, y) for x, y in zip(before, after, strict=True)] == [True, True, False, False]
    assert not after[2].any()


def test_a_mean_by_position_over_the_batch_itself_gives_all_rows_the_batchs_mean(tiny, compiled):
    model, items = tiny("gpt2"), compiled(3, 6, 2)
    (batch,) = batches(items, 8)
    site, name = head(1, 2), reference_hash(items)
    library = Library(model, items)
    seen = observe(model, batch, [site])[site]
    position, everywhere = (Mean(sites=(site,), reference=name, by=by) for by in ("position", "all"))
    role = Mean(sites=(site,), reference=name, by="role", positions="role:operand_1")
    made = library.sources(batch, [position, everywhere, role])
    assert torch.allclose(made[position][site], seen.mean(0, keepdim=True), atol=1e-6)
    assert torch.allclose(made[everywhere][site], seen.mean((0, 1)), atol=1e-6)
    assert torch.allclose(made[role][site][:, 1], seen[:, 1].mean(0), atol=1e-6)
    assert made[role][site][:, 2].isnan().all()


def test_where_all_prompts_agree_a_mean_ablation_changes_nothing(tiny, compiled):
    model, items = tiny("gpt2"), compiled(3, 8, 1, shared=6)
    (batch,) = batches(items, 8)
    one = Mean(sites=(head(0, 1),), reference=reference_hash(items), positions="index:3")
    assert _run(model, batch, one, Library(model, items)).receipt.l2_change < 1e-6


def test_a_resampled_item_is_another_one_and_does_not_depend_on_the_batch(tiny, compiled):
    model, items = tiny("gpt2"), compiled(8, 6, 2)
    first = Resample(sites=(stream(0),), reference=reference_hash(items), seed=1)
    library = Library(model, items)
    (together,) = batches(items, 8)
    own = observe(model, together, first.sites)[stream(0)]
    found = []
    for one in draws(first, 6):
        drawn = library.sources(together, [one])[one][stream(0)]
        donors = [min(range(8), key=lambda i, row=row: float((own[i] - row).abs().max())) for row in drawn]
        assert all(donor != row for row, donor in enumerate(donors))
        found.append(donors)
        (alone,) = batches(items[3:4], 8)
        assert torch.allclose(library.sources(alone, [one])[one][stream(0)][0], drawn[3], atol=1e-6)
    assert len(set(map(tuple, found))) > 3


def test_a_median_is_the_middle_value_of_each_element(tiny, compiled, monkeypatch):
    model, sites = tiny("llama"), (head(1, 2), stream(1), parse_site("L0N3"))
    items = compiled(5, 6, 2)
    (batch,) = batches(items, 8)
    one = Median(sites=sites, reference=reference_hash(items))
    seen = observe(model, batch, sites)
    found = Library(model, items).sources(batch, [one])[one]
    for site in sites:
        assert torch.allclose(found[site][0], seen[site].median(0).values, atol=1e-6)
    monkeypatch.setattr(replacement_activations, "MOST_BYTES", 1)  # a pass for each site
    apart = Library(model, items).sources(batch, [one])[one]
    assert all(torch.equal(apart[site], found[site]) for site in sites)


@pytest.mark.parametrize("by", ["position", "layout"])
def test_the_median_of_two_items_is_their_mean(tiny, compiled, by):
    model, items = tiny("gpt2"), compiled(2, 6, 2)
    (batch,) = batches(items, 8)
    pair = [kind(sites=(head(0, 1),), reference=reference_hash(items), by=by) for kind in (Mean, Median)]
    mean, median = Library(model, items).sources(batch, pair).values()
    assert torch.equal(mean[head(0, 1)], median[head(0, 1)])


def test_a_new_middle_value_is_a_class_and_two_rows_of_tables(tiny, compiled, monkeypatch):
    """Spelled, put in place and ablated cumulatively: nothing else must know its name."""

    class Midrange(Median):  # a class of its own would stand in the union of interventions, beside CENTRAL
        kind: Literal["midrange"] = "midrange"  # pyright: ignore[reportIncompatibleVariableOverride, reportAssignmentType]

    class Middle(replacement_activations._Middle):
        def taken(self) -> torch.Tensor:
            every = torch.cat(self.values)
            return (every.min(0).values + every.max(0).values) / 2

    monkeypatch.setitem(CENTRAL, "midrange", Midrange)
    monkeypatch.setitem(replacement_activations.CENTRES, "midrange", Middle)
    model, items = tiny("gpt2"), compiled(4, 6, 2)
    (batch,) = batches(items, 8)
    one = Replacement("midrange", (head(0, 1),), "all").made(reference_hash(items), 0)
    seen = observe(model, batch, [head(0, 1)])[head(0, 1)]
    found = Library(model, items).sources(batch, [one])[one][head(0, 1)]
    assert torch.allclose(found[0], (seen.min(0).values + seen.max(0).values) / 2, atol=1e-6)
    assert reference.run(model, batch, one, source={head(0, 1): found}).receipt is not None
    assert averaging(Library(model, items), "midrange").words == "midrange of 4 other items"


def test_one_extreme_item_moves_the_mean_and_hardly_the_median():
    extreme = torch.tensor([[1.0], [2.0], [3.0], [4.0], [1000.0]])
    middle, average = replacement_activations._Middle(), replacement_activations._Average()
    for part in extreme.split(2):
        middle.add(part)
        average.add(part)
    assert (middle.taken().item(), average.taken().item()) == (3.0, 202.0)


def test_what_has_no_source_is_refused_with_the_reason(tiny, compiled):
    model, items = tiny("gpt2"), compiled(2, 6, 2)
    (batch,) = batches(items, 8)
    library = Library(model, items)
    with pytest.raises(InterventionError, match="no counterfactual twin that aligns"):
        library.sources(batch, [Patch(sites=(head(0, 0),))])
    with pytest.raises(InputError, match="it names the reference set 0000"):
        library.sources(batch, [Mean(sites=(head(0, 0),), reference="0" * 64)])
    with pytest.raises(InputError, match="no such vector is known"):
        library.sources(batch, [Steer(sites=(head(0, 0),), vector="0" * 64, coefficient=1)])
    name = reference_hash(items)
    (longer,) = batches(compiled(2, 7, 2), 8)
    with pytest.raises(InterventionError, match=r"no mean for 7\+2 tokens; the reference set has 6\+2"):
        library.sources(longer, [Mean(sites=(head(0, 0),), reference=name)])
    with pytest.raises(InterventionError, match=r"no median for 7\+2 tokens"):
        library.sources(longer, [Median(sites=(head(0, 0),), reference=name)])
    with pytest.raises(InterventionError, match="no other item of 7 prompt and 2 answer tokens"):
        library.sources(longer, [Resample(sites=(head(0, 0),), reference=name, seed=0)])
    with pytest.raises(InterventionError, match="has no role"):
        library.sources(batch, [Mean(sites=(head(0, 0),), reference=name, by="role")])
    with pytest.raises(InterventionError, match="no source was given"):
        reference.run(model, batch, Patch(sites=(head(0, 0),)))


def test_a_knock_out_leaves_no_attention_on_the_edge_and_cuts_no_other(model, compiled):
    (batch,) = batches(compiled(2, 5, 2), 8)
    sites = [parse_site(f"L1H{index}.pattern") for index in range(4)]
    before = observe(model, batch, sites)
    one = KnockOut(sites=(head(1, 2),), positions="last", keys="index:2")
    with reference.applied(model, one, batch.mask("last"), keys=batch.mask("index:2")) as recorder:
        after = observe(model, batch, sites)
    assert recorder.receipt().elements == 2 * 2
    for index in (0, 1, 3):
        assert torch.allclose(after[sites[index]], before[sites[index]], atol=1e-6)
    cut = before[sites[2]].clone()
    cut[:, 4:, 2] = 0
    assert torch.allclose(after[sites[2]], cut / cut.sum(-1, keepdim=True), atol=1e-5)
    assert not torch.equal(reference.run(model, batch, one).logits, reference.run(model, batch).logits)


def test_a_knock_out_that_leaves_a_query_without_keys_or_finds_no_edge_is_refused(tiny, compiled):
    (batch,) = batches(compiled(2, 5, 2), 8)
    with pytest.raises(InterventionError, match="would have no key left"):
        reference.run(tiny("llama"), batch, KnockOut(sites=(head(1, 2),), positions="index:0", keys="all"))
    with pytest.raises(InterventionError, match="no open edge"):
        reference.run(tiny("llama"), batch, KnockOut(sites=(head(1, 2),), positions="index:0", keys="last"))


def _interventions(items, library, site_text, where):
    sites, name = tuple(map(parse_site, site_text.split("+"))), reference_hash(items)
    by_role = "role" if where.startswith("role") else "position"
    return [
        Patch(sites=sites, positions=where),
        Mean(sites=sites, positions=where, reference=name, by=by_role),
        Mean(sites=sites, positions=where, reference=name, by="all"),
        Median(sites=sites, positions=where, reference=name, by=by_role),
        Resample(sites=sites, positions=where, reference=name, seed=5),
    ]


@pytest.mark.parametrize("name", ["gpt2", "gemma2", "gptj", "bloom", "qwen2", "falcon"])
@pytest.mark.parametrize("where", ["all", "last", "prompt", "role:operand_1", "index:-2"])
def test_the_quick_way_puts_the_same_in_place_as_the_reference(tiny, compiled, name, where):
    model = tiny(name)
    items = _twinned(compiled(3, 8, 2, shared=4))
    (batch,) = batches(items, 8)
    library = Library(model, items)
    wanted = [
        i for s in ("L0H1+L2N4", "L1H0+L1H3", "L1N7", "L2.resid_pre") for i in _interventions(items, library, s, where)
    ]
    vector = torch.linspace(-1, 1, 32)
    wanted.append(Steer(sites=(stream(1), stream(3)), vector=library.add(vector), coefficient=2.0, positions=where))
    sources = library.sources(batch, wanted)
    quick = dict(Fast(model).run(batch, wanted, sources=sources))
    for number, one in enumerate(wanted):
        plain = reference.run(model, batch, one, source=sources[one])
        assert quick[number].engine == "fast"
        assert float((quick[number].logits.log_softmax(-1) - plain.logits.log_softmax(-1)).abs().max()) < 1e-4, f"{one}"
        assert quick[number].receipt.elements == plain.receipt.elements
        if len({site.layer for site in one.sites}) == 1:  # of several, the last layer is run where it is read only
            assert quick[number].receipt.l2_change == pytest.approx(plain.receipt.l2_change, rel=1e-3, abs=1e-5)


def test_what_the_quick_way_does_not_take_is_run_by_the_reference_and_says_so(tiny, compiled):
    model = tiny("qwen2")
    (batch,) = batches(_twinned(compiled(3, 8, 2, shared=4)), 8)
    engine: Engine = choose(model)
    wanted = [
        Scale(sites=(head(0, 1),), alpha=0),
        Scale(sites=(parse_site("L1G0.v"),), alpha=0),
        KnockOut(sites=(head(1, 1),), positions="last", keys="index:1"),
    ]
    assert [engine.why_plain(one) for one in wanted] == [
        "",
        "the batched engine does not edit v",
        "the batched engine cuts no attention edges",
    ]
    outcomes = dict(engine.run(batch, wanted))
    assert [outcomes[index].engine for index in range(3)] == ["fast", "reference", "reference"]
    with pytest.raises(InterventionError, match="the batched engine does not edit v"):
        list(engine.fast.run(batch, wanted[1:2]))


def test_two_rows_with_different_interventions_in_one_pass_are_each_as_alone(tiny, compiled):
    model = tiny("gemma2")
    items = _twinned(compiled(2, 4, 1))
    (batch,) = batches(items, 8)
    library = Library(model, items)
    wanted = [Scale(sites=(head(1, 1),), alpha=0), Patch(sites=(head(1, 3),))]
    sources = library.sources(batch, wanted)
    together = dict(Fast(model).run(batch, wanted, sources=sources))
    for number, one in enumerate(wanted):
        ((_, alone),) = Fast(model).run(batch, [one], sources=sources)
        assert torch.allclose(together[number].logits, alone.logits, atol=1e-5)


def test_a_model_whose_sequence_heads_layers_and_width_are_all_the_same_number(tiny, compiled):
    """Four tokens, heads, neurons and layers, heads four wide: no axis tells itself apart."""
    from lesion.models.families import family_named
    from lesion.models.model import random_model

    shape = {"num_hidden_layers": 4, "num_attention_heads": 4, "hidden_size": 16, "max_position_embeddings": 16}
    shape |= {"num_key_value_heads": 4, "intermediate_size": 4}
    model = random_model(family_named("llama"), shape, 66)
    items = _twinned(compiled(4, 4, 1))
    (batch,) = batches(items, 8)
    library = Library(model, items)
    wanted = [one for s in ("L0H1", "L3H3", "L1N2", "L2.resid_pre") for one in _interventions(items, library, s, "all")]
    sources = library.sources(batch, wanted)
    for number, outcome in Fast(model).run(batch, wanted, sources=sources):
        plain = reference.run(model, batch, wanted[number], source=sources[wanted[number]])
        assert torch.allclose(outcome.logits, plain.logits, atol=1e-4)


def test_one_token_and_one_row_are_enough(model, compiled):
    (batch,) = batches([dataclasses.replace(item, twin_ids=item.ids) for item in compiled(1, 1, 1)], 8)
    one = Patch(sites=(head(1, 1),))
    sources = Library(model).sources(batch, [one])
    ((_, quick),) = Fast(model).run(batch, [one], sources=sources)
    assert torch.allclose(quick.logits, reference.run(model, batch, one, source=sources[one]).logits, atol=1e-5)


def _placed(items, places):
    """Each item with one role, at a place of its own."""
    return [
        dataclasses.replace(item, roles={"operand": ((at, at + 1),)}) for item, at in zip(items, places, strict=True)
    ]


def test_a_mean_by_layout_averages_only_items_whose_roles_stand_at_the_same_places(tiny, compiled):
    model, items = tiny("llama"), _placed(compiled(4, 6, 2), (1, 1, 2, 2))
    (batch,) = batches(items, 8)
    site, library = head(1, 1), Library(model, items)
    seen = observe(model, batch, [site])[site]
    mean = Mean(sites=(site,), reference=reference_hash(items), by="layout")
    made = library.sources(batch, [mean])[mean][site]
    assert torch.allclose(made[0], seen[:2].mean(0), atol=1e-6)
    assert torch.allclose(made[3], seen[2:].mean(0), atol=1e-6)
    assert [len(library.others(item)) for item in items] == [1, 1, 1, 1]
    (foreign,) = batches(_placed(items[:1], (3,)), 1)
    with pytest.raises(InterventionError, match="no reference item whose roles"):
        library.sources(foreign, [mean])


def test_a_kept_reference_gives_each_row_another_item_of_its_layout_whatever_the_batch(tiny, compiled):
    model, items = tiny("llama"), _placed(compiled(4, 6, 2), (1, 1, 2, 2))
    site, library = head(1, 1), Library(model, items, keep=True)
    one = Resample(sites=(site,), reference=reference_hash(items), seed=3, by="layout")
    (batch,) = batches(items, 8)
    (last,) = batches(items[3:], 8)
    seen = observe(model, batch, [site])[site]
    made = library.sources(batch, [one])[one][site]
    assert torch.allclose(made, seen[[1, 0, 3, 2]], atol=1e-5)
    assert torch.equal(library.sources(last, [one])[one][site][0], made[3])
