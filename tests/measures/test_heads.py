"""Head scores against known answers: the hand model, patterns made by hand, and the traps of the field."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

from lesion.errors import InputError
from lesion.identity import generator
from lesion.measures.heads.pattern_scores import (
    DETECTORS,
    attention_patterns,
    detect,
    duplicate_token,
    induction_stripe,
    prefix_matching,
    robust_induction,
)
from lesion.measures.heads.repeated_sequences import Probe, Repeats, ordinary_tokens, probes, repeats
from lesion.models.model import open_model
from lesion.study import names
from lesion.tasks.problems.alphabet import SYMBOLS
from lesion.training.hand_model import hand_network, write_hand_model
from lesion.training.vocabulary import SYMBOL_IDS, build_tokenizer

LETTERS = np.arange(1, 33)


@pytest.fixture(scope="module")
def hand():
    network = hand_network()
    sequences = repeats(LETTERS, 0, 32, 0, 6, generator("test"))
    return attention_patterns(network, sequences.ids), sequences


def only(table: torch.Tensor, layer: int, index: int) -> torch.Tensor:
    """The scores of all other heads."""
    others = torch.ones_like(table, dtype=torch.bool)
    others[layer, index] = False
    return table[others]


@pytest.mark.parametrize(
    ("detector", "site", "most"),
    [("induction", (1, 1), 0.021), ("previous_token", (0, 2), 0.06), ("duplicate_token", (1, 3), 0.021)],
)
def test_the_hand_model_has_one_perfect_head_of_each_kind(hand, detector, site, most):
    table = DETECTORS[detector](*hand)
    assert float(table[site]) == pytest.approx(1, abs=1e-6)
    assert float(only(table, *site).max()) <= most


def test_a_perfect_head_is_1_here_and_32_in_65_for_a_score_that_counts_the_first_copy_too(hand):
    """transformer-lens's `detect_head` divides by all queries: both of its error measures give 32/65 = .4923."""
    patterns, sequences = hand
    tokens = sequences.ids[0]
    same = (tokens[:, None] == tokens[None]).float().fill_diagonal_(0).tril()
    wanted = torch.nn.functional.pad(same[:, :-1], (1, 0)).tril()  # the token after an earlier occurrence
    attention = patterns[1, 0, 1]
    assert attention.shape == (65, 65)
    product = float((attention * wanted).sum() / attention.sum())
    distance = 1 - float((attention - wanted).abs().mean()) * 65
    assert (product, distance) == pytest.approx((32 / 65, 32 / 65), abs=1e-6)
    assert round(product, 4) == 0.4923
    assert float(induction_stripe(patterns, sequences)[1, 1]) == pytest.approx(1, abs=1e-6)
    assert float(prefix_matching(attention[None, None, None], tokens[None])[0, 0]) == pytest.approx(1, abs=1e-6)


def test_the_first_token_head_is_found(hand):
    table = DETECTORS["first_token"](*hand)
    assert float(table[0, 0]) == pytest.approx(1, abs=1e-6)
    assert float(only(table, 0, 0).max()) < 0.6  # the induction head rests on BOS in the first copy


def test_an_even_head_scores_the_mean_of_one_over_the_keys(hand):
    table = induction_stripe(*hand)
    assert float(table[0, 1]) == pytest.approx(np.mean([1 / (q + 1) for q in range(33, 65)]), abs=1e-6)
    assert float(table[0, 1]) == pytest.approx(0.020952, abs=1e-6)


def test_the_duplicate_token_head_is_no_induction_head_and_vice_versa(hand):
    assert float(induction_stripe(*hand)[1, 3]) < 1e-6
    assert float(duplicate_token(*hand)[1, 1]) < 1e-6


def test_the_robust_score_of_the_hand_model_is_perfect_for_its_induction_head_only():
    table = robust_induction(hand_network(), LETTERS, 0, Probe(blocks=(5, 12), sequences=6))
    assert float(table[1, 1]) == pytest.approx(1, abs=1e-5)
    assert float(only(table, 1, 1).max()) < 0.1


def head_pattern(ids: torch.Tensor, attends) -> torch.Tensor:
    """The pattern of one head that attends where `attends(ids, q)` says, shape [1, batch, 1, q, k]."""
    batch, length = ids.shape
    pattern = torch.zeros(1, batch, 1, length, length)
    for b in range(batch):
        for q in range(length):
            keys = attends(ids[b].tolist(), q) or [0]
            for key in keys:
                pattern[0, b, 0, q, key] += 1 / len(keys)
    return pattern


def successors(ids: list[int], q: int) -> list[int]:
    """What a perfect induction head attends to: the tokens after all earlier occurrences."""
    return [j + 1 for j in range(q) if ids[j] == ids[q]]


def test_with_three_copies_the_stripe_is_three_quarters_and_the_general_score_is_one():
    block = torch.arange(3, 23)
    ids = torch.cat([torch.tensor([1]), block, block, block])[None]
    pattern = head_pattern(ids, successors)
    second, third = Repeats(ids, 1, 20, 0), Repeats(ids, 21, 20, 0)
    both = (induction_stripe(pattern, second) + induction_stripe(pattern, third)) / 2
    assert float(both) == pytest.approx(0.75, abs=1e-6)
    assert float(prefix_matching(pattern, ids)) == pytest.approx(1, abs=1e-6)


