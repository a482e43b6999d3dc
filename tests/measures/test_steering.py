"""Steering: a vector of known effect on the hand model, and its dose-response."""

import pytest
import torch

from lesion.engine.select_engine import choose
from lesion.errors import InputError
from lesion.interventions.site import Site, head
from lesion.measures.effects.steering import contrast, dose_response
from lesion.measures.prompt_set import ask, of
from lesion.models.model import open_model

FINAL = Site(kind="resid_pre", layer=2)


def test_on_the_hand_model_the_dose_is_the_logit(hand_model, repeated):
    """A unit in the output slot of the right letter adds the gain, 20, to the logit; twice the dose twice as much."""
    asked = of([c for c in repeated if c.answer_ids == repeated[0].answer_ids] * 2)
    vector = torch.zeros(520)
    slot = 163 + repeated[0].answer_ids[0]
    vector[slot], vector[slot + 196] = 1.0, -1.0
    found = dose_response(choose(hand_model), asked, FINAL, vector, [0.0, 0.5, 1.0, 2.0])
    assert [dose.change for dose in found.doses] == pytest.approx([0, 10, 20, 40], abs=0.02)
    assert found.doses[3].relative == pytest.approx(2 * found.doses[2].relative)
    assert found.doses[0].random == pytest.approx(0, abs=1e-5)


def test_a_contrast_is_the_difference_of_means_and_pulls_towards_what_it_shows():
    model = open_model("tiny:llama")
    asked = ask(model, "arithmetic high=9 shots=0", 20)
    shown, other = of(asked.compiled[:10]), of(asked.compiled[10:])
    site = Site(kind="resid_pre", layer=1)
    vector = contrast(model, site, shown, other)
    assert vector.shape == (model.sizes.d_model,)
    assert torch.allclose(vector, -contrast(model, site, other, shown))
    assert torch.allclose(contrast(model, site, shown, shown), torch.zeros_like(vector))
    found = dose_response(choose(model), asked, site, vector, [-1.0, 0.0, 1.0])
    assert found.doses[1].change == pytest.approx(0, abs=1e-5)
    assert found == dose_response(choose(model), asked, site, vector, [-1.0, 0.0, 1.0])


def test_what_cannot_steer_is_refused(hand_model, repeated):
    with pytest.raises(InputError, match="not zero"):
        dose_response(choose(hand_model), of(repeated), FINAL, torch.zeros(520), [1.0])
    with pytest.raises(InputError, match="520 numbers"):
        dose_response(choose(hand_model), of(repeated), FINAL, torch.ones(3), [1.0])
    with pytest.raises(InputError, match="taken in the stream"):
        contrast(hand_model, head(0, 0), of(repeated), of(repeated))
