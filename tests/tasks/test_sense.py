"""Items make sense as every task writes them, and what makes none is named."""

import dataclasses

import pytest

from lesion.tasks.catalogue import make_task
from lesion.tasks.drawing.numbering import Lane
from lesion.tasks.item_check import nonsense
from lesion.tasks.spelling import parse_task
from lesion.tasks.task import Draw, Item, Segment

FORMATS = ("compact", "spaced", "spaced_digits", "reversed_digits", "words")
SPELLED = (
    *(f"arithmetic format={name} operators=+,-,* high=99 shots=3" for name in FORMATS),
    "arithmetic high=99 beyond=129 shots=2",
    "symbolic", "analogy", "multistep shots=2", "word_problems shots=2",
)  # fmt: skip


def items(spelled: str, count: int = 100) -> list[Item]:
    return list(make_task(parse_task(spelled)).items(Draw("discovery", "sense", 0, 1), 0, count))


@pytest.mark.parametrize("spelled", SPELLED)
def test_no_task_makes_nonsense(spelled: str) -> None:
    sums = spelled.startswith("arithmetic")
    assert [said for item in items(spelled) if (said := nonsense(item, sums=sums))] == []


def test_what_makes_no_sense_is_named() -> None:
    item = items("arithmetic high=99 shots=1", 1)[0]
    asked = "".join(s.text for s in item.segments if s.role != "shot")
    leaked = dataclasses.replace(item, segments=(Segment(asked + item.answer, "shot"), *item.segments))
    assert "own answer" in nonsense(leaked, sums=True)
    assert "twin" in nonsense(dataclasses.replace(item, wrong=item.answer), sums=True)
    wrong = dataclasses.replace(item, answer="99999;")
    assert "is not so" in nonsense(wrong, sums=True)
    assert nonsense(wrong, sums=False) == "", "the signs of a task of one's own may mean something else"
    bad_example = dataclasses.replace(item, segments=(Segment("2+2=5;", "shot"), *item.segments))
    assert nonsense(bad_example, sums=True) == "2+2=5 is not so: it is 4"


def test_a_lane_that_asks_twice_ends_the_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    from lesion.study.selftest.selftest import _lanes

    at = Lane.at
    monkeypatch.setattr(Lane, "at", lambda lane, item: at(lane, item - item % 2)._replace(item=item))
    assert list(_lanes()) == ["a lane through a task's numbers asks a problem twice"]
