"""Rows of mean and resample ablation that are doubled, foreign, missing or not finite make their cell Invalid."""

import polars as pl
import pytest

from lesion.study.gates.companions import spoiled_companion
from lesion.study.gates.evidence.paired_arms import arm_rows
from lesion.study.gates.gate_verdict import LookEvidence
from lesion.study.gates.judge import Facts
from lesion.study.plan import Chosen
from lesion.study.selftest.companions import CHOSEN, companion_rows, confirming, spoiled_rows
from lesion.study.selftest.known_rows import questions
from lesion.study.stages.stage_table import judge

SAID = {
    "doubled": "rows of the resample ablation are doubled",
    "another question's": "the resample ablation answered other items than the baseline",
    "not the baseline's": "the mean ablation answered other items than the baseline",
    "missing": "rows of the resample ablation are missing: 93, and 96 of the other",
    "not finite": "log-probabilities of the resample ablation are not finite",
}


def test_sound_companions_spoil_nothing() -> None:
    assert spoiled_companion(confirming(), companion_rows(), CHOSEN) is None


@pytest.mark.parametrize("what", SAID)
def test_the_gate_calls_a_cell_invalid_and_says_what_is_wrong_with_its_companion(what: str) -> None:
    own = pl.format("{}-{}", "seed", "item_id").alias("item_id")  # seeds that ask the same questions are another fault
    rows = spoiled_rows(companion_rows())[what].with_columns(own)
    assert spoiled_companion(confirming(), rows, CHOSEN) == SAID[what]
    told = judge(confirming(), Facts(rows, questions().with_columns(own), {})).saw(LookEvidence).verdicts[CHOSEN.id]
    assert told.verdict == "Invalid"
    if what != "not the baseline's":  # there the cell's own rows are seen first
        assert told.reason == SAID[what]


def test_a_factor_that_is_not_zero_has_no_companion_and_none_is_missed() -> None:
    half = Chosen(model=CHOSEN.model, tier="tier", alpha=0.5, items=32, psi=0.1, delta=0.0)
    assert spoiled_companion(confirming(), companion_rows(), half) is None
    assert arm_rows(companion_rows(), confirming(), half, "target@mean").height == 96
