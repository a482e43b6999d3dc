"""Arithmetic items, recomputed here by an independent reading of their text."""

import re
import resource
from collections import Counter
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lesion.errors import InputError
from lesion.tasks.config import ArithmeticConfig
from lesion.tasks.drawing.heldout import held_out
from lesion.tasks.formats import in_words
from lesion.tasks.problems.arithmetic import ArithmeticTask
from lesion.tasks.task import Draw, Item

ALL = ("+", "-", "*")


def draw(seed: int = 0, split: str = "confirm", key: str = "k", seeds: int = 3) -> Draw:
    return Draw(split, key, seed, seeds)


def read(text: str) -> tuple[int, str, int]:
    a, operator, b = re.fullmatch(r"\s*(\d+)\s*([-+*])\s*(\d+)\s*=", text).groups()
    return int(a), operator, int(b)


def query(item: Item) -> tuple[int, str, int]:
    return read("".join(text for text, role in item.segments if role != "shot"))


def result(a: int, operator: str, b: int) -> int:
    return {"+": a + b, "-": a - b, "*": a * b}[operator]


def columns(a: int, operator: str, b: int) -> str:
    """Carries or borrows on paper, digit strings from the right."""
    width = max(len(str(a)), len(str(b)))
    moved, count = 0, 0
    for x, y in zip(reversed(str(a).zfill(width)), reversed(str(b).zfill(width)), strict=True):
        moved = int(int(x) + int(y) + moved >= 10) if operator == "+" else int(int(x) - moved < int(y))
        count += moved
    return {0: "none", 1: "one"}.get(count, "cascading")


@pytest.mark.parametrize("config", [ArithmeticConfig(), ArithmeticConfig(operators=ALL, beyond=199, shots=5)])
def test_answers_and_buckets_agree_with_an_independent_reading(config: ArithmeticConfig):
    for item in ArithmeticTask(config).items(draw(1), 0, 1500):
        a, operator, b = query(item)
        assert item.answer == f"{result(a, operator, b)};"
        expected = columns(a, operator, b)
        if operator == "*":
            expected = "table" if a <= 12 and b <= 12 else "partial"
        elif operator == "-" and a < b:
            expected = "negative"
        assert dict(item.buckets) == {
            "operator": operator,
            "carry": expected,
            "pair": "unseen" if held_out(operator, a, b) else "seen",
            "digits": f"{len(str(a))}+{len(str(b))}",
        }


@pytest.mark.parametrize("beyond", [None, 14])
def test_problems_are_a_bijection_onto_the_allowed_pairs(beyond: int | None):
    config = ArithmeticConfig(operators=ALL, low=2, high=9, factor_low=3, factor_high=7, beyond=beyond)
    task = ArithmeticTask(config)
    found = [task.problem(k, n) for k in range(3) for n in range(task._strata[k].size)]
    expected = set()
    for operator in ALL:
        low, high = (3, 7) if operator == "*" else (2, 9)
        for a in range(low, (beyond or high) + 1):
            for b in range(low, (beyond or high) + 1):
                if beyond is None or (a > high) != (b > high):
                    expected.add((operator, a, b))
    assert len(found) == task.pool == len(expected)
    assert set(found) == expected


def test_no_problem_is_shared_by_seeds_splits_or_examples():
    task = ArithmeticTask(ArithmeticConfig(high=30, shots=8))
    asked: Counter[tuple[int, str, int]] = Counter()
    examples = set()
    for split in ("discovery", "confirm"):
        for seed in range(3):
            for item in task.items(draw(seed, split), 0, task.capacity(draw(seed, split))):
                asked[query(item)] += 1
                examples.update(read(text.partition("=")[0] + "=") for text, role in item.segments if role == "shot")
    assert max(asked.values()) == 1
    assert examples
    assert not examples & set(asked)


def test_items_do_not_depend_on_how_many_are_drawn_nor_in_what_order():
    task, again = ArithmeticTask(ArithmeticConfig()), ArithmeticTask(ArithmeticConfig())
    many = list(task.items(draw(), 0, 50))
    assert list(again.items(draw(), 30, 40)) == many[30:40]
    assert [next(again.items(draw(), i, i + 1)) for i in (7, 3)] == [many[7], many[3]]


