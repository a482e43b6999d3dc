"""Edges on models whose path is written down, and estimates against what they estimate."""

import numpy as np
import pytest

from lesion.engine.edges.contributions import differences
from lesion.engine.edges.reference import leaving, patched
from lesion.engine.select_engine import choose
from lesion.errors import InputError
from lesion.identity import generator
from lesion.measures.edges.attribution import attributed
from lesion.measures.edges.effects import recall_at
from lesion.measures.edges.exact import exact_effects
from lesion.measures.edges.pairs import target_from
from lesion.measures.prompt_set import of
from lesion.models.model import open_model
from lesion.tasks.tokenizers.prompt_contract import Compiled
from lesion.training.planted_heads import planted, write_planted

PATH = {"input->L0G2.v", "L0H2->L1G1.k", "L1H1->logits"}
"""The hand model's circuit: tokens are copied by L0H2, met by the keys of L1H1, copied to the answer."""


@pytest.fixture(scope="module")
def pairs():
    """A random GPT-2 in float64 and three prompt pairs."""
    ids = generator("edge pairs").integers(2, 40, (3, 9))
    twins = ids.copy()
    twins[:, 4] = (ids[:, 4] + 1) % 40
    rows = [
        Compiled(tuple(row), {}, (row[-1],), ((row[-1] + 1) % 40,), 8, tuple(twin))
        for row, twin in zip(ids.tolist(), twins.tolist(), strict=True)
    ]
    return open_model("tiny:gpt2", dtype="float64"), of(rows)


def named(found, effects, above):
    return {found.name(edge) for edge in found.edges if abs(effects.mean[edge]) > above}


@pytest.fixture(scope="module")
def hand_engine(hand_model):
    return choose(hand_model)


@pytest.fixture(scope="module")
def exact(hand_engine, swapped):
    return exact_effects(hand_engine, of(swapped))


def test_exactly_the_edges_of_the_hand_models_path_have_an_effect(exact):
    assert named(exact.graph, exact, 1e-3) == PATH
    assert named(exact.graph, exact, 39.9) == PATH, "each carries the whole way, from +20 to -20"
    assert exact.clean.mean() == pytest.approx(20, abs=0.05)
    assert exact.corrupted.mean() == pytest.approx(-20, abs=0.05)
    assert np.isnan(exact.mean[~exact.graph.there]).all(), "no number where there is no edge"


def test_only_the_edges_that_are_asked_for_have_numbers_and_the_reference_gives_them_too(exact, hand_model, swapped):
    asked = [exact.graph.parse(name) for name in ("L0H2->L1H1.k", "L0H0->L1H1.k", "L1H1->logits")]
    found = exact_effects(choose(hand_model, "reference"), of(swapped), edges=asked)
    assert set(found.ranked()) == set(asked)
    assert [found.mean[edge] for edge in asked] == pytest.approx([exact.mean[edge] for edge in asked], abs=1e-4)


def test_integrated_gradients_see_the_path_where_one_gradient_does_not(exact, hand_model, swapped):
    """At the clean prompt the induction head's softmax is saturated: no gradient reaches its keys."""
    plain = attributed(hand_model, of(swapped), "eap")
    summed = attributed(hand_model, of(swapped), "eap-ig", steps=20)
    assert named(plain.graph, plain, 1e-3) == {"L1H1->logits"}
    assert named(summed.graph, summed, 1e-3) == PATH
    assert (recall_at(plain, exact, 3), recall_at(summed, exact, 3)) == (pytest.approx(1 / 3, abs=0.34), 1)


def test_the_edge_from_a_planted_previous_token_head_to_the_induction_heads_keys_is_found(tmp_path, swapped):
    made = next(made for made in map(planted, range(40)) if len(made.circuit) == 2 and not made.backups)
    write_planted(made, tmp_path)
    kind = {made.kinds[site]: site for site in made.circuit}
    found = exact_effects(choose(open_model(str(tmp_path))), of(swapped))
    first, second = kind["previous"], kind["induction"]
    edge = found.graph.parse(f"{first}->{second}.k")
    assert found.mean[edge] / (found.corrupted - found.clean).mean() == pytest.approx(1, abs=0.05)
    others = [other for other in found.ranked() if str(found.graph.readers[other.reader]).startswith(f"{second}.")]
    assert all(abs(found.mean[other]) < 1 for other in others if other != edge)


def test_eap_is_the_slope_of_the_exact_effect(pairs):
    model, asked = pairs
    estimate, (batch,), step = attributed(model, asked, "eap"), asked.batches, 3e-3
    moved = differences(model, estimate.graph, batch.inputs, batch.twins[:, :-1])
    for edge in estimate.graph.edges[::13]:
        reader = estimate.graph.readers[edge.reader]
        ends = [patched(model, batch, reader, sign * step * moved[edge.sender]) for sign in (1, -1)]
        above, under = (target_from(model, batch, end[:, batch.first :], "logit_diff") for end in ends)
        slope = ((above - under) / (2 * step)).numpy()
        assert estimate.of(edge) == pytest.approx(slope, abs=1e-4), estimate.graph.name(edge)


def test_one_step_of_integrated_inputs_is_the_gradient_at_the_corrupted_prompt(pairs):
    """Which end of the way is in the sum: the authors' code takes k = 0 … steps - 1, so with one step it is k = 0."""
    model, asked = pairs
    exchanged = of(
        [Compiled(c.twin_ids, {}, c.answer_ids, c.wrong_ids, c.prompt_length, c.ids) for c in asked.compiled]
    )
    one, other = attributed(model, asked, "eap-ig", steps=1), attributed(model, exchanged, "eap")
    assert np.allclose(one.each, -other.each, atol=1e-6, equal_nan=True)


def test_estimates_that_cannot_be_made_are_refused(pairs):
    model, asked = pairs
    with pytest.raises(InputError, match="'eap-gi' is no way to estimate edges"):
        attributed(model, asked, "eap-gi")
    with pytest.raises(InputError, match="at least one step"):
        attributed(model, asked, "eap-ig", steps=0)
    alone = of([Compiled(c.ids, {}, c.answer_ids, c.wrong_ids, c.prompt_length, None) for c in asked.compiled])
    with pytest.raises(InputError, match="no corrupted prompt that aligns"):
        attributed(model, alone, "eap")
    assert leaving(model, asked.batches[0].inputs).shape == (3, 8, 32)
