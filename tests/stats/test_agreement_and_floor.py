"""Ablations agree word by word, and chance is counted from answers."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesion.errors import InputError
from lesion.stats.verdict.ablation_agreement import agreement
from lesion.stats.verdict.guessing import chance_accuracy, chance_logprob
from publications.referee.published import _covered
from tests.stats.cells import one, rows

HARM, NULL = one(rows(10, 160)), one(rows(40, 40))


def test_one_word_for_all_ablations_is_agreement():
    found = agreement({"zero": HARM, "mean": HARM, "resample": HARM}, "resample")
    assert (found.agrees, found.differing) == (True, ())


def test_another_word_is_not():
    found = agreement({"zero": HARM, "mean": NULL, "resample": HARM}, "resample")
    assert (found.agrees, found.differing, found.reasons["mean"]) == (False, ("mean",), "Null, not Harm")
    turned = agreement({"zero": HARM, "mean": NULL, "resample": HARM}, "mean")
    assert turned.differing == ("zero", "resample")


def test_an_ablation_that_cannot_speak_does_not_agree():
    few = replace(HARM, n=HARM.n // 3)
    found = agreement({"zero": HARM, "mean": few}, "zero")
    assert found.differing == ("mean", "resample")
    assert found.reasons["mean"] == f"only {few.n} of {HARM.n} items have a reference for it"
    assert found.reasons["resample"] == "no item has a reference for it"
    spoiled = replace(HARM, verdict="Invalid", reason="a hook did not fire")
    assert agreement({"zero": HARM, "mean": spoiled}, "zero", ("zero", "mean")).reasons == {"mean": spoiled.reason}
    assert agreement({"zero": HARM}, "zero", ("zero",)).agrees
    with pytest.raises(InputError, match="no verdict"):
        agreement({"zero": HARM}, "mean")


def test_ambiguous_and_inconclusive_are_one_word():
    open_, ended = replace(NULL, verdict="Ambiguous"), replace(NULL, verdict="Inconclusive")
    assert agreement({"zero": open_, "mean": ended}, "zero", ()).agrees


def test_chance_is_the_best_constant_answer_or_the_best_of_each_form():
    found = chance_accuracy(["12", "12", "7", "7", "7", "150", "151"])
    assert (found.constant, found.overall, found.by_form, found.value, found.items) == ("7", 3 / 7, 6 / 7, 6 / 7, 7)
    assert chance_accuracy(["a", "a", "b"]).value == 2 / 3


def test_chance_of_log_probabilities_is_minus_the_entropy():
    assert chance_logprob(["a", "b"] * 10).value == pytest.approx(-np.log(2))
    assert chance_logprob(["a"] * 5).value == 0.0
    assert chance_logprob(["a", "b"] * 10).overall == 0.5


def test_a_floor_of_few_answers_is_not_above_that_of_many():
    """Where answers hardly ever come twice, their own entropy knows only their number."""
    draw = np.random.default_rng(0)
    for kinds in (50, 200, 1000):
        many = draw.integers(0, kinds, (40, 64)).astype(str).tolist()
        plain = np.mean([chance_logprob(answers).value for answers in many])
        corrected = np.mean([chance_logprob(answers, unseen=True).value for answers in many])
        assert plain > -np.log(64)
        assert abs(corrected + np.log(kinds)) < 0.25
    assert chance_logprob([str(n) for n in range(64)], unseen=True).value < -8
    assert chance_logprob(["a"] * 64, unseen=True).value == pytest.approx(0, abs=0.01)


def test_both_floors_agree_where_every_answer_comes_often():
    answers = ["a", "b", "c", "d"] * 500
    assert chance_logprob(answers, unseen=True).value == pytest.approx(chance_logprob(answers).value, abs=1e-12)
    counts = np.unique(np.array(list("aabbbcde")), return_counts=True)[1]
    assert _covered(counts) == pytest.approx(-chance_logprob(list("aabbbcde"), unseen=True).value)


@given(st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=40))
def test_no_constant_answer_scores_more_than_chance(answers):
    found = chance_accuracy(answers)
    best = max(answers.count(answer) for answer in answers) / len(answers)
    assert found.overall == best <= found.by_form == found.value <= 1
    assert np.log(found.overall) >= chance_logprob(answers).value - 1e-9


def test_no_answers_have_no_chance():
    for count in (chance_accuracy, chance_logprob):
        with pytest.raises(InputError, match="none was given"):
            count([])
