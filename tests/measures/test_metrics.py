import math
from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from lesion.engine.batch import Batch, batches
from lesion.errors import InputError
from lesion.measures.metrics import COMPARISONS, FUNCTIONS, measure
from lesion.runs.measure.recompute_metrics import numbers_of
from lesion.study.metric_table import METRICS
from lesion.tasks.task import Item, Segment
from lesion.tasks.tokenizers.digits import digit_rivals
from lesion.tasks.tokenizers.prompt_contract import Compiled, compile_item


def _batch(answer, wrong=None):
    answer = torch.tensor(answer)
    prompt = torch.zeros(answer.shape[0], 1, dtype=torch.long)
    return Batch(
        rows=tuple(range(answer.shape[0])),
        ids=torch.cat([prompt, answer], dim=1),
        prompt_length=1,
        wrong=torch.tensor(wrong) if wrong is not None else answer,
        roles=({},) * answer.shape[0],
        digits=torch.tensor([0, 1] * 5).expand(*answer.shape, 10),  # the ids 0 and 1 stand for digits
    )


def _one(logits, batch, name, baseline=None):
    return measure(torch.tensor(logits), batch, [name], baseline)[name].tolist()


def test_an_answer_is_correct_only_when_every_token_is():
    logits = [[[0.0, 1.0, 0.0], [0.0, 0.0, 2.0]], [[0.0, 1.0, 0.0], [3.0, 0.0, 2.0]]]
    assert _one(logits, _batch([[1, 2], [1, 2]]), "correct") == [1.0, 0.0]


def test_a_tie_goes_to_the_lowest_id_and_is_counted():
    logits = [[[5.0, 5.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 0.0]]]
    assert _one(logits, _batch([[0, 0, 1]]), "correct") == [1.0]
    assert _one(logits, _batch([[1, 0, 1]]), "correct") == [0.0]
    assert _one(logits, _batch([[0, 0, 1]]), "ties") == [2.0]
    assert _one(logits, _batch([[0, 0, 1]]), "margin") == [0.0]


def test_the_margin_is_the_smallest_gap_over_the_answer():
    assert _one([[[0.0, 3.0, 1.0], [2.5, 0.0, 1.0]]], _batch([[1, 0]]), "margin") == [1.5]


def test_uniform_logits_have_the_entropy_ln_v_and_each_answer_token_costs_as_much():
    batch = _batch([[1, 2]])
    assert _one(torch.zeros(1, 2, 33).tolist(), batch, "entropy") == [pytest.approx(math.log(33))]
    assert _one(torch.zeros(1, 2, 33).tolist(), batch, "answer_logprob") == [pytest.approx(-2 * math.log(33))]


def test_the_digits_lead_the_best_other_digit_and_the_first_is_told_apart():
    logits = [[[5.0, 3.0, 9.0], [1.0, 7.5, 9.0], [0.0, 1.0, 9.0]]]
    batch = _batch([[0, 1, 2]])
    batch = replace(batch, digits=torch.tensor([[[0, 1] * 5, [0, 1] * 5, [-1] * 10]]))
    assert _one(logits, batch, "digit_diff") == [(2.0 + 6.5) / 2]
    assert _one(logits, batch, "first_digit_diff") == [2.0]
    first = replace(batch, digits=torch.tensor([[[-1] * 10, [0, 1] * 5, [-1] * 10]]))
    assert _one(logits, first, "first_digit_diff") == _one(logits, first, "digit_diff") == [6.5]
    for none in (None, torch.full((1, 3, 10), -1)):
        for name in ("digit_diff", "first_digit_diff"):
            assert math.isnan(_one(logits, replace(batch, digits=none), name)[0])


def test_a_right_answer_leads_at_every_digit_and_the_second_reading_agrees(spelled_digits):
    tokenizer, item = spelled_digits
    compiled = compile_item(item, tokenizer, None)
    assert isinstance(compiled, Compiled)
    assert [bool(each) for each in compiled.digits] == [letter.isdigit() for letter in item.answer]
    (batch,) = batches([compiled], 1)
    steps = torch.randn((len(compiled.answer_ids), tokenizer.get_vocab_size()), generator=torch.manual_seed(3))
    again = numbers_of(steps.double(), compiled)
    for name in ("digit_diff", "first_digit_diff"):
        assert _one(steps[None].tolist(), batch, name) == [pytest.approx(again[name], abs=1e-6)]
    best = steps.scatter(1, torch.tensor(compiled.answer_ids)[:, None], 99.0)
    assert _one(best[None].tolist(), batch, "digit_diff")[0] > 80


@pytest.fixture
def spelled_digits() -> tuple[Tokenizer, Item]:
    """One token a character, and an item with an answer of several digits, a minus and an end mark."""
    vocabulary = {piece: i for i, piece in enumerate("0123456789+-=;")}
    tokenizer = Tokenizer(models.WordLevel(vocabulary))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    return tokenizer, Item(0, (Segment("12-435=", ""),), "-423;", "-413;", {}, signed=True)


