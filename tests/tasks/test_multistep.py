"""Several operations, recomputed from the text."""

import re
from collections import Counter
from hashlib import sha256
from typing import get_args

import pytest
from pydantic import ValidationError

from lesion.tasks.config import Form, MultistepConfig
from lesion.tasks.drawing.heldout import held_out
from lesion.tasks.problems.multistep import MultistepTask, kind_of
from lesion.tasks.task import Draw, Item

FORMS = get_args(Form)
LANE = Draw("confirm", "k", 1, 3)


def query(item: Item) -> str:
    return "".join(text for text, role in item.segments if role != "shot")


def numbers(text: str) -> list[int]:
    return [int(x) for x in re.findall(r"\d+", text)]


def test_answers_are_right_and_never_negative():
    for item in MultistepTask(MultistepConfig(forms=FORMS)).items(LANE, 0, 1300):
        text = query(item)
        assert item.answer == f"{eval(text.removesuffix('='))};"
        assert not item.answer.startswith("-")
        assert re.sub(r"\d+", "x", text.removesuffix("=")) == re.sub(r"[a-d]", "x", item.buckets["form"])


def test_the_embedded_tier_is_all_chains_below_fifty_with_their_held_out_key():
    task = MultistepTask(MultistepConfig())
    assert task.pool == sum(min(a + b, 49) + 1 for a in range(50) for b in range(50))
    items = list(task.items(LANE, 0, 3000))
    for item in items:
        a, b, c = numbers(query(item))
        assert query(item) == f"{a}+{b}-{c}="
        assert max(a, b, c) < 50
        assert a + b >= c
        assert item.buckets["pair"] == ("unseen" if held_out("+-", a, b, c) else "seen")
        assert item.buckets["operator"] == "+-"
    assert 0.28 < Counter(item.buckets["pair"] for item in items)["unseen"] / 3000 < 0.39


def test_carries_are_counted_over_all_steps():
    wanted = {(9, 1, 0): "one", (12, 3, 4): "none", (28, 5, 4): "cascading", (18, 14, 9): "cascading"}
    for (a, b, c), expected in wanted.items():
        task = MultistepTask(MultistepConfig())
        assert task._buckets("a+b-c", (a, b, c))["carry"] == expected
    assert MultistepTask(MultistepConfig())._buckets("a-b+c", (3, 9, 8))["carry"] == "negative"


def test_direct_and_worked_answers_are_to_the_same_questions():
    direct = list(MultistepTask(MultistepConfig(forms=FORMS, shots=0)).items(LANE, 0, 260))
    worked = list(MultistepTask(MultistepConfig(forms=FORMS, shots=0, solution="worked")).items(LANE, 0, 260))
    for one, other in zip(direct, worked, strict=True):
        assert one.prompt == other.prompt
        assert other.answer.rpartition("=")[2] == one.answer
        assert {eval(part) for part in other.answer.removesuffix(";").split("=")} == {int(one.answer[:-1])}


@pytest.mark.parametrize("config", [MultistepConfig(forms=FORMS), MultistepConfig(forms=FORMS, solution="worked")])
def test_a_twin_changes_one_operand_and_keeps_the_length(config: MultistepConfig):
    for item in MultistepTask(config).items(LANE, 0, 650):
        twin = "".join(text for text, role in item.twin if role != "shot")
        changed = [x != y for x, y in zip(numbers(query(item)), numbers(twin), strict=True)]
        assert sum(changed) == 1
        assert len(twin) == len(query(item))
        assert item.wrong != item.answer
        if config.solution == "direct":
            assert len(item.wrong) == len(item.answer)
            assert item.wrong == f"{eval(twin.removesuffix('='))};"


def test_roles_name_operands_signs_and_brackets():
    (item,) = MultistepTask(MultistepConfig(forms=("(a+b)*c",), shots=0, format="equation")).items(LANE, 0, 1)
    assert [role for _, role in item.segments] == [
        "bracket", "operand_1", "operator", "operand_2", "bracket", "operator", "operand_3", "equals",
    ]  # fmt: skip
    assert re.fullmatch(r"\( \d+ \+ \d+ \) \* \d =", item.prompt)


def test_kinds_of_forms():
    assert [kind_of(form) for form in ("a+b-c", "a+b*c", "(a+b)*c")] == ["chain", "precedence", "brackets"]


def test_operands_beside_a_product_have_their_own_range():
    for item in MultistepTask(MultistepConfig(forms=("a+b*c",), shots=0)).items(LANE, 0, 200):
        _, b, c = numbers(item.prompt)
        assert 2 <= min(b, c) <= max(b, c) <= 9


def test_a_range_too_wide_to_count_is_refused():
    with pytest.raises(ValidationError, match="too wide to count"):
        MultistepConfig(forms=("a+b-c+d",), high=999)


def test_the_items_are_these_on_every_machine():
    ids = "".join(item.id for item in MultistepTask(MultistepConfig(forms=FORMS)).items(LANE, 0, 300))
    assert sha256(ids.encode()).hexdigest()[:16] == "310bb0be09244dd1"
