"""Naming heads: the planted ones are named, in a model without them nobody is, and the reasons can each fail."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lesion.errors import InputError
from lesion.identity import generator
from lesion.measures.attribution.rank_correlation import spearman
from lesion.measures.heads import pattern_scores as scoring
from lesion.measures.heads.counted_pairs import pairs, permuted_scores
from lesion.measures.heads.detection import _familywise, detection, detections
from lesion.measures.heads.pattern_scores import DETECTORS
from lesion.measures.heads.repeated_sequences import Probe, StandardProbe, repeats, standard, unrepeated
from lesion.measures.heads.robustness import Variation, holds
from lesion.models.model import open_model

QUICK = StandardProbe(block=12, sequences=8)
LETTERS = np.arange(1, 33)


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


@pytest.mark.parametrize("copies", [2, 3])
def test_a_perfect_head_scores_1_with_any_number_of_copies(copies: int):
    group = standard(LETTERS, 0, StandardProbe(block=9, copies=copies, sequences=4))
    assert group.ids.shape == (4, 1 + 9 * copies)
    for name, offset in (("induction", 1), ("duplicate_token", 0)):
        counted = pairs(name, group)
        pattern = torch.zeros(1, 1, 4, group.ids.shape[1], group.ids.shape[1])
        for row, ids in enumerate(group.ids.tolist()):
            for q in set(counted.query.tolist()):
                keys = [j + offset for j in range(q) if ids[j] == ids[q]]
                pattern[0, 0, row, q, keys] = 1 / len(keys)
        assert float(pattern[..., counted.query, counted.key].sum(-1).mean() / counted.queries) == pytest.approx(1)


def test_two_copies_are_the_stripe_of_the_field():
    group = standard(LETTERS, 0, StandardProbe(block=9, sequences=5))
    pattern = torch.rand(2, 5, 3, 19, 19)
    query = torch.arange(10, 19)
    assert torch.allclose(DETECTORS["induction"](pattern, group), pattern[..., query, query - 8].mean((1, -1)))
    assert torch.allclose(DETECTORS["duplicate_token"](pattern, group), pattern[..., query, query - 9].mean((1, -1)))


def test_all_detectors_and_sets_take_one_pass_for_each_sequence(hand_model):
    rows: list[int] = []
    network, given = hand_model.module, []
    handle = network.base_model.register_forward_pre_hook(
        lambda _, args, kwargs: rows.append(len(args[0] if args else kwargs["input_ids"])), with_kwargs=True
    )
    whole = network.register_forward_pre_hook(lambda *_: given.append(1))
    try:
        found = detections(hand_model, probe=QUICK, variations=Probe(blocks=(6,), sequences=4))
    finally:
        handle.remove()
        whole.remove()
    assert sum(rows) == 3 * 8 + 2 * 4  # first set, second set, control; without and with gaps
    assert len(given) == 1  # the unembedding runs on the first set alone, for the losses
    alone = detection(hand_model, "duplicate_token", probe=QUICK, variations=Probe(blocks=(6,), sequences=4))
    assert found.detections[2] == alone


def test_how_many_rows_run_together_changes_nothing(hand_model, monkeypatch: pytest.MonkeyPatch):
    before = detection(hand_model, probe=QUICK)
    monkeypatch.setattr(scoring, "TOKENS", 26)
    for one, other in zip(before.heads, detection(hand_model, probe=QUICK).heads, strict=True):
        assert (one.layer, one.head, one.named) == (other.layer, other.head, other.named)
        assert one.score == pytest.approx(other.score, abs=1e-5)


def test_the_null_exchanges_keys_within_a_copy_and_a_perfect_head_scores_chance_there():
    group = standard(LETTERS, 0, StandardProbe(block=9, copies=3, sequences=2))
    counted, length = pairs("induction", group), group.ids.shape[1]
    mean = torch.zeros(1, length, length, dtype=torch.float64)
    mean[0, counted.query, counted.key] = 1 / 2
    null = permuted_scores(mean, "induction", group, 400, generator("null test"))
    assert null.shape == (400, 1)
    assert float(null.mean()) == pytest.approx(1 / 9 * 0.75, abs=0.02)  # the later copy has half its weight on each
    assert float(null.max()) < 0.7
    assert permuted_scores(mean, "first_token", group, 3, generator("null test")).shape == (3, 1)


def test_a_control_repeats_no_token():
    group = unrepeated(standard(LETTERS, 0, StandardProbe(block=8, copies=4, sequences=3)), LETTERS, generator("none"))
    assert all(len(set(row)) == len(row) for row in group.ids.tolist())


def test_variations_qualify_in_words_and_remove_no_name(hand_model):
    def scores(*means: float) -> list[Variation]:
        places = [(block, gapped) for block in (6, 12, 24) for gapped in (False, True)]
        return [Variation(*place, np.array([mean])) for place, mean in zip(places, means, strict=True)]

    assert holds(scores(0.5, 0.5, 0.5, 0.5, 0.5, 0.5), 0, 0.3) == "robust"
    assert holds(scores(0.1, 0.1, 0.5, 0.5, 0.5, 0.5), 0, 0.3) == "only at blocks of 12 or more"
    assert holds(scores(0.1, 0.1, 0.1, 0.1, 0.1, 0.1), 0, 0.3) == "only at blocks above 24"
    assert holds(scores(0.5, 0.1, 0.5, 0.1, 0.5, 0.1), 0, 0.3) == "only without a gap"
    assert holds(scores(0.1, 0.1, 0.5, 0.1, 0.5, 0.5), 0, 0.3) == "not at blocks of 6, 6 with a gap, 12 with a gap"
    assert holds([], 0, 0.3) == "not tried"
    found = detection(hand_model, probe=QUICK)
    assert found.heads[0].holds == "robust"
    assert found.heads[0].robust > 0.99


def test_a_model_that_reads_14_tokens_is_asked_with_what_it_can_read(hand_model):
    short = replace(hand_model, sizes=hand_model.sizes.model_copy(update={"max_positions": 14}))
    found = detection(short)
    assert (found.probe.block, found.probe.copies) == (6, 2)
    assert found.variations == Probe(blocks=(6,), widest=1, sequences=8)
    assert [str(head) for head in found.named] == ["L1H1"]
    with pytest.raises(
        InputError, match=r"reads 14 tokens and has 32 ordinary ones: 2 copies .* at most 6 tokens each"
    ):
        detection(short, probe=StandardProbe(block=7))
    with pytest.raises(InputError, match="too few for 2 copies of 3 tokens"):
        detection(replace(short, sizes=hand_model.sizes.model_copy(update={"max_positions": 6})))


def test_the_same_diagnosis_twice_is_the_same_and_another_seed_another(hand_model):
    assert detection(hand_model, probe=QUICK, seed=1) == detection(hand_model, probe=QUICK, seed=1)
    assert detection(hand_model, probe=QUICK, seed=1) != detection(hand_model, probe=QUICK, seed=2)


def test_p_is_corrected_for_the_number_of_heads():
    null = generator("null").random((999, 144))
    p = _familywise(np.full(144, 0.99), null)
    assert (p > 0.5).all()  # some of 144 heads comes to .99 by chance
    assert _familywise(np.array([2.0]), null) == pytest.approx(1 / 1000)


def test_ranks_share_ties_and_equal_scores_have_none():
    assert spearman(np.array([1.0, 2, 2, 3]), np.array([10.0, 20, 20, 30])) == pytest.approx(1)
    assert spearman(np.array([1.0, 2, 3]), np.array([3.0, 2, 1])) == pytest.approx(-1)
    assert spearman(np.ones(3), np.arange(3.0)) is None


def test_what_cannot_be_measured_is_refused(hand_model):
    with pytest.raises(InputError, match="did you mean 'induction'"):
        detection(hand_model, "inducton")
    with pytest.raises(InputError, match="2 copies of a block can have at most 16 tokens each"):
        detection(hand_model, probe=StandardProbe(block=17, sequences=4))


def test_a_detector_whose_perfect_head_is_not_known_is_refused_and_not_taken_for_another() -> None:
    group = repeats(np.arange(1, 33), 0, 8, 0, 2, generator("unknown"))
    with pytest.raises(InputError, match="'second_token' attends is not known"):
        pairs("second_token", group)
