"""The page tells the rule's error rates as they were found once, and whether they are those of the study's own rule."""

from dataclasses import asdict

import pytest

from lesion.report.wording.error_rates import calibrated, promises_of
from lesion.stats.calibration.promises import coverage, promises
from lesion.stats.verdict.rule import Rule
from lesion.study.study import Study


@pytest.fixture(scope="module")
def study(manifest) -> Study:
    return manifest.study


def test_the_shipped_calibration_is_of_the_default_rule_and_answers_every_promise():
    found = calibrated()
    assert found["rule"] == asdict(Rule())
    assert not found["quick"]
    told = {found["false_positive"]["promise"], found["false_null"]["promise"], found["coverage"]["promise"]}
    told |= {rate["promise"] for rate in found["others"]}
    assert {promise.says for promise in promises(Rule(), quick=False)} <= told
    assert found["holds"]


def test_what_needs_no_simulation_is_what_was_shipped():
    assert coverage(Rule(), quick=True).rate >= calibrated()["coverage"]["rate"] >= 0.935


def test_a_study_with_the_default_rule_is_told_its_own_rates_with_bounds_and_origin(study, monkeypatch):
    monkeypatch.setattr("lesion.report.wording.error_rates.rule_of", lambda _: Rule())
    told = promises_of(study)
    assert told.sentences[0] == "This study's rule is the one that was simulated."
    assert "seed 0" in told.origin
    rates, power = told.tables
    assert rates.columns[2] == "95 % bound"
    named = [each for each in calibrated().values() if isinstance(each, dict) and "promise" in each]
    assert len(rates.rows) == len(named) + len(calibrated()["others"])
    assert [row[0] for row in power.rows] == [f"{points}" for points in range(8)]


def test_a_study_with_another_rule_is_told_what_differs(study):
    rule = study.verdict.model_copy(update={"margin": 0.02})
    seeds = study.baseline.model_copy(update={"seeds": 5})
    told = promises_of(study.model_copy(update={"verdict": rule, "baseline": seeds}))
    assert (
        "margin 0.02 instead of 0.03; the first rule instead of the second; 5 seeds instead of 3" in told.sentences[0]
    )
    assert "not its own" in told.sentences[0]
