"""Screens against the exact effect: equal where the target is linear, and told to disagree where it is not."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lesion.engine.hooks import hook_count
from lesion.engine.reference import run
from lesion.engine.replacement_activations import Library, observe
from lesion.engine.select_engine import choose
from lesion.errors import InputError
from lesion.interventions.intervention import Patch, Scale
from lesion.interventions.site import head, neuron
from lesion.measures.attribution import gate_gradients
from lesion.measures.attribution.attribution_patching import joint_effect, screen
from lesion.measures.attribution.expected_loss import expected_losses
from lesion.measures.attribution.gate_gradients import estimate, gated_gradients, require_towards, target_of
from lesion.measures.attribution.target import target_changes, values
from lesion.measures.prompt_set import of
from lesion.models.model import open_model
from lesion.tasks.tokenizers.prompt_contract import Compiled


def random_items(count: int = 4) -> list[Compiled]:
    rng = np.random.default_rng(5)
    rows = [tuple(map(int, rng.integers(2, 66, 8))) for _ in range(count)]
    return [Compiled(ids, {"operand_1": ((1, 3),)}, ids[6:], (2, 3), 6, None) for ids in rows]


@pytest.mark.parametrize("family", ["gpt2", "llama", "gpt_neox", "gemma2", "opt", "bloom"])
def test_the_estimate_is_the_derivative_of_the_exact_effect(family: str):
    """A factor of 1 ± h on one site, run by the oracle, has the slope that the gates give."""
    model = open_model(f"tiny:{family}", dtype="float64")
    (batch,) = of(random_items()).batches
    found = estimate(model, [batch], "answer", alpha=0.0)
    h = 1e-5
    for site, slope in ((head(1, 2), -found.heads[:, 1, 2]), (neuron(0, 7), -found.neurons[:, 0, 7])):
        up, down = (
            values(run(model, batch, Scale(sites=(site,), alpha=1 + s)).logits, batch, "answer") for s in (h, -h)
        )
        assert (up - down) / (2 * h) == pytest.approx(slope, abs=2e-2, rel=2e-2)
    assert hook_count(model.module) == 0


def test_gates_of_one_are_no_hook_and_positions_are_kept():
    model = open_model("tiny:llama")
    (batch,) = of(random_items()).batches
    gates = {("head", 0): 1.0, ("neuron", 2): 1.0}
    gradients, value = gated_gradients(model, batch, "logit_diff", gates)
    assert torch.allclose(value, target_of(run(model, batch).logits, batch, "logit_diff"), atol=1e-5)
    some, _ = gated_gradients(model, batch, "logit_diff", gates, "role:operand_1")
    assert not torch.allclose(some["head", 0], gradients["head", 0])


def test_on_the_hand_model_the_screen_is_exact_for_the_head_that_writes_the_logit(hand_model, repeated):
    """The logit is linear in L1H1's gate; the saturated softmax behind L0H2 is the gradient's known false negative."""
    asked = of(repeated)
    found = estimate(hand_model, asked.batches)
    assert found.heads[:, 1, 1] == pytest.approx(-20, abs=1e-2)
    assert np.abs(found.heads[:, 0, 2]).max() < 1e-4
    told = screen(choose(hand_model), asked, top=1)
    (best,) = [c for c in told.heads.candidates if c.chosen]
    assert best.site == "L1H1"
    assert told.heads.stability is not None
    assert (told.heads.stability.jaccard, told.heads.stability.left_out) == (1.0, {})  # every item chooses it
    assert best.estimate == pytest.approx(best.exact, abs=1e-2)
    everyone = screen(choose(hand_model), asked, top=4)
    missed = {c.site: c for c in everyone.heads.candidates}["L0H2"]
    assert missed.exact == pytest.approx(-20, abs=1e-2)
    assert abs(missed.estimate) < 1e-4


def test_integrated_gradients_are_complete_and_find_what_the_gradient_misses(hand_model, repeated):
    asked = of(repeated)
    found = estimate(hand_model, asked.batches, method="integrated", steps=50)
    assert found.completeness < 1e-4
    assert found.heads[:, 0].sum(1) == pytest.approx(-20, abs=0.01)
    assert found.heads[:, 0, 2] == pytest.approx(-20, abs=0.01), "all of layer 0's effect is the previous-token head's"
    model = open_model("tiny:llama")
    errors = [
        estimate(model, of(random_items()).batches, method="integrated", steps=s).completeness for s in (1, 4, 32)
    ]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.02


def test_the_joint_effect_is_what_the_layers_sum_stands_for():
    model = open_model("tiny:llama")
    asked = of(random_items())
    sites = [head(1, i) for i in range(4)]
    found = estimate(model, asked.batches, method="integrated", steps=32)
    assert found.heads[:, 1].sum(1).mean() == pytest.approx(
        joint_effect(choose(model), asked, sites, "logit_diff"), abs=0.02
    )


def test_a_screen_tells_how_far_it_can_be_believed():
    model = open_model("tiny:gpt2")
    told = screen(choose(model), of(random_items()), top=6, seed=1)
    for kind, found in (("head", told.heads), ("neuron", told.neurons)):
        assert found.kind == kind
        assert sum(c.chosen for c in found.candidates) == 6
        assert -1 <= found.rank_agreement <= 1
        assert found.stability is not None
        assert (found.stability.units, found.stability.chosen) == (4, 6)
        assert 0 <= found.recall.low <= found.recall.value <= found.recall.high <= 1
    assert len(told.heads.candidates) == 12
    assert told.heads.recall.exact
    assert len(told.neurons.candidates) == 26
    assert (told.neurons.recall.measured, told.neurons.recall.sites) == (26, 384)
    assert told.heads.screened == 12
    assert told.neurons.screened == 3 * 128
    assert told == screen(choose(model), of(random_items()), top=6, seed=1)


def test_what_cannot_be_screened_is_refused():
    model = open_model("tiny:gpt2")
    with pytest.raises(InputError, match="did you mean 'gradient'"):
        estimate(model, of(random_items()).batches, method="gradients")
    with pytest.raises(InputError, match="at least one step"):
        estimate(model, of(random_items()).batches, method="integrated", steps=0)
    with pytest.raises(InputError, match="changes nothing"):
        screen(choose(model), of(random_items()), alpha=1.0)


def test_recall_is_counted_against_all_heads_when_all_are_measured(hand_model, repeated):
    told = screen(choose(hand_model), of(repeated), top=2, sample=2, every=True).heads
    assert told.recall.exact
    assert len(told.candidates) == 8
    assert told.recall.value == told.recall.low == sum(site.chosen for site in told.candidates[:2]) / 2


def test_integrated_gradients_that_do_not_add_up_are_refused_with_the_steps_to_try(hand_model, repeated):
    engine, asked = choose(hand_model), of(repeated)
    with pytest.raises(InputError, match=r"integrated gradients with 1 steps miss .* try (\d+) steps"):
        screen(engine, asked, method="integrated", steps=1, top=2)
    assert screen(engine, asked, method="integrated", steps=50, top=2, sample=2).completeness < 0.1


def test_parts_of_a_batch_give_the_same_gradients(monkeypatch: pytest.MonkeyPatch):
    model, asked = open_model("tiny:llama"), of(random_items(5))
    whole = estimate(model, asked.batches)
    monkeypatch.setattr(gate_gradients, "TOKENS", 16)
    parts = estimate(model, asked.batches)
    assert np.allclose(whole.heads, parts.heads, atol=1e-5)
    assert np.allclose(whole.neurons, parts.neurons, atol=1e-5)


def paired(count: int = 4) -> list[Compiled]:
    """Random rows whose twins differ in their second token."""
    rows = random_items(count)
    return [replace(row, twin_ids=(row.ids[0], (row.ids[1] + 7) % 60 + 2, *row.ids[2:])) for row in rows]


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2"])
def test_towards_the_corrupted_prompt_the_estimate_is_the_derivative_of_mixing_it_in(family: str):
    """A small step from the clean towards the corrupted activation, by the oracle, has the slope that gates give."""
    model = open_model(f"tiny:{family}", dtype="float64")
    (batch,) = of(paired()).batches
    found = estimate(model, [batch], "answer", towards="corrupted")
    library, h = Library(model), 1e-2  # Gemma rounds to float32 inside
    for site, slope in ((head(1, 2), found.heads[:, 1, 2]), (neuron(0, 7), found.neurons[:, 0, 7])):
        patch = Patch(sites=(site,))
        other, own = library.sources(batch, [patch])[patch][site], observe(model, batch, [site])[site]
        ends = [
            values(run(model, batch, patch, source={site: own + s * (other - own)}).logits, batch, "answer")
            for s in (h, -h)
        ]
        assert (ends[0] - ends[1]) / (2 * h) == pytest.approx(slope, abs=2e-3, rel=2e-2)


def test_towards_corrupted_prompts_the_screen_is_confirmed_by_patching(hand_model, swapped):
    asked = of(swapped)
    told = screen(choose(hand_model), asked, top=2, towards="corrupted")
    assert told.towards == "corrupted"
    exact = {each.site: each.exact for each in told.heads.candidates}
    grid = {head(1, 1): 0.0}
    for site in grid:
        edit = Patch(sites=(site,))
        change = target_changes(choose(hand_model), asked, [edit], "logit_diff", "patch", Library(hand_model))
        assert exact[str(site)] == pytest.approx(change.mean(), abs=1e-4)
    assert max(told.heads.candidates, key=lambda each: abs(each.estimate)).site == "L1H1"
    losses = expected_losses(choose(hand_model), asked, "head", "corrupted")
    assert max(losses, key=lambda site: losses[site]) == head(1, 1)
    whole = expected_losses(choose(hand_model), asked, "attn_out", "corrupted")
    assert max(whole, key=lambda site: whole[site]).layer in (0, 1)
    assert max(whole.values()) > 1


def test_a_screen_towards_prompts_that_are_not_there_is_refused(hand_model, repeated):
    with pytest.raises(InputError, match="corrupted prompts needs one"):
        screen(choose(hand_model), of(repeated), towards="corrupted")
    with pytest.raises(InputError, match="corrupted"):
        require_towards("corupted")