def test_a_head_that_attends_a_fixed_distance_back_fakes_one_block_length_but_no_gap():
    without, *_ = probes(SYMBOL_IDS, 1, Probe(blocks=(9,), sequences=16))
    (sequences,) = without
    fake = head_pattern(sequences.ids, lambda ids, q: [max(0, q - 8)])
    assert float(induction_stripe(fake, sequences)) == pytest.approx(1)
    _, gapped = probes(SYMBOL_IDS, 1, Probe(blocks=(9,), sequences=16))
    for group in gapped:
        fake = head_pattern(group.ids, lambda ids, q: [max(0, q - 8)])
        assert float(induction_stripe(fake, group)) < 0.12


def test_a_perfect_head_is_perfect_with_gaps():
    for groups in probes(SYMBOL_IDS, 1, Probe(blocks=(6, 9), sequences=8)):
        for group in groups:
            pattern = head_pattern(group.ids, successors)
            assert float(induction_stripe(pattern, group)) == pytest.approx(1, abs=1e-6)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(4, 14), st.integers(2, 5))
def test_prefix_matching_is_what_its_definition_says(seed, length, tokens):
    rng = generator("prefix", seed)
    ids = torch.as_tensor(rng.integers(0, tokens, (2, length)))
    scores = torch.as_tensor(rng.random((2, 2, 3, length, length))).tril()
    pattern = scores / scores.sum(-1, keepdim=True)
    pairs = [(b, q) for b in range(2) for q in range(length) if successors(ids[b].tolist(), q)]
    if not pairs:
        with pytest.raises(InputError, match="no token occurs twice"):
            prefix_matching(pattern, ids)
        return
    expected = torch.stack([pattern[:, b, :, q, successors(ids[b].tolist(), q)].sum(-1) for b, q in pairs]).mean(0)
    assert torch.allclose(prefix_matching(pattern, ids), expected)


def test_probes_hold_bos_and_two_copies_and_no_other_token_twice():
    for groups in probes(SYMBOL_IDS, 1, Probe(blocks=(6, 16), sequences=32)):
        assert sum(len(group.ids) for group in groups) == 32
        for group in groups:
            for row in group.ids.tolist():
                assert row[0] == 1
                first, gap, second = row[1 : 1 + group.block], row[1 + group.block : -group.block], row[-group.block :]
                assert first == second
                assert len(gap) == group.gap
                assert len(set(first + gap)) == len(first + gap)
                assert set(first + gap) <= set(SYMBOL_IDS.tolist())
                assert [row[q] for q in group.second] == first


def test_patterns_leave_kernel_and_mode_as_they_were():
    network = hand_network().train()
    network.set_attn_implementation("sdpa")
    pattern = attention_patterns(network, torch.tensor([[0, 1, 2, 1]]))
    assert network.config._attn_implementation == "sdpa"
    assert network.training
    assert pattern.shape == (2, 1, 4, 4, 4)
    assert torch.allclose(pattern.sum(-1), torch.ones(2, 1, 4, 4))


def test_the_ordinary_tokens_of_the_embedded_models_are_the_symbols():
    tokenizer = build_tokenizer(48).backend_tokenizer
    assert sorted(tokenizer.decode([int(i)]) for i in ordinary_tokens(tokenizer)) == sorted(SYMBOLS)


def test_a_vocabulary_without_letters_is_refused():
    tokenizer = Tokenizer(models.WordLevel({str(n): n for n in range(30)}, unk_token="0"))
    with pytest.raises(InputError, match="only 0 tokens of the vocabulary are letters"):
        ordinary_tokens(tokenizer)


def test_detect_writes_out_what_it_measured_on(tmp_path):
    write_hand_model(tmp_path)
    model = open_model(str(tmp_path))
    found = detect(model, seed=3, probe=Probe(blocks=(5, 8), sequences=6))
    assert found.probe == Probe(blocks=(5, 8), sequences=6, seed=3)
    assert (found.prefix, found.ordinary, found.detector) == (0, 32, "induction")
    assert found.table().shape == (2, 4)
    assert found.table().argmax() == 5  # L1H1
    assert found == detect(model, seed=3, probe=Probe(blocks=(5, 8), sequences=6))
    assert found != detect(model, seed=4, probe=Probe(blocks=(5, 8), sequences=6))


def test_an_unknown_detector_and_a_probe_too_long_are_refused():
    model = open_model("tiny:gpt2")
    with pytest.raises(InputError, match="did you mean 'induction'"):
        detect(model, "inducton")
    with pytest.raises(InputError, match="tokens, tiny:gpt2 reads 128"):
        detect(model, probe=Probe(blocks=(64,)))
    with pytest.raises(InputError, match="only 45 are ordinary"):
        detect(model, probe=Probe(blocks=(46,)))


def test_the_detectors_that_a_study_can_name_are_those_that_exist():
    assert set(names.PATTERNS) == set(DETECTORS)