def test_a_seed_draws_other_items_and_other_examples_for_the_same_key():
    task = ArithmeticTask(ArithmeticConfig(shots=4))
    examples = [task.examples(draw(seed)) for seed in range(3)]
    assert len(set(examples)) == 3
    assert [read(text.partition("=")[0] + "=")[1] for text, _ in examples[0]] == ["+", "-", "+", "-"]
    assert task.examples(draw(0, key="other")) != examples[0]
    assert len({item.segments[:4] for item in task.items(draw(2), 0, 20)}) == 1


def test_operators_and_both_orders_of_the_large_operand_have_equal_shares():
    items = list(ArithmeticTask(ArithmeticConfig(beyond=199)).items(draw(), 0, 1000))
    assert Counter(item.buckets["operator"] for item in items) == {"+": 500, "-": 500}
    large = Counter(query(item)[0] > 99 for item in items)
    assert 430 < large[True] < 570


def test_roles_cover_the_characters_they_name():
    (item,) = ArithmeticTask(ArithmeticConfig(shots=1, format="equation")).items(draw(), 0, 1)
    assert [role for _, role in item.segments] == ["shot", "operand_1", "operator", "operand_2", "equals"]
    a, operator, b = query(item)
    assert [text for text, _ in item.segments[1:]] == [f"{a}", f" {operator}", f" {b}", " ="]
    assert re.fullmatch(r"\d+ [-+] \d+ = -?\d+\n", item.segments[0].text)


@settings(deadline=None, max_examples=60)
@given(
    low=st.integers(0, 120),
    width=st.integers(0, 120),
    more=st.one_of(st.none(), st.integers(1, 300)),
    operator=st.sampled_from(ALL),
)
def test_a_twin_changes_one_operand_and_the_answer_but_no_length(low: int, width: int, more: int | None, operator: str):
    high = low + width
    config = ArithmeticConfig(
        operators=(operator,),
        low=low,
        high=high,
        factor_low=max(1, low),
        factor_high=max(1, high),
        beyond=None if more is None else max(1, high) + more,
        shots=0,
    )
    task = ArithmeticTask(config)
    for item in task.items(draw(seeds=1), 0, min(20, task.capacity(draw(seeds=1)))):
        a, _, b = query(item)
        c, same, d = read("".join(text for text, _ in item.twin))
        assert same == operator
        assert (a == c) + (b == d) == 1
        assert item.wrong == f"{result(c, operator, d)};" != item.answer
        assert len(item.wrong) == len(item.answer)
        assert [len(text) for text, _ in item.twin] == [len(text) for text, _ in item.segments]


@pytest.mark.parametrize("operator", ["+", "-", "*"])
@pytest.mark.parametrize(("which", "kept"), [("first", 2), ("second", 0)])
def test_a_study_may_say_which_number_the_twin_changes(which: str, kept: int, operator: str):
    config = {"operators": [operator], "low": 10, "high": 99, "factor_low": 2, "factor_high": 30, "shots": 1}
    either, one = (
        ArithmeticTask(ArithmeticConfig.model_validate({**config, **more})) for more in ({}, {"twin": which})
    )
    for plain, item in zip(either.items(draw(), 0, 40), one.items(draw(), 0, 40), strict=True):
        assert (item.segments, item.answer) == (plain.segments, plain.answer), "the clean prompts are the same"
        own, other = query(item), read("".join(text for text, role in item.twin if role != "shot"))
        assert own[kept] == other[kept]
        assert own[2 - kept] != other[2 - kept]
        assert result(*other) != result(*own)
    assert "twin" not in either.config.model_dump(), "a study without the key has the hash that it had"


def test_every_pair_below_121_has_a_twin():
    for operator in ALL:
        task = ArithmeticTask(ArithmeticConfig(operators=(operator,), high=120, factor_high=120))
        for number in range(task.pool):
            problem = task.problem(0, number)
            assert task._twin(problem).result != problem.result