def test_several_digits_in_one_token_are_not_told_apart():
    tokenizer = Tokenizer(models.WordLevel({**{str(i): i for i in range(100)}, "Ġ4": 100, "a": 101}))
    assert digit_rivals(tokenizer, [7, 101]) == (tuple(range(10)), ())
    assert digit_rivals(tokenizer, [7, 46]) == ()
    assert digit_rivals(tokenizer, [100]) == ()  # the vocabulary lacks the other nine behind a space
    assert digit_rivals(tokenizer, [101]) == ()


def test_the_brier_score_of_known_forecasts():
    sure = [0.0, 100.0, 0.0]
    assert _one([[sure, sure]], _batch([[1, 1]]), "brier") == [pytest.approx(0, abs=1e-12)]
    assert _one([[sure, sure]], _batch([[0, 2]]), "brier") == [pytest.approx(2)]
    assert _one([[sure, sure]], _batch([[1, 2]]), "brier") == [pytest.approx(1)]  # the mean over the answer's tokens
    assert _one(torch.zeros(1, 2, 33).tolist(), _batch([[1, 2]]), "brier") == [pytest.approx(1 - 1 / 33)]
    spread = torch.tensor([[[0.5, 0.3, 0.2]]]).log().tolist()
    assert _one(spread, _batch([[1]]), "brier") == [pytest.approx(0.25 + 0.49 + 0.04)]


def test_the_brier_score_is_no_column_of_a_run():
    assert METRICS["brier"].column is None


def test_the_logit_difference_is_read_where_answer_and_twin_first_differ():
    logits = [[[0.0, 9.0, 1.0], [1.0, 4.0, 7.0]]] * 3
    batch = _batch([[1, 2], [1, 2], [1, 2]], [[1, 0], [0, 2], [1, 2]])
    assert _one(logits, batch, "logit_diff") == [6.0, 9.0, pytest.approx(math.nan, nan_ok=True)]


numbers = st.floats(-30, 30, width=32)


@settings(deadline=None)
@given(st.lists(numbers, min_size=5, max_size=5), st.lists(numbers, min_size=5, max_size=5))
def test_kl_is_not_negative_and_is_that_of_the_definition_base_first(edited, base):
    value = measure(torch.tensor([[edited]]), _batch([[0]]), ["kl"], torch.tensor([[base]]))["kl"][0]
    p, q = (np.exp(x - np.logaddexp.reduce(x)) for x in (np.float64(base), np.float64(edited)))
    assert value >= -1e-12
    assert value == pytest.approx(float((p * np.log(p / q)).sum()), abs=1e-9)


def test_kl_of_a_distribution_with_itself_is_nothing():
    logits = torch.randn(3, 2, 9, generator=torch.Generator().manual_seed(0))
    assert measure(logits, _batch([[1, 2]] * 3), ["kl"], logits)["kl"].tolist() == [0.0] * 3


@settings(deadline=None)
@given(st.lists(numbers, min_size=6, max_size=6), numbers)
def test_a_constant_added_to_all_logits_changes_nothing(row, shift):
    logits = torch.tensor(row, dtype=torch.float64).view(1, 2, 3)
    batch = _batch([[1, 2]], [[0, 2]])
    before, after = (measure(x, batch, [n for n in FUNCTIONS if n != "ties"]) for x in (logits, logits + shift))
    for name in before:
        if name != "correct" or before["margin"][0] > 1e-9:
            assert after[name] == pytest.approx(before[name], abs=1e-9)


def test_metrics_agree_with_torch_in_double_precision():
    logits = torch.randn(4, 3, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 5
    batch = _batch(torch.randint(0, 50, (4, 3), generator=torch.Generator().manual_seed(2)).tolist())
    log_p = torch.log_softmax(logits, -1)
    measured = measure(logits, batch, ["answer_logprob", "entropy", "margin"])
    assert np.allclose(measured["answer_logprob"], log_p.gather(-1, batch.answer[..., None]).sum((1, 2)), atol=1e-12)
    assert np.allclose(measured["entropy"], -(log_p.exp() * log_p).sum(-1)[:, 0], atol=1e-12)
    top = logits.topk(2).values
    assert np.allclose(measured["margin"], (top[..., 0] - top[..., 1]).min(-1).values, atol=1e-12)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_row_with_a_logit_that_is_no_number_has_no_numbers_and_the_others_keep_theirs(bad):
    logits = torch.zeros(2, 1, 3)
    logits[0, 0, 1] = bad
    batch, other = _batch([[0], [0]], [[1], [1]]), torch.zeros(2, 1, 3)
    for name, values in measure(logits, batch, [*FUNCTIONS, *COMPARISONS], other).items():
        assert math.isnan(values[0]), name
        assert not math.isnan(values[1]), name


def test_every_number_is_a_float64_per_item():
    for values in measure(torch.zeros(2, 3, 7), _batch([[0, 1, 2]] * 2, [[0, 1, 3]] * 2), list(FUNCTIONS)).values():
        assert values.dtype == np.float64
        assert values.shape == (2,)


def test_an_unknown_metric_is_answered_with_the_nearest_one():
    with pytest.raises(InputError, match="did you mean 'entropy'"):
        measure(torch.zeros(1, 1, 3), _batch([[0]]), ["entropi"])


def test_kl_without_a_baseline_is_refused():
    with pytest.raises(InputError, match="'kl' compares two passes"):
        measure(torch.zeros(1, 1, 3), _batch([[0]]), ["kl"])
