"""docs/gsm8k.md is what its rows say; a text's mark, a difference and the first sentence come from known answers."""

from pathlib import Path
from typing import Any

import pytest

from tests.program import load_program

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def program() -> Any:
    return load_program(ROOT / "docs" / "gsm8k.py")


def rows(program: Any, **marks: str) -> list[dict[str, Any]]:
    """One batch for each way of answering; `marks` by arm, all else right."""
    many = len(next(iter(marks.values())))
    arms = {arm: marks.get(arm.replace(" ", "_"), "+" * many) for arm in program.ARMS}
    sets = {arm: ["L0H0", "L1H1"] for arm in program.ARMS[1:]}
    return [
        {
            "solution": solution,
            "marks": arms,
            "sets": sets,
            "weights": "0" * 64,
            "seconds": 60.0,
            "day": "2026-11-30",
            "texts": {arm: ["#### 1"] for arm in program.ARMS},
        }
        for solution in program.TOKENS
    ]


def test_the_page_is_what_its_rows_say(program: Any) -> None:
    assert program.PAGE.read_text(encoding="utf-8") == program.page(program.read())


def test_a_text_is_right_wrong_or_without_a_number(program: Any) -> None:
    texts = [" 3 + 4 = 7\n#### 7\n", " 3 + 4 = 8\n#### 8\n", " I do not know\n"]
    assert program.marks(texts, [" ...\n#### 7\n"] * 3) == "+-?"


def test_a_difference_counts_problems_that_turn_either_way(program: Any) -> None:
    mean, low, high = program.difference("+--+", "++++")
    assert mean == -50
    assert low < -50 < high
    assert program.difference("+-", "+-")[0] == 0


@pytest.mark.parametrize(
    ("marks", "said"),
    [
        ({"induction_heads": "-" * 60}, "fewer of them than unedited and than without either random set"),
        ({"induction_heads": "-" * 60, "random_heads_2": "-" * 60}, "more than without random heads is not shown"),
        ({"induction_heads": "+" * 60}, "It is not shown that it solves fewer"),
    ],
)
def test_the_first_sentence_follows_from_the_rows(program: Any, marks: dict[str, str], said: str) -> None:
    assert said in program.page(rows(program, **marks))
