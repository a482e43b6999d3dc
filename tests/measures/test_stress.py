"""The stress test tells failures that come with tokens from those that come with digits, and says when it cannot."""

import pytest

from lesion.engine.select_engine import choose
from lesion.measures.tokenization_stress import Answered, separate, stress
from lesion.models.model import open_model


def answered(right) -> list[Answered]:
    """Forty items for each digit and token count, right where `right(digits, tokens)` says."""
    return [
        Answered("+", digits, tokens, right(digits, tokens))
        for digits in (2, 4, 6)
        for tokens in (2, 3, 4)
        for _ in range(40)
    ]


def test_failures_that_come_with_tokens_are_told_so():
    found = separate(answered(lambda digits, tokens: tokens == 2))
    assert found.by_tokens.delta == pytest.approx(-1)
    assert found.by_digits.delta == pytest.approx(0)
    assert found.verdict == "accuracy falls with tokens"


def test_failures_that_come_with_digits_are_told_so():
    found = separate(answered(lambda digits, tokens: digits < 5))
    assert found.by_tokens.delta == pytest.approx(0)
    assert found.by_digits.delta == pytest.approx(-0.5)
    assert found.verdict == "accuracy falls with digits"


def test_failures_of_both_kinds_and_of_none():
    assert separate(answered(lambda d, t: d < 5 and t < 4)).verdict == "accuracy falls with tokens and with digits"
    assert separate(answered(lambda d, t: True)).verdict == "accuracy falls with neither"


def test_one_token_a_digit_cannot_be_separated():
    found = separate([Answered("+", d, d, d < 4) for d in (2, 4, 6) for _ in range(20)])
    assert found.by_tokens.delta is None
    assert found.verdict == "cannot be separated: no items differ in tokens and digits alone"


def test_the_interval_is_that_of_one_table_by_hand():
    rows = [Answered("+", 2, t, i < right) for t, right in ((2, 30), (3, 18)) for i in range(40)]
    found = separate(rows).by_tokens
    assert found.delta == pytest.approx(-0.3)
    # one balanced table: the variance is that of two shares, sum p (1 - p) / n
    half = 1.959964 * (0.75 * 0.25 / 40 + 0.45 * 0.55 / 40) ** 0.5
    assert found.high - found.low == pytest.approx(2 * half, rel=1e-6)


def test_it_runs_on_a_model_and_counts_what_the_model_cannot_read():
    engine = choose(open_model("tiny:gpt2"), "reference")
    found = stress(engine, operators=("+", "*"), items=6, ranges=((0, 9), (100, 999)), shots=1)
    assert sum(cell.items for cell in found.cells) + found.refused == 24
    assert "cannot be separated" in found.verdict  # one token a digit
    short = stress(choose(open_model("tiny:gpt2"), "reference"), operators=("+",), items=3, ranges=((0, 9),), shots=1)
    assert short == stress(engine, operators=("+",), items=3, ranges=((0, 9),), shots=1)