def test_a_pool_that_is_too_small_is_refused():
    task = ArithmeticTask(ArithmeticConfig(high=9))
    with pytest.raises(InputError, match="widen the task's range"):
        task.items(draw(), 0, 500)
    with pytest.raises(InputError, match="shots part"):
        ArithmeticTask(ArithmeticConfig(high=3, shots=9)).items(draw(), 0, 1)


def test_the_embedded_tier_holds_three_seeds_of_two_looks():
    task = ArithmeticTask(ArithmeticConfig())
    assert [task.capacity(draw(seed)) for seed in range(3)] == [5418, 5416, 5416]
    assert task.capacity(draw(0, "discovery", seeds=1)) == 2500


@pytest.mark.parametrize(
    ("config", "prompt", "answer"),
    [
        (ArithmeticConfig(format="compact"), "63+77=140;40-71=-31;9-45=", "-36;"),
        (ArithmeticConfig(format="equation"), "63 + 77 = 140\n40 - 71 = -31\n9 - 45 =", " -36\n"),
        (ArithmeticConfig(format="spaced_digits"), "6 3 + 7 7 = 1 4 0\n4 0 - 7 1 = - 3 1\n9 - 4 5 =", " - 3 6\n"),
        (ArithmeticConfig(format="reversed_digits"), "63+77=041;40-71=-13;9-45=", "-63;"),
        (ArithmeticConfig(format="words", shots=0), "nine minus forty-five equals", " minus thirty-six\n"),
    ],
)
def test_formats_write_the_same_problem(config: ArithmeticConfig, prompt: str, answer: str):
    item = next(ArithmeticTask(config).items(draw(), 1, 2))
    assert (item.prompt, item.answer) == (prompt, answer)


@pytest.mark.parametrize("style", ["compact", "spaced", "spaced_digits", "reversed_digits", "words"])
def test_all_formats_ask_the_same_problems_and_differ_from_their_twins(style: str):
    plain = ArithmeticTask(ArithmeticConfig(operators=ALL, shots=0)).items(draw(), 0, 300)
    other = ArithmeticTask(ArithmeticConfig(operators=ALL, shots=0, format=style)).items(draw(), 0, 300)
    for one, same in zip(plain, other, strict=True):
        assert one.buckets == same.buckets
        assert same.answer != same.wrong
        assert sum(x != y for x, y in zip(same.segments, same.twin, strict=True)) == 1
        assert style == "words" or len(same.answer) == len(same.wrong)
        if style in ("spaced", "spaced_digits"):
            assert same.prompt.replace(" ", "") == one.prompt
            assert same.answer.replace(" ", "").replace("\n", ";") == one.answer
        if style == "reversed_digits":
            assert abs(int(same.answer[-2::-1].replace("-", ""))) == abs(int(one.answer[:-1]))


def test_numbers_are_written_in_words():
    assert [in_words(n) for n in (0, 12, 13, 15, 18, 20, 99)] == [
        "zero", "twelve", "thirteen", "fifteen", "eighteen", "twenty", "ninety-nine",
    ]  # fmt: skip
    assert in_words(100_018) == "one hundred thousand eighteen"
    assert in_words(-2_000_300) == "minus two million three hundred"
    assert len({in_words(n) for n in range(20_000)}) == 20_000


def test_the_items_are_these_on_every_machine():
    task = ArithmeticTask(ArithmeticConfig(operators=ALL, beyond=999))
    ids = "".join(item.id for item in task.items(draw(2), 0, 300))
    assert sha256(ids.encode()).hexdigest()[:16] == "300e6f70888c2f3e"


@pytest.mark.slow
def test_a_million_items_stream_in_constant_memory():
    stream = ArithmeticTask(ArithmeticConfig(high=9999)).items(draw(), 0, 10**6)
    for _ in range(500_000):  # fills the bounded caches
        next(stream)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert sum(1 for _ in stream) == 500_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 * 1024  # KiB
