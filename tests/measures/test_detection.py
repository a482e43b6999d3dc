"""Naming heads: the planted ones are named, in a model without them nobody is, and the reasons can each fail."""

import numpy as np
import pytest
import torch

from lesion.errors import InputError
from lesion.identity import generator
from lesion.measures.detection import _familywise, detection, spearman, targets
from lesion.measures.heads import DETECTORS, attention_patterns
from lesion.measures.probe import Probe, repeats
from lesion.models.model import open_model

QUICK = Probe(blocks=(6, 12), sequences=8)


@pytest.mark.parametrize(
    ("detector", "head"), [("induction", "L1H1"), ("previous_token", "L0H2"), ("duplicate_token", "L1H3")]
)
def test_the_planted_head_is_named_and_no_other(hand_model, detector: str, head: str):
    found = detection(hand_model, detector, probe=QUICK)
    assert [str(h) for h in found.named] == [head]
    assert found.heads[0].score > 0.99
    assert found.heads[0].low > 0.99
    assert found.heads[0].p == pytest.approx(1 / 1000)
    assert all(h.score < 0.12 and not h.named for h in found.heads[1:])
    assert found.verdict == f"1 {detector.replace('_', '-')} head: {head}"


@pytest.mark.parametrize("name", ["tiny:gpt2", "tiny:llama", "tiny:gpt_neox"])
def test_a_model_without_induction_heads_is_told_so(name: str):
    found = detection(open_model(name), probe=QUICK)
    assert not found.named
    assert found.verdict.startswith("No induction head: the best score is 0.")


def test_the_trained_models_heads_are_named_twice_over_and_stably():
    found = detection(open_model("zoo:abacus-llama"))
    assert {str(head) for head in found.named} == {"L1H0", "L1H1"}
    assert found.rank_agreement > 0.9
    assert all(head.low <= head.score <= head.high + 0.02 for head in found.named)


def test_a_previous_token_head_does_not_pass_for_an_induction_head(hand_model):
    scores = {str(h): h for h in detection(hand_model, "induction", probe=QUICK).heads}
    assert scores["L0H2"].score < 1e-6
    assert scores["L1H3"].score < 1e-6


def test_the_targets_are_those_that_the_scores_are_made_of(hand_model):
    group = repeats(np.arange(1, 33), 0, 9, 2, 5, generator("targets"))
    pattern = attention_patterns(hand_model.module, group.ids)
    for name, score in DETECTORS.items():
        query, key = targets(name, group)
        assert torch.allclose(pattern[..., query, key].mean((1, -1)), score(pattern, group))


def test_the_same_diagnosis_twice_is_the_same_and_another_seed_another(hand_model):
    assert detection(hand_model, probe=QUICK, seed=1) == detection(hand_model, probe=QUICK, seed=1)
    assert detection(hand_model, probe=QUICK, seed=1) != detection(hand_model, probe=QUICK, seed=2)


def test_p_is_corrected_for_the_number_of_heads():
    null = generator("null").random((999, 144))
    p = _familywise(np.full(144, 0.99), null)
    assert (p > 0.5).all()  # some of 144 heads comes to .99 by chance
    assert _familywise(np.array([2.0]), null) == pytest.approx(1 / 1000)


def testranks_of_share_ties_and_equal_scores_have_none():
    assert spearman(np.array([1.0, 2, 2, 3]), np.array([10.0, 20, 20, 30])) == pytest.approx(1)
    assert spearman(np.array([1.0, 2, 3]), np.array([3.0, 2, 1])) == pytest.approx(-1)
    assert spearman(np.ones(3), np.arange(3.0)) is None


def test_what_cannot_be_measured_is_refused(hand_model):
    with pytest.raises(InputError, match="did you mean 'induction'"):
        detection(hand_model, "inducton")
    with pytest.raises(InputError, match="a control needs 34 ordinary tokens"):
        detection(hand_model, probe=Probe(blocks=(17,), sequences=4))
    with pytest.raises(InputError, match="reads 97"):
        detection(hand_model, probe=Probe(blocks=(60,)))
