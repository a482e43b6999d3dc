"""One row says what a stage asks, measures and leads to; the stored evidence and the names agree with it."""

from typing import get_args

import pytest

from lesion.report.page import gates as page
from lesion.study.gates.gate_verdict import EVIDENCE, Evidence
from lesion.study.plan import StageName
from lesion.study.stages.stage_table import STAGES


def test_every_stage_has_a_row_and_evidence_in_the_order_of_the_names():
    assert list(STAGES) == list(get_args(StageName))
    assert set(EVIDENCE) == set(STAGES)


def test_the_report_shows_every_type_of_evidence():
    assert set(page._TABLES) == set(get_args(Evidence)) == set(EVIDENCE.values())


@pytest.mark.parametrize("name", get_args(StageName))
def test_a_row_asks_a_question_and_says_what_its_failure_means(name: StageName):
    assert STAGES[name].question.endswith("?")
    assert STAGES[name].consequence.startswith("so ")
