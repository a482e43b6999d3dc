"""Every check fails once, passes once, and is Ambiguous once where it can be; what blocks decides its stage."""

import pytest

from lesion.study.gates.checks import Check, contract, detector, instrument, quiet, reasons, room, worst
from tests.study.made import BROKEN, instrument_answer


@pytest.mark.parametrize(
    ("refused", "items", "outcome"),
    [(0, 64, "Pass"), (1, 64, "Ambiguous"), (2, 64, "Ambiguous"), (9, 64, "Fail"), (64, 64, "Fail"), (0, 0, "Fail")],
)
def test_the_tokenizer_contract_fails_only_where_the_sample_is_sure(refused: int, items: int, outcome: str) -> None:
    check = contract("tier1", refused, items, 0.01)
    assert check.outcome == outcome
    assert check.blocks == (outcome == "Fail"), "on doubt the baseline decides on all items"


@pytest.mark.parametrize(
    ("broken", "outcome"),
    [
        ({}, "Pass"),
        ({"identities": [BROKEN]}, "Fail"),
        ({"placebo_bit_equal": False}, "Fail"),
        ({"repeat_flips": 1}, "Fail"),
        ({"contract": {"tier1": {"items": 64, "refused": 64}}}, "Ambiguous"),
    ],
)
def test_the_instrument_passes_fails_or_was_never_tried(broken: dict[str, object], outcome: str) -> None:
    assert worst(instrument("model", instrument_answer(**broken), frozenset({"head"}))) == outcome


@pytest.mark.parametrize(
    ("correct", "outcome"),
    [(0, "Fail"), (2, "Fail"), (6, "Ambiguous"), (500, "Pass"), (960, "Ambiguous"), (970, "Fail"), (1000, "Fail")],
)
def test_floor_and_ceiling_are_told_before_interventions_and_block_nothing(correct: int, outcome: str) -> None:
    check = room("model|tier", correct, 1000, 0.03)
    assert (check.outcome, check.blocks) == (outcome, False)


@pytest.mark.parametrize(
    ("gained", "lost", "outcome"),
    [(0, 0, "Pass"), (3, 4, "Pass"), (60, 60, "Ambiguous"), (0, 20, "Ambiguous"), (0, 60, "Fail"), (60, 0, "Fail")],
)
def test_a_loud_control_is_told_apart_from_a_quiet_one_and_from_too_few_items(
    gained: int, lost: int, outcome: str
) -> None:
    assert quiet("control0@0", gained, lost, 512, 0.03).outcome == outcome


@pytest.mark.parametrize(
    ("scores", "again", "outcome"),
    [
        ([[0.1, 0.9]], [[0.1, 0.8]], "Pass"),
        ([[0.1, 0.55]], [[0.1, 0.45]], "Ambiguous"),
        ([[0.6, 0.1]], [[0.1, 0.6]], "Ambiguous"),
        ([[0.1, 0.2]], [[0.1, 0.2]], "Fail"),
    ],
)
def test_a_detector_must_find_the_same_head_twice(
    scores: list[list[float]], again: list[list[float]], outcome: str
) -> None:
    assert detector("model", scores, again, 0.5).outcome == outcome


def test_only_checks_that_block_decide_and_are_named() -> None:
    checks = [
        Check("a", "x", "Pass", "", True),
        Check("b", "x", "Fail", "loud", False),
        Check("c", "x", "Ambiguous", "?", True),
    ]
    assert worst(checks) == "Ambiguous"
    assert reasons(checks) == "x: ?"
    assert worst([]) == "Pass"
