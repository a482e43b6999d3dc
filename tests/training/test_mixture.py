"""The rows of the training mixture, checked by an independent reading of their text."""

import re

import numpy as np
import pytest

from lesion.identity import generator
from lesion.tasks.drawing.heldout import held_out
from lesion.tasks.problems.alphabet import SYMBOLS
from lesion.training.mixture import (
    arithmetic_row,
    copy_row,
    draw_batch,
    repeat_row,
    reverse_row,
    unit_row,
)
from lesion.training.recipe import Mixture, Recipe, Stage
from lesion.training.vocabulary import TOKENS

RECIPE = Recipe(name="x", about="x", family="llama", steps=10, stage=Stage(), drop=0.25)
LENGTH = 48


def rows_of(make, count=200, mixture=RECIPE.mixture):
    rng = generator("test", make.__name__)
    return [make(rng, mixture, LENGTH) for _ in range(count)]


def whole_problems(row):
    """The problems of a row that are not cut, as (prompt, answer, mask of the answer with its end mark)."""
    for match in re.finditer(r"([^;=]+)=([^;]+);", row.text):
        yield match[1], match[2], row.graded[match.start(2) : match.end()], row.graded[match.start() : match.start(2)]


def test_every_answer_is_right_and_only_answers_are_graded():
    seen = 0
    for row in rows_of(arithmetic_row):
        for prompt, answer, answer_mask, prompt_mask in whole_problems(row):
            assert str(eval(prompt)) == answer  # the rows hold digits and + - * only, by the pattern below
            assert re.fullmatch(r"[\d+*-]+", prompt)
            assert set(answer_mask) == {"1"}
            assert set(prompt_mask) == {"0"}
            seen += 1
    assert seen > 500


def test_no_held_out_problem_is_ever_trained_on():
    asked = 0
    for row in rows_of(arithmetic_row, 1500):
        for problem in row.text.split(";"):
            prompt = problem.partition("=")[0]
            if "=" not in problem:
                continue  # cut before the equals sign: nothing is graded
            operands = [int(number) for number in re.findall(r"\d+", prompt)]
            assert not held_out(re.sub(r"\d", "", prompt), *operands), prompt
            asked += 1
    assert asked > 5000


def test_all_kinds_of_problem_and_larger_operands_occur_in_their_shares():
    prompts = [prompt for row in rows_of(arithmetic_row, 2000) for prompt, *_ in whole_problems(row)]
    kinds = [re.sub(r"\d", "", prompt) for prompt in prompts]
    share = {kind: kinds.count(kind) / len(kinds) for kind in set(kinds)}
    assert set(share) == {"+", "-", "*", "+-"}
    assert 0.1 < share["+-"] < 0.25
    assert 0.03 < share["*"] < 0.15
    simple = [prompt for prompt, kind in zip(prompts, kinds, strict=True) if kind in "+-"]
    large = [max(map(int, re.findall(r"\d+", prompt))) > RECIPE.mixture.high for prompt in simple]
    assert 0.005 < np.mean(large) < 0.03
    assert max(int(n) for prompt in simple for n in re.findall(r"\d+", prompt)) <= RECIPE.mixture.high + 100


def test_repeats_are_predictable_exactly_where_they_are_graded():
    for row in rows_of(repeat_row):
        graded = [place for place, mark in enumerate(row.graded) if mark == "1"]
        assert graded == list(range(graded[0], LENGTH))
        for place in graded:
            earlier = row.text.rindex(row.text[place - 1], 0, place - 1)
            assert row.text[place] == row.text[earlier + 1]
        assert row.text[graded[0] - 1] in row.text[: graded[0] - 1]
        assert row.text[graded[0] - 2] not in row.text[: graded[0] - 2]  # nothing earlier could have been graded


def test_units_go_on_as_they_began():
    for row in rows_of(unit_row):
        start = 0
        for run in row.text.split(";"):
            mask = row.graded[start : start + len(run) + 1]
            graded = [place for place, mark in enumerate(mask) if mark == "1"]
            if graded:
                unit = run[: graded[0] - 1]
                assert len(unit) <= 3
                assert all(run[place] == unit[place % len(unit)] for place in range(len(run)))
                assert max(graded) < len(run)
            start += len(run) + 1


@pytest.mark.parametrize(("make", "mark", "turn"), [(copy_row, ">", 1), (reverse_row, "<", -1)])
def test_copies_and_reversals_are_right(make, mark, turn):
    for row in rows_of(make):
        start = 0
        for piece in row.text.split(";")[:-1]:
            block, _, answer = piece.partition(mark)
            assert answer == block[::turn]
            assert 2 <= len(set(block)) == len(block) <= 8
            mask = row.graded[start : start + len(piece) + 1]
            assert mask == "0" * (len(block) + 1) + "1" * (len(block) + 1)
            start += len(piece) + 1


def test_blocks_have_the_recipes_lengths():
    mixture = Mixture(shortest=2, longest=3)
    for row in rows_of(repeat_row, 100, mixture):
        tail = row.text[-12:]
        period = tail.rindex(tail[-1], 0, -1)
        assert len(tail) - 1 - period in (2, 3)


def test_labels_are_the_next_tokens_where_graded():
    batch = draw_batch(RECIPE, 3, staged=False)
    assert batch.ids.shape == batch.labels.shape == (RECIPE.batch, RECIPE.length)
    assert (batch.ids[:, 0] == TOKENS.index("[BOS]")).all()
    graded = batch.labels != -100
    assert (batch.labels[:, :-1][graded[:, :-1]] == batch.ids[:, 1:][graded[:, :-1]]).all()
    assert 0.2 < graded.mean() < 0.8


def test_the_rows_of_a_step_are_a_function_of_seed_and_step():
    again = draw_batch(RECIPE, 7, staged=False)
    assert all((a == b).all() for a, b in zip(draw_batch(RECIPE, 7, staged=False), again, strict=True))
    assert (draw_batch(RECIPE, 8, staged=False).ids != again.ids).any()
    other = RECIPE.model_copy(update={"seed": 1})
    assert (draw_batch(other, 7, staged=False).ids != again.ids).any()


def test_the_first_stage_has_symbols_only():
    for step in range(5):
        batch = draw_batch(RECIPE, step, staged=True)
        texts = ["".join(TOKENS[i] for i in row[1:]) for row in batch.ids]
        assert not batch.arithmetic.any()
        assert all(set(text) <= set(SYMBOLS + ">;") for text in texts)


def test_heads_are_dropped_on_a_quarter_of_the_arithmetic_rows_only():
    batches = [draw_batch(RECIPE, step, staged=False) for step in range(100)]
    arithmetic = np.concatenate([batch.arithmetic for batch in batches])
    dropped = np.concatenate([batch.dropped for batch in batches])
    assert not (dropped & ~arithmetic).any()
    assert 0.2 < dropped.sum() / arithmetic.sum() < 0.3
    assert 0.65 < arithmetic.mean() < 0.75


def test_a_row_is_arithmetic_exactly_when_it_says_so():
    for batch in (draw_batch(RECIPE, step, staged=False) for step in range(20)):
        digits = np.isin(batch.ids, [TOKENS.index(digit) for digit in "0123456789"]).any(1)
        assert (digits == batch.arithmetic).all()


def test_different_steps_seldom_share_a_row():
    rows = [tuple(row) for step in range(50) for row in draw_batch(RECIPE, step, staged=False).ids]
    assert len(set(rows)) == len(rows)
