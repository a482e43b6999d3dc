"""The whole report on a tokenizer."""

import pytest
from tokenizers import Tokenizer

from lesion.errors import InputError
from lesion.tasks.config import ArithmeticConfig
from lesion.tasks.tokenizers.report import token_report


def test_gpt2_in_every_context(gpt2: Tokenizer):
    tasks = {"plain": ArithmeticConfig(), "words": ArithmeticConfig(format="words")}
    report = token_report("gpt2", gpt2, None, 10_000, tasks, items=100)
    assert report.contexts["bare"].single == 908
    assert report.contexts["bare"].first_not_single == 521
    assert report.contexts["space"].first_not_single == 362
    assert report.contexts["bare"].mixed_digits == (3, 4)
    assert report.contexts["equals"].example == "=10000"
    assert report.alignments == {1: "whole", 2: "whole", 3: "mixed", 4: "mixed", 5: "mixed"}
    task = report.tasks["plain"]
    assert task.items == 100 == task.compiled + sum(task.refused.values())
    assert task.refused == {}
    broken = report.tasks["words"]
    assert broken.refused.keys() == broken.examples.keys() == {"wrong_length_differs"}


def test_the_format_whose_items_keep_the_contract_with_every_role_is_recommended(
    gpt2: Tokenizer, characters: Tokenizer
):
    found = token_report("gpt2", gpt2, None, 9, {}, items=200)
    assert found.recommended == "equation"
    assert found.formats["compact"].negatives == 1
    assert found.formats["compact"].separate < found.formats["equation"].separate == 1
    assert found.formats["words"].kept < 1
    mine = token_report("characters", characters, None, 9, {}, items=100)
    assert (mine.recommended, mine.formats["equation"].kept, mine.formats["compact"].kept) == ("compact", 0, 1)
    assert mine.formats["equation"].one_answer_token is None


def test_answers_of_one_token_are_counted_without_their_end_mark(gpt2: Tokenizer, characters: Tokenizer):
    spaced = {"s": ArithmeticConfig(format="equation", high=9, operators=("+",))}
    assert token_report("gpt2", gpt2, None, 9, spaced, items=50).tasks["s"].single_answers == 1
    one_digit = {"s": ArithmeticConfig(high=4, operators=("+",), shots=0)}
    assert token_report("characters", characters, None, 9, one_digit, items=10).tasks["s"].single_answers == 1


def test_the_highest_number_has_a_limit(gpt2: Tokenizer):
    with pytest.raises(InputError, match="at most 10,000,000"):
        token_report("gpt2", gpt2, None, 10**7 + 1, {})
