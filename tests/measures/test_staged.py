"""Staged ablation: each stage is the cumulative intervention, in the order that was asked for."""

import numpy as np
import pytest

from lesion.engine.reference import run
from lesion.engine.replacement_activations import Library
from lesion.engine.select_engine import choose
from lesion.errors import InputError, InterventionError
from lesion.interventions.site import head, neuron
from lesion.measures.attribution.attribution_patching import joint_effect
from lesion.measures.attribution.direct_logit import heads_of
from lesion.measures.effects.ablation import averaging, resampling, scaling
from lesion.measures.effects.cumulative_ablation import ordered, staged
from lesion.measures.prompt_set import ask, of
from lesion.models.model import open_model


def test_the_hand_model_falls_with_its_induction_head_and_not_before(hand_model, repeated):
    scores = {str(site): float(str(site) == "L1H1") for site in heads_of(hand_model)}
    curve = staged(choose(hand_model), of(repeated), heads_of(hand_model), "score", scores)
    assert [stage.sites for stage in curve.stages] == list(range(9))
    assert curve.stages[0].accuracy == 1
    assert curve.stages[1].added == "L1H1"
    assert curve.stages[1].logit_diff == pytest.approx(0, abs=1e-3)
    by_layer = staged(choose(hand_model), of(repeated), heads_of(hand_model), "layer")
    falls = [stage.added for stage in by_layer.stages if stage.logit_diff < 10]
    assert falls[0] == "L0H2"


def test_a_stage_is_the_joint_effect_of_what_came_before(hand_model, repeated):
    sites = [head(0, 0), head(1, 1), head(1, 3)]
    curve = staged(choose(hand_model), of(repeated), sites, "layer", ablation=scaling(0.5))
    for count, stage in enumerate(curve.stages[1:], 1):
        exact = joint_effect(choose(hand_model), of(repeated), sites[:count], "logit_diff", 0.5)
        assert stage.logit_diff - curve.stages[0].logit_diff == pytest.approx(exact, abs=1e-4)


def test_orders_are_what_they_say():
    sites = [head(1, 0), head(0, 3), neuron(0, 2), head(0, 1)]
    assert list(map(str, ordered(sites, "layer"))) == ["L0H1", "L0H3", "L0N2", "L1H0"]
    assert list(map(str, ordered(sites, "score", {"L0H1": 0.0, "L0H3": 2.0, "L0N2": 3.0, "L1H0": 1.0}))) == [
        "L0N2",
        "L0H3",
        "L1H0",
        "L0H1",
    ]
    assert ordered(sites, "random", seed=1) == ordered(sites[::-1], "random", seed=1)
    assert len({tuple(map(str, ordered(sites, "random", seed=s))) for s in range(8)}) > 3


def test_what_has_no_order_is_refused(hand_model, repeated):
    with pytest.raises(InputError, match="did you mean 'random'"):
        ordered([head(0, 0)], "randon")
    with pytest.raises(InputError, match="there is none for L0H0"):
        ordered([head(0, 0)], "score", {})
    with pytest.raises(InterventionError, match="layer 7 of 2"):
        staged(choose(hand_model), of(repeated), [head(7, 0)])


@pytest.fixture(scope="module")
def asked_and_others():
    model = open_model("zoo:abacus-llama")
    task = "arithmetic low=20 high=99 shots=0"
    return choose(model), ask(model, task, 12, 0), ask(model, task, 400, 0, 24)


def test_places_of_one_lane_are_different_items(asked_and_others):
    _, asked, others = asked_and_others
    assert not {item.id for item in asked.items} & {item.id for item in others.items}


@pytest.mark.parametrize("make", [averaging, lambda library: averaging(library, "median"), resampling])
def test_mean_and_resample_stages_are_the_references_numbers(asked_and_others, make):
    engine, asked, others = asked_and_others
    how = make(Library(engine.model, others.compiled))
    sites = [head(1, 0), head(1, 1)]
    curve = staged(engine, asked, sites, "layer", ablation=how)
    right = np.zeros(len(asked.compiled))
    for batch in asked.batches:
        for one in how.make(tuple(sites)):
            source = how.library.sources(batch, [one])[one]
            logits = run(engine.model, batch, one, source=source).logits
            right[list(batch.rows)] += (logits.argmax(-1) == batch.answer).all(1).numpy() / len(how.make(tuple(sites)))
    assert curve.stages[-1].accuracy == pytest.approx(right.mean())
    assert curve.stages[-1].low <= curve.stages[-1].accuracy - curve.stages[0].accuracy <= curve.stages[-1].high
    assert curve.stages[0].low == curve.stages[0].high == 0
    assert "other items" in curve.ablation
