"""Double dissociations in a report: sentences that claim no more than was shown, a heat map, and the terminal."""

from typing import Any

import numpy as np
import pytest

from lesion.report.figures.dissociation import heat_map
from lesion.report.terminal.verdicts import notes_below
from lesion.report.wording.evidence.dissociations import cells, dissociation_view, said, shown
from lesion.stats.dissociation.judge import TaskRows, judge_dissociations, matrix
from lesion.stats.dissociation.question import every_question
from lesion.stats.paired.rows import PairedRows
from lesion.stats.verdict.rule import Rule

MODEL = "zoo:abacus-llama"


def task(seed: int, **kept: float) -> TaskRows:
    rng, index = np.random.default_rng(seed), np.arange(1_500)
    before = rng.random(1_500) < 0.9
    arms = {
        name: PairedRows(before, before & (rng.random(1_500) < share), index % 3, cluster=index % 36)
        for name, share in kept.items()
    }
    return TaskRows(arms, 0.1, 0.03)


def told(record: Any, tasks: dict[str, TaskRows]) -> Any:
    """The record, with these questions answered."""
    asked = every_question(("early", "late"), ("tier1", "tier2"))
    found = judge_dissociations(tasks, asked, Rule())
    model = record.manifest.study.models[0]
    results = record.manifest.results.model_copy(
        update={"dissociations": {model: found}, "matrix": {model: matrix(tasks, Rule())}}
    )
    return record._replace(manifest=record.manifest.model_copy(update={"results": results}))


@pytest.fixture(scope="module")
def apart(claimed: Any) -> Any:
    return told(claimed.record, {"tier1": task(1, early=0.97, late=0.4), "tier2": task(2, early=0.5, late=0.98)})


def test_the_sentence_names_both_leads_and_says_what_limits_it(apart: Any) -> None:
    (sentence,) = said(apart)
    assert sentence.startswith("Double dissociation: ")
    assert "late harms tier1" in sentence
    assert "early harms tier2" in sentence
    assert "points more than" in sentence
    assert "95 % CI +" in sentence
    assert "names no kind of head" in sentence, "no target's own effect was shown to be specific"
    assert "matter of degree" in sentence


def test_each_pair_is_shown_once_the_way_round_that_holds(apart: Any) -> None:
    (one,) = shown(apart.manifest)
    assert (one.found.verdict, one.found.tasks) == ("Double dissociation", ("tier2", "tier1"))
    assert "Double dissociation: early on tier2, late on tier1." in notes_below(apart.manifest)


def test_one_shared_circuit_is_said_to_be_none_with_the_lead_that_says_so(claimed: Any) -> None:
    record = told(claimed.record, {"tier1": task(3, early=0.8, late=0.4), "tier2": task(4, early=0.8, late=0.5)})
    (sentence,) = said(record)
    assert sentence.startswith("No double dissociation of ")
    assert "below the margin of 3 points" in sentence


def test_what_is_not_shown_either_way_is_inconclusive_and_names_the_condition(claimed: Any) -> None:
    record = told(claimed.record, {"tier1": task(5, early=0.97, late=0.4), "tier2": task(6, early=0.945, late=0.98)})
    (sentence,) = said(record)
    assert sentence.startswith("Inconclusive")
    assert "First condition that is not met" in sentence


def test_the_page_has_matrix_conditions_and_a_mark_in_the_heat_map(apart: Any) -> None:
    view = dissociation_view(apart)
    assert view is not None
    assert len(view.tables[1].rows) == 4
    assert any("late harms tier1 more than early does" in row[0] for row in view.details[0].rows)
    drawn = str(heat_map(cells(apart), 1, "change in accuracy, points"))
    assert "◆" in drawn
    assert "change in accuracy, points" in drawn
    marked = {(row["target"], row["task"]) for row in cells(apart).to_dicts() if row["holds"]}
    assert marked == {("late", "tier1"), ("early", "tier2")}


def test_several_models_have_a_map_each(apart: Any) -> None:
    rows = cells(apart)
    both = rows.vstack(rows.with_columns(model=rows["model"] + "-two"))
    spec = heat_map(both, 1, "points")
    assert len(spec["vconcat" if "vconcat" in spec else "concat"]) == 2


def test_a_study_without_questions_has_no_section(claimed: Any) -> None:
    assert dissociation_view(claimed.record) is None
    assert said(claimed.record) == []
