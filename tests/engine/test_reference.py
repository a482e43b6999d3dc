import copy
import dataclasses

import pytest
import torch

from lesion.engine import reference
from lesion.engine.batch import batches
from lesion.errors import InterventionError
from lesion.interventions.intervention import Scale
from lesion.interventions.site import parse_site


def _scale(*sites, alpha=0.0, positions="all"):
    return Scale(sites=tuple(map(parse_site, sites)), alpha=alpha, positions=positions)


def test_an_unedited_run_is_hugging_faces_own_logits(model, compiled):
    (batch,) = batches(compiled(3, 6, 3), 8)
    with torch.inference_mode():
        whole = model.module(batch.ids, use_cache=False).logits
    outcome = reference.run(model, batch)
    assert (outcome.receipt, outcome.engine) == (None, "reference")
    assert torch.allclose(outcome.logits, whole[:, 5:8], atol=1e-5)


def test_zeroing_heads_and_neurons_equals_zeroing_their_weights(model, compiled):
    (batch,) = batches(compiled(2, 6, 2), 8)
    for intervention in (_scale("L0H1", "L1H3"), _scale("L1N5", "L2N40")):
        twin = copy.deepcopy(model.module)
        for site in intervention.sites:
            place = model.place(site)
            projection = twin.get_submodule(place.path)
            weight = projection.weight if type(projection).__name__ == "Conv1D" else projection.weight.T
            width = weight.shape[0] // place.units
            weight[place.index * width : (place.index + 1) * width] = 0
        plain = reference.run(dataclasses.replace(model, module=twin), batch).logits
        assert torch.allclose(reference.run(model, batch, intervention).logits, plain, atol=1e-6)


def test_the_receipt_holds_the_largest_change_of_a_read_logit(tiny, compiled):
    model = tiny("gemma2")
    (batch,) = batches(compiled(2, 6, 2), 8)
    baseline = reference.run(model, batch).logits
    outcome = reference.run(model, batch, _scale("L0H1"), baseline)
    assert outcome.receipt.max_logit_change == float((outcome.logits - baseline).abs().max()) > 0


def test_an_edit_at_the_last_position_leaves_what_other_positions_say_alone(model, compiled):
    (batch,) = batches(compiled(2, 6, 3), 8)
    mask = batch.mask("last")
    assert mask.sum() == 2 * 3
    all_of_it = reference.run(model, batch, _scale("L0H1", "L1H1")).logits
    late = reference.run(model, batch, _scale("L0H1", "L1H1", positions="last")).logits
    assert not torch.equal(all_of_it, late)


def test_greedy_decoding_is_right_exactly_when_every_argmax_under_teacher_forcing_is_right(model, compiled):
    intervention = _scale("L1H0", alpha=0.4, positions="last")
    (batch,) = batches(compiled(4, 6, 3), 8)
    ids = batch.ids[:, : batch.prompt_length]
    with torch.inference_mode():
        for _ in range(3):
            mask = torch.zeros(ids.shape, dtype=torch.bool)
            mask[:, batch.first :] = True
            with reference.applied(model, intervention, mask):
                logits = model.module(ids, use_cache=False).logits[:, -1]
            ids = torch.cat([ids, logits.argmax(-1, keepdim=True)], dim=1)
    # ask for what greedy decoding gave: teacher forcing must call all of it right, and one changed token wrong
    forced = dataclasses.replace(batch, ids=ids)
    assert torch.equal(reference.run(model, forced, intervention).logits.argmax(-1), forced.answer)
    ids = ids.clone()
    ids[:, -2] = (ids[:, -2] - 1) % 64 + 2
    wrong = dataclasses.replace(batch, ids=ids)
    assert not (reference.run(model, wrong, intervention).logits.argmax(-1) == wrong.answer).all(-1).any()


def test_head_99_of_4_is_refused(tiny, compiled):
    (batch,) = batches(compiled(2, 6, 2), 8)
    with pytest.raises(InterventionError, match="head 99 of 4"):
        reference.run(tiny("llama"), batch, _scale("L0H99"))
