"""Numbers read from free text, against all reference solutions of GSM8K and against awkward cases."""

import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesion.tasks.answers import Unparsed, extract, grade, is_exact, numbers


def lines(data: Path) -> list[str]:
    return (data / "gsm8k" / "test.jsonl").read_text().split("\n")[:-1]


def test_all_reference_solutions_give_their_answers(data: Path):
    answers = [json.loads(line)["answer"] for line in lines(data)]
    wanted = [Fraction(answer.rpartition("#### ")[2].replace(",", "")) for answer in answers]
    assert [extract(answer) for answer in answers] == wanted
    assert len(answers) == 1319


def test_boxed_and_bare_reference_answers_are_read_alike(data: Path):
    for line in lines(data):
        answer = json.loads(line)["answer"]
        final = answer.rpartition("#### ")[2]
        plain = Fraction(final.replace(",", ""))
        steps = answer.rpartition("####")[0]
        assert extract(f"{steps} So the answer is \\boxed{{{final}}}.") == plain
        assert extract(f"{steps} The answer is ${final}.") == plain
        assert extract(f"{steps} That makes {final} in all.") == plain


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The answer is 1,234,567.", 1234567),
        ("1,2,3", 3),
        ("it costs $1,234.50!", Fraction("1234.5")),
        ("$-5", -5),
        ("-$5 left", -5),
        ("a loss of −12 dollars", -12),
        ("10-3", 3),
        ("10 - 3", 3),
        ("x = -3", -3),
        ("18.", 18),
        ("18.0", 18),
        ("about .5 of it", Fraction(1, 2)),
        ("15% of them", 15),
        ("**42**", 42),
        ("12km", 12),
        ("5 apples\n#### 5 apples", 5),
        ("#### 18 dollars for 2 weeks", 18),
        ("#### -3", -3),
        ("#### 70 000 dollars", 70000),
        ("\\boxed{1 234 567}", 1234567),
        ("#### 70 000.5", 70),
        ("#### 18 in 200 days", 18),
        ("it has 70 000", 70000),
        ("1 000 000", 1000000),
        ("1.000.000", 1000000),
        ("12 or 345", 345),
        ("The final answer is 18. I used 3 steps.", 18),
        ("The answer is 5 + 6 = 11. Checked 2 times", 11),
        ("Answer: 7 eggs\nthat took 3 steps", 7),
        ("Answer: She has 5 eggs, sells 2 and keeps 3", 3),
        ("The answer is 4. No: the answer is **6**, found in 2 steps", 6),
        ("\u20135", -5),
        ("a change of \u22125, \u20126, \uff0d7", -7),
        ("pages 3\u20135", 5),
        ("#### 1,000\nQuestion: what are 2 and 2?", 1000),
        ("It is 7.\n\nQuestion: Bob has 3 hats.", 7),
        ("#### 7\n\nQ: and 2 + 2?\nA: 4\n#### 4", 7),
        ("Let me see.\nQuestion: how many? 12", 12),
        ("####\u00a0$7.00", 7),
        ("#### 7\nno, rather\n#### 8", 8),
        (r"so \boxed{42}", 42),
        (r"\boxed{x = 1{,}234}", 1234),
        (r"\boxed{\$2,880,000}", 2880000),
        (r"\boxed{18 \text{ dollars in } 7 \text{ days}}", 18),
        (r"\boxed{\frac{3}{4}} of 12", Fraction(3, 4)),
        (r"\boxed{-\dfrac{1}{2}}", Fraction(-1, 2)),
        ("#### 3/4", Fraction(3, 4)),
        ("#### 12+30=42", 42),
        ("2\u202f880\u202f000 euros", 2880000),
        (r"first \boxed{1}, then \boxed{2}. 3", 2),
    ],
)
def test_awkward_answers_are_read(text: str, expected: Fraction | int):
    assert extract(text) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no_number"),
        ("eighteen", "no_number"),
        ("1,23", "ambiguous_number"),
        ("12,3456", "ambiguous_number"),
        ("1,234,56", "ambiguous_number"),
        ("version 1.2.3", "ambiguous_number"),
        ("#### 1,23", "ambiguous_number"),
        ("5 + 6\n#### eleven", "no_number_declared"),
        (r"12 is \boxed{\text{many}}", "no_number_declared"),
        ("####", "no_number_declared"),
        ("#### .", "no_number_declared"),
    ],
)
def test_what_cannot_be_read_is_a_value_of_its_own(text: str, why: str):
    assert extract(text) == Unparsed(why)
    assert grade(text, "11") == "unparsed"


@given(number=st.fractions(min_value=-(10**12), max_value=10**12).map(lambda f: Fraction(round(f * 100), 100)))
def test_a_number_survives_every_usual_spelling(number: Fraction):
    plain = f"{float(abs(number)):,.2f}"
    sign = "-" if number < 0 else ""
    for text in (f"{sign}{plain}", f"{sign}${plain}", f"so it is {sign}{plain} dollars.", f"7\n#### {sign}{plain}"):
        assert extract(text) == Fraction(sign + plain.replace(",", "")), text


def test_grades():
    assert grade("so 18.0", "16 - 3 - 4 = 9\n#### 18") == "right"
    assert grade("17", "#### 18") == "wrong"
    with pytest.raises(ValueError, match="the reference holds no number"):
        grade("17", "none")


def test_all_numbers_of_a_text_in_order():
    assert numbers("3 of 1,000 at -2.5 each") == [3, 1000, Fraction(-5, 2)]


def test_exact_match_needs_the_end_mark_and_allows_more_after_it():
    assert is_exact([4, 6, 9, 1], [4, 6, 9])
    assert not is_exact([4, 6], [4, 6, 9])
    assert not is_exact([4, 6, 1], [4, 6, 9])
    assert not is_exact([], [])
