"""Random (family, sites, positions, kind, batch) combinations: the batched engine against the reference."""

import dataclasses

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import HealthCheck, given, settings

from lesion.engine import reference
from lesion.engine.batch import batches
from lesion.engine.batched.engine import Fast
from lesion.engine.replacement_activations import Library, reference_hash
from lesion.interventions.intervention import Mean, Patch, Resample, Scale, Steer
from lesion.interventions.site import Site
from lesion.models.families import FAMILIES

_FAST = {}
INDICES = {"head": 3, "neuron": 47, "resid_pre": None}


@st.composite
def _cases(draw):
    shape = (draw(st.integers(2, 4)), draw(st.integers(3, 9)), draw(st.integers(1, 3)), draw(st.integers(0, 2)))
    chosen = []
    for _ in range(draw(st.integers(1, 4))):
        kind, what = draw(st.sampled_from(sorted(INDICES))), draw(st.integers(0, 4))
        top = INDICES[kind]
        index = st.none() if top is None else st.integers(0, top)
        places = draw(st.sets(st.tuples(st.integers(0, 2), index), min_size=1, max_size=3))
        sites = tuple(Site(kind=kind, layer=layer, index=number) for layer, number in places)
        chosen.append((what, sites, draw(st.sampled_from(["all", "last", "prompt", "role:operand_1", "index:-2"]))))
    return draw(st.sampled_from(sorted(FAMILIES))), shape, chosen


def _intervention(what, sites, where, library, items, width):
    name = reference_hash(items)
    if what == 0:
        return Scale(sites=sites, positions=where, alpha=-0.5)
    if what == 1:
        return Patch(sites=sites, positions=where)
    if what == 2:
        return Mean(sites=sites, positions=where, reference=name)
    if what == 3:
        return Resample(sites=sites, positions=where, reference=name, seed=1)
    return Steer(sites=sites, positions=where, vector=library.add(torch.linspace(-1, 1, width)), coefficient=1.5)


def _agree(tiny, compiled, case):
    family, shape, chosen = case
    model, items = tiny(family), compiled(*shape)
    items = [dataclasses.replace(a, twin_ids=b.ids) for a, b in zip(items, items[1:] + items[:1], strict=True)]
    (batch,) = batches(items, 8)
    library = Library(model, items)
    widths = {"head": model.sizes.d_head, "neuron": 1, "resid_pre": model.sizes.d_model}
    wanted = [_intervention(w, s, p, library, items, widths[s[0].kind]) for w, s, p in chosen]
    sources = library.sources(batch, wanted)
    quick = _FAST.setdefault(family, Fast(model))
    outcomes = dict(quick.run(batch, wanted, sources=sources))
    assert sorted(outcomes) == list(range(len(wanted)))
    for number, outcome in outcomes.items():
        plain = reference.run(model, batch, wanted[number], source=sources.get(wanted[number])).logits
        assert float((outcome.logits.log_softmax(-1) - plain.log_softmax(-1)).abs().max()) < 1e-4, f"{wanted[number]}"


_ODD = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(deadline=None, max_examples=25, suppress_health_check=_ODD, derandomize=True)
@given(_cases())
def test_random_replacements_and_steering_give_the_references_numbers(tiny, compiled, case):
    _agree(tiny, compiled, case)


def test_equal_rows_that_are_given_different_things_share_no_edited_token(tiny, compiled):
    """Patched from different twins, so that the rows part at the first edited token and not before."""
    item, *twins = compiled(4, 6, 2)
    (batch,) = batches([dataclasses.replace(item, twin_ids=twin.ids) for twin in twins], 8)
    for family in ("gpt2", "gemma2", "bloom"):
        model = tiny(family)
        wanted = [
            Patch(sites=(Site(kind="resid_pre", layer=1),), positions=where) for where in ("all", "index:-2", "last")
        ]
        sources = Library(model, []).sources(batch, wanted)
        for number, outcome in Fast(model).run(batch, wanted, sources=sources):
            plain = reference.run(model, batch, wanted[number], source=sources[wanted[number]]).logits
            assert float((outcome.logits.log_softmax(-1) - plain.log_softmax(-1)).abs().max()) < 1e-5


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(deadline=None, max_examples=1000, suppress_health_check=_ODD)
@given(_cases())
def test_a_thousand_random_replacements_and_steerings_give_the_references_numbers(tiny, compiled, case):
    _agree(tiny, compiled, case)
