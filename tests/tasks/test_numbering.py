"""Numbering: bijections, parts and lanes."""

import hashlib
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lesion.errors import InputError
from lesion.tasks.drawing.numbering import PARTS, Lane, Permutation, Stratum, chosen, part_size

SEEDS = 3


def lanes(pool: int, part: str, key: str = "k") -> list[Lane]:
    return [Lane((Stratum("x", pool),), part, key, seed, SEEDS) for seed in range(SEEDS)]


def numbers(lane: Lane) -> list[int]:
    return [lane.at(i).number for i in range(lane.capacity)]


@settings(deadline=None, max_examples=60)
@given(size=st.integers(1, 700), key=st.integers(0, 99))
def test_a_permutation_meets_every_number_once(size: int, key: int):
    assert sorted(map(Permutation(size, key), range(size))) == list(range(size))


@settings(deadline=None)
@given(size=st.integers(1, 2**200), key=st.integers(0, 9), data=st.data())
def test_a_permutation_of_any_size_stays_inside_and_never_meets(size: int, key: int, data: st.DataObject):
    permutation = Permutation(size, key)
    positions = data.draw(st.lists(st.integers(0, size - 1), unique=True, max_size=20))
    values = [permutation(position) for position in positions]
    assert all(0 <= value < size for value in values)
    assert len(set(values)) == len(values)


@pytest.mark.parametrize("size", [5, 16, 30])
def test_over_many_keys_every_number_is_first_equally_often(size: int):
    keys = 200 * size
    firsts = Counter(Permutation(size, "uniform", key)(0) for key in range(keys))
    chi2 = sum((firsts[value] - 200) ** 2 / 200 for value in range(size))
    assert chi2 < (size - 1) + 5 * (2 * (size - 1)) ** 0.5


def test_neighbours_do_not_stay_neighbours():
    permutation = Permutation(10_000, "spread")
    steps = [abs(permutation(i + 1) - permutation(i)) for i in range(2000)]
    assert 3000 < sum(steps) / len(steps) < 3700  # a random permutation: a third of the size


def test_a_position_outside_the_pool_is_refused():
    with pytest.raises(InputError, match="position 5 lies outside a pool of 5"):
        Permutation(5, "k")(5)


@settings(deadline=None, max_examples=40)
@given(pool=st.integers(1, 900), seeds=st.integers(1, 5), key=st.integers(0, 99))
def test_parts_and_lanes_are_disjoint_and_together_the_whole_pool(pool: int, seeds: int, key: int):
    stratum = (Stratum("x", pool),)
    found = [
        number
        for part in PARTS
        for seed in range(seeds)
        for number in numbers(Lane(stratum, part, f"{key}{part}", seed, seeds))
    ]
    assert sorted(found) == list(range(pool))


def test_parts_have_two_one_and_thirteen_sixteenths():
    assert [part_size(1600, part) for part in ("discovery", "shots", "confirm")] == [200, 100, 1300]


def test_another_key_orders_a_part_anew_but_never_leaves_it():
    one, other = (Lane((Stratum("x", 5000),), "confirm", key, 0, 1) for key in ("a", "b"))
    assert set(numbers(one)) == set(numbers(other))
    assert numbers(one) != numbers(other)


def test_strata_take_turns_until_the_first_is_empty():
    lane = Lane((Stratum("a", 1600), Stratum("b", 160), Stratum("c", 1600)), "confirm", "k", 0, 1)
    assert [lane.at(i).stratum for i in range(7)] == [0, 1, 2, 0, 1, 2, 0]
    assert lane.capacity == 3 * 130 + 1


def test_asking_more_than_a_lane_holds_names_what_it_holds():
    lane = lanes(100, "confirm")[0]
    with pytest.raises(InputError, match=r"999 items were asked for, but seed 0 of 3 holds 27 in its confirm part"):
        lane.places(0, 999)
    with pytest.raises(InputError, match="first must lie"):
        lane.places(3, 2)
    with pytest.raises(InputError, match=r"numbered 0 … 2"):
        Lane((Stratum("x", 10),), "confirm", "k", 3, 3)


@pytest.mark.parametrize(
    ("pool", "digest"),
    [
        (10, "b0a0ffe1c4c68393"),
        (20_000, "3b55ec4da1d8c993"),
        (10**12 + 39, "ffa6df556bb0526a"),
        (3**150, "4eadf3dff0f7a57c"),
    ],
)
def test_the_numbers_are_these_on_every_machine(pool: int, digest: str):
    text = " ".join(str(lane.at(i).number) for lane in lanes(pool, "confirm") for i in range(min(100, lane.capacity)))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == digest


def test_choices_are_fixed_and_even():
    counts = Counter(chosen(4, "x", i) for i in range(4000))
    assert max(counts.values()) < 1100
    assert chosen(1000, "golden") == 242
