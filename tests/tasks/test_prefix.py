"""Items behind several sets of few-shot examples."""

from collections import Counter

import pytest

from lesion.tasks.catalogue import make_task
from lesion.tasks.spelling import parse_task
from lesion.tasks.task import OWN_PREFIX, RUN, Draw

LANE = Draw("confirm", "k", 1, 3)
SHOWN = ["arithmetic", "multistep", "word_problems"]
FIRST = "e8d59dcdcff3bbebaa94deb96d42cd47b7a53b6f44c5f9bbabaa425e4b07d3fa"


def asked(name: str, draw: Draw, stop: int = 400):
    return list(make_task(parse_task(name)).items(draw, 0, stop))


@pytest.mark.parametrize("name", [*SHOWN, "symbolic"])
def test_with_one_prefix_the_items_are_those_of_old_and_have_no_such_bucket(name: str):
    plain = asked(name, LANE)
    assert [item.id for item in plain] == [item.id for item in asked(name, LANE._replace(prefixes=1, prefix=0))]
    assert all("prefix" not in item.buckets for item in plain)


def test_an_item_of_the_published_study_still_has_its_hash():
    (first,) = asked("arithmetic low=0 high=119 shots=2", Draw("confirm", "k", 0, 3), 1)
    assert first.id == FIRST


@pytest.mark.parametrize("name", SHOWN)
def test_sixteen_items_in_a_row_share_a_prefix_and_the_problems_stay_what_they_were(name: str):
    plain, many = asked(name, LANE), asked(name, LANE._replace(prefixes=12))
    for one, other in zip(plain, many, strict=True):
        assert (one.answer, one.wrong) == (other.answer, other.wrong)
        assert one.segments[2:] == other.segments[2:]
        assert other.buckets == {**one.buckets, "prefix": f"s1p{one.index // RUN % 12:02d}"}
    behind = {item.buckets["prefix"]: item.segments[:2] for item in many}
    assert len(behind) == len(set(behind.values())) == 12
    assert all(item.segments[:2] == behind[item.buckets["prefix"]] for item in many)
    assert set(Counter(item.buckets["prefix"] for item in many[: 12 * RUN]).values()) == {RUN}


def test_every_item_may_have_examples_of_its_own_which_are_no_cluster():
    items = asked("arithmetic", LANE._replace(prefixes=OWN_PREFIX), 64)
    assert len({item.segments[:2] for item in items}) == 64
    assert all("prefix" not in item.buckets for item in items)


def test_a_discovery_problem_can_be_put_behind_a_confirmation_item_s_own_prefix():
    item = asked("arithmetic", LANE._replace(prefixes=12))[40]
    draw = Draw("discovery", "d", 0, 1, prefixes=12, prefix=LANE._replace(prefixes=12).prefix_of(40), examples="k:1")
    donor = asked("arithmetic", draw, 1)[0]
    assert donor.segments[:2] == item.segments[:2]
    assert donor.segments[2:] == asked("arithmetic", Draw("discovery", "d", 0, 1), 1)[0].segments[2:]


def test_a_task_without_examples_has_no_prefix():
    assert all("prefix" not in item.buckets for item in asked("symbolic", LANE._replace(prefixes=12)))
    assert all("prefix" not in item.buckets for item in asked("arithmetic shots=0", LANE._replace(prefixes=12)))
