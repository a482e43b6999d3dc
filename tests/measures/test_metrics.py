import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from lesion.engine.batch import Batch
from lesion.errors import InputError
from lesion.measures.metrics import COMPARISONS, FUNCTIONS, measure
from lesion.study.metric_table import METRICS


def _batch(answer, wrong=None):
    answer = torch.tensor(answer)
    prompt = torch.zeros(answer.shape[0], 1, dtype=torch.long)
    return Batch(
        rows=tuple(range(answer.shape[0])),
        ids=torch.cat([prompt, answer], dim=1),
        prompt_length=1,
        wrong=torch.tensor(wrong) if wrong is not None else answer,
        roles=({},) * answer.shape[0],
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
