"""A training's end follows from its recipe and what was measured along it."""

import pytest

from lesion.models.sizes import ZOO
from lesion.training.evaluation.card import Card
from lesion.training.recipe import load_recipe
from lesion.training.stopping import CHAINS, TIER_1, TIER_2, Until

UNTIL = Until(tier_1=0.88, tier_2=0.07, tier_4=0.5, most=0.995, cycle=10, cycles=2, peak=0.25)
ROOT = ZOO.parents[2]
TRAININGS = ROOT / "docs" / "trainings"


def measured(*rows):
    return [(step, {TIER_1: one, TIER_2: two, CHAINS: four}) for step, one, two, four in rows]


@pytest.mark.parametrize(
    ("rows", "end"),
    [
        ((), 100),
        (((50, 0.99, 0.5, 0.9), (100, 0.9, 0.5, 0.9)), 100),
        (((50, 0.995, 0.5, 0.9),), 50),
        (((50, 1.0, 0.06, 0.9),), 100),
        (((50, 1.0, 0.5, 0.4),), 100),
        (((50, 0.1, 0.0, 0.0),), 100),
        (((100, 0.87, 0.5, 0.9),), 110),
        (((100, 0.99, 0.5, 0.4),), 110),
        (((100, 0.87, 0.5, 0.9), (110, 0.88, 0.5, 0.9)), 110),
        (((100, 0.87, 0.5, 0.9), (105, 0.99, 0.5, 0.9), (110, 0.87, 0.5, 0.9)), 120),
        (((100, 0.87, 0.5, 0.9), (110, 0.87, 0.5, 0.9), (115, 1.0, 0.5, 0.9)), 115),
        (((100, 0.1, 0.5, 0.9), (110, 0.1, 0.5, 0.9), (120, 0.1, 0.5, 0.9)), 120),
    ],
)
def test_a_training_ends_when_its_measurements_say_so(rows, end):
    assert UNTIL.end(100, measured(*rows)) == end


def test_a_further_cycle_falls_from_its_own_peak_to_the_same_floor():
    rates = [UNTIL.rate(0.03, beyond) for beyond in range(20)]
    assert rates[0] == rates[10] == 0.25
    assert rates[:10] == sorted(rates[:10], reverse=True)
    assert UNTIL.rate(0.03, 5) == pytest.approx(0.14)


def test_a_band_that_is_upside_down_is_refused():
    with pytest.raises(ValueError, match="must lie above tier_1"):
        Until(tier_1=0.9, most=0.9)


@pytest.mark.parametrize(
    ("name", "card", "end"),
    [
        ("abacus-llama", ZOO / "abacus-llama" / "card.json", 4000),
        ("abacus-llama", TRAININGS / "abacus-llama-seed-1-steps-4000.json", 4000),
        ("abacus-llama", TRAININGS / "abacus-llama-seed-2-steps-4000.json", 5000),
        ("abacus-planted", ZOO / "abacus-planted" / "card.json", 6500),
        ("abacus-planted", TRAININGS / "abacus-planted-seed-1-steps-6500.json", 5500),
        ("abacus-planted", TRAININGS / "abacus-planted-seed-2-steps-6500.json", 6500),
    ],
)
def test_the_shipped_seeds_end_with_their_schedule_and_those_that_missed_a_bound_do_not(name, card, end):
    recipe = load_recipe(ROOT / "recipes" / f"{name}.yaml")
    history = Card.model_validate_json(card.read_bytes()).training.history
    ends = [
        recipe.until.end(recipe.steps, ((one.step, one.accuracy) for one in history[:upto]))
        for upto in range(len(history) + 1)
    ]
    assert ends[-1] == end
    assert set(ends) <= {recipe.steps, end}
