"""The scenario's word never stands without specificity; `lesion show` names cells as the report does."""

from dataclasses import replace

import pytest

from lesion.report.terminal.records import show_words, shown
from lesion.report.wording.scenario_words import scenario_words


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("specific", "Harm, specificity shown"),
        ("not specific", "Harm, specificity not shown"),
        ("not evaluable", "Harm, specificity not evaluable"),
        ("not asked", "Harm, specificity not evaluable"),
    ],
)
def test_an_effect_says_whether_it_is_specific(claimed, status: str, words: str) -> None:
    name = "zoo:abacus-llama|tier2|target@resample"
    results = claimed.manifest.results
    ranks = {**results.specific, name: replace(results.ranks[name], status=status)}
    changed = claimed.manifest.model_copy(update={"results": results.model_copy(update={"specific": ranks})})
    assert scenario_words(changed) == words, "the positive control counts for nothing"


def test_several_effects_are_counted(claimed) -> None:
    study = claimed.manifest.study.model_copy(update={"positive_control": None})
    results = claimed.manifest.results.model_copy(update={"positive_control": None})
    changed = claimed.manifest.model_copy(update={"study": study, "results": results})
    assert scenario_words(changed) == "Harm, specificity shown in 1, not evaluable in 1 of 2 effects"


def test_a_null_and_a_run_of_format_1_have_the_word_alone(claimed, manifest) -> None:
    null = claimed.manifest.results.model_copy(update={"scenario": "Null"})
    assert scenario_words(claimed.manifest.model_copy(update={"results": null})) == "Null"
    assert scenario_words(manifest) == manifest.results.scenario


def test_show_names_cells_as_the_report_does(claimed) -> None:
    document = shown(claimed.manifest, claimed.folder)
    text = " ".join(show_words(document).split())
    assert "verdict resample-ablating on sums and differences beyond 99: Harm" in text
    assert "scenario Harm, specificity shown" in text
    assert "target@" not in text
    assert {*document["verdicts"]} == {*document["labels"]}, "programs still get the names of the record"
