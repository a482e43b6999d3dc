"""Receipts are held against the arms of their cell; sound ones raise no alarm, whatever the factors."""

import polars as pl
import pytest

from lesion.interventions.intervention import Mean, Receipt, Resample, Scale
from lesion.interventions.site import head
from lesion.study.arms.arm import BASELINE, Arm, made
from lesion.study.arms.condition_columns import older_condition
from lesion.study.gates.evidence.soundness import does_as_named, unsound_cells, unsound_receipts
from lesion.study.plan import Cell
from lesion.study.rows import ITEMS


def scaled(name: str, alpha: float, number: int = 0) -> Arm:
    return made(older_condition(name), Scale(sites=(head(0, number),), alpha=alpha))


def receipt(l2: float, **changed: float) -> Receipt:
    return Receipt(**{"forwards": 2, "firings": 2, "modules": 1, "elements": 64, "l2_change": l2, **changed})  # pyright: ignore


def said(told: dict[str, Receipt], *arms: Arm) -> list[str]:
    """What is said of receipts when every arm answers in its own way."""
    cell = Cell(stage="confirm", model="m", tier="t", split="confirm", stop=4, arms=(BASELINE, *arms))
    rows = [
        {
            "stage": "confirm", "model": "m", "tier": "t", "split": "confirm", "seed": 0, "index": index,
            "arm": arm.name, "item_id": f"{index}", "correct": True, "answer_logprob": -1.0 - place, "ties": 0,
            "margin": 1.0, "entropy": 1.0, "logit_diff": 1.0,
        }
        for place, arm in enumerate((BASELINE, *arms))
        for index in range(4)
    ]  # fmt: skip
    return list(unsound_receipts(cell, told.items(), pl.DataFrame(rows, schema=ITEMS)))


def test_zero_and_two_change_activations_by_the_same_number_and_are_sound() -> None:
    arms = (scaled("target@0", 0.0), scaled("target@2", 2.0), scaled("target@1.5", 1.5))
    assert said({"target@0": receipt(3.0), "target@2": receipt(3.0), "target@1.5": receipt(1.5)}, *arms) == []


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"target@0": receipt(3.0), "target@1.5": receipt(3.0)}, "target@1.5 has the receipt of target@0"),
        ({"target@0": receipt(3.0)}, "target@1.5 was measured and has no receipt"),
        ({"target@0": receipt(3.0, firings=1), "target@1.5": receipt(1.5)}, "target@0 fired 1 times in 2 passes"),
        ({"target@0": receipt(3.0, elements=32), "target@1.5": receipt(1.5)}, "different numbers of elements"),
        ({"target@0": receipt(0.0), "target@1.5": receipt(1.5)}, "target@0 changed no activation by its receipt"),
    ],
)
def test_a_receipt_that_does_not_fit_its_arm_is_named(told: dict[str, Receipt], words: str) -> None:
    found = said(told, scaled("target@0", 0.0), scaled("target@1.5", 1.5))
    assert any(words in each for each in found), found


def test_rounding_is_that_of_the_type_of_number() -> None:
    """A set that writes nothing answers a step of bfloat16 away; in float32 that would be another edit's answer."""
    cell = Cell(stage="confirm", model="m", tier="t", split="confirm", stop=1, arms=(BASELINE, scaled("set0@0", 0.0)))
    row = {
        "stage": "confirm", "model": "m", "tier": "t", "split": "confirm", "seed": 0, "index": 0, "item_id": "0",
        "correct": True, "ties": 0, "margin": 1.0, "entropy": 1.0, "logit_diff": 1.0,
    }  # fmt: skip
    rows = pl.DataFrame(
        [{**row, "arm": "baseline", "answer_logprob": -1.0}, {**row, "arm": "set0@0", "answer_logprob": -1.06}],
        schema=ITEMS,
    )
    told = {"set0@0": receipt(0.0, max_logit_change=0.06)}
    assert list(unsound_receipts(cell, told.items(), rows, "bfloat16")) == []
    assert list(unsound_receipts(cell, told.items(), rows))


def test_sets_that_differ_in_sites_that_write_nothing_are_sound() -> None:
    one = made(older_condition("set0@0"), Scale(sites=(head(0, 0),), alpha=0.0))
    two = made(older_condition("set1@2"), Scale(sites=(head(0, 0), head(0, 3)), alpha=2.0))
    assert said({"set0@0": receipt(3.0), "set1@2": receipt(3.0, elements=128)}, one, two) == []


def test_an_arm_that_does_something_else_than_its_name_says_is_told() -> None:
    sites, name = (head(0, 0),), "0" * 64
    mean = Mean(sites=sites, reference=name, by="layout")
    sound = [
        BASELINE, scaled("target@0", 0.0), scaled("target@0.1", 0.1), scaled("target@zero", 0.0),
        scaled("placebo", 1.0), made(older_condition("set3@mean"), mean),
        made(older_condition("target@resample"), Resample(sites=sites, reference=name, seed=0)),
    ]  # fmt: skip
    assert all(map(does_as_named, sound))
    wrong = [
        scaled("target@0", 0.5), scaled("target@zero", 0.5), scaled("placebo", 0.0), scaled("target@mean", 0.0),
        made(older_condition("target@resample"), mean), made(older_condition("target@2")), scaled("baseline", 1.0),
    ]  # fmt: skip
    assert not any(map(does_as_named, wrong))
    cell = Cell(stage="discovery", model="m", tier="t", stop=4, arms=(BASELINE, *wrong))
    assert len(list(unsound_cells([cell], {}))) == len(wrong)
    assert not list(unsound_cells([cell.model_copy(update={"arms": tuple(sound)})], {}))
