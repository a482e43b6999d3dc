"""Stability of a chosen set: known answers for sets that must be found again, and for sets that cannot be."""

import numpy as np
import pytest

from lesion.identity import generator
from lesion.report.wording.evidence.stability import words
from lesion.stats.stability import FLOOR, highest, jaccard, largest, stability


def draw(name: str) -> np.random.Generator:
    return generator("test stability", name)


def test_the_index_is_shared_over_all() -> None:
    one, other = frozenset({1, 2, 3}), frozenset({2, 3, 4})
    assert jaccard(one, other) == 0.5
    assert jaccard(one, one) == 1
    assert jaccard(one, frozenset()) == 0


def test_the_rules_take_the_highest_and_the_furthest_from_zero() -> None:
    scores = np.array([0.1, -0.9, 0.5, 0.2])
    assert highest(2)(scores) == {2, 3}
    assert highest(2, 0.3)(scores) == {2}
    assert highest(9)(scores) == {0, 1, 2, 3}
    assert largest(2)(scores) == {1, 2}


def test_sites_that_every_item_prefers_are_found_again_in_every_resample() -> None:
    scores = np.tile([1.0, 0.9, 0.1, 0.0], (20, 1)) + 0.01 * draw("noise").normal(size=(20, 4))
    found = stability(scores, highest(2), draw("a"), again=np.array([1.0, 0.8, 0.0, 0.0]))
    assert found is not None
    assert (found.jaccard, found.low, found.high, found.again, found.chosen) == (1, 1, 1, 1, 2)
    assert found.stable
    assert words(found) == "stable: Jaccard 1.00 (1.00 to 1.00) over 20 resampled items; second draw 1.00"


def test_a_choice_among_equal_sites_is_not_stable() -> None:
    """A resample shares most items with the whole set, so even here half of a chosen pair is found again."""
    found = stability(draw("equal").normal(size=(12, 40)), highest(2), draw("b"))
    assert found is not None
    assert found.jaccard < 0.7 < FLOOR
    assert not found.stable
    assert words(found).startswith("NOT STABLE (below 0.8): Jaccard")


def test_a_site_that_rests_on_one_template_is_seen_when_it_is_left_out() -> None:
    """Site 1 is high in template b alone; without b site 2 takes its place."""
    scores = np.array([[1.0, 0.0, 0.3]] * 8 + [[1.0, 9.0, 0.3]] * 2)
    found = stability(scores, highest(2), draw("c"), templates=["a"] * 4 + ["d"] * 4 + ["b"] * 2)
    assert found is not None
    assert found.left_out == {"a": 1.0, "b": pytest.approx(1 / 3), "d": 1.0}
    assert not found.stable
    assert "least with one template left out 0.33 (b)" in words(found)
    alone = stability(scores, highest(2), draw("c"), templates=["a"] * 10)
    assert alone is not None
    assert alone.left_out == {}


def test_a_second_draw_that_chooses_others_is_not_stable() -> None:
    scores = np.tile([1.0, 0.0], (10, 1))
    found = stability(scores, highest(1), draw("d"), again=np.array([0.0, 1.0]))
    assert found is not None
    assert (found.jaccard, found.again, found.stable) == (1, 0, False)


def test_where_nothing_is_chosen_there_is_no_stability() -> None:
    assert stability(np.zeros((5, 3)), highest(2, 0.5), draw("e")) is None
    assert words(None) == "–"
