"""Tasks as people write them."""

import pytest

from lesion.errors import InputError
from lesion.tasks.config import ArithmeticConfig, SymbolicConfig
from lesion.tasks.spelling import parse_task


def test_a_spelling_gives_the_configuration():
    assert parse_task("arithmetic operators=+,- high=999 format=spaced") == ArithmeticConfig(high=999, format="spaced")
    assert parse_task("symbolic patterns=repeat longest=8") == SymbolicConfig(longest=8)
    assert parse_task("multistep forms=a+b*c").forms == ("a+b*c",)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("arithmetics", "did you mean 'arithmetic'"),
        ("", "is not a task"),
        ("arithmetic hihg=3", "did you mean 'high'"),
        ("arithmetic high", "not a setting"),
        ("arithmetic high=-3", "high: Input should be greater"),
        ("arithmetic operators=/", "operators"),
        ("arithmetic low=5 high=1", "lies below low"),
    ],
)
def test_what_is_not_known_is_refused_with_the_nearest_name(text: str, told: str):
    with pytest.raises(InputError, match=told):
        parse_task(text)
