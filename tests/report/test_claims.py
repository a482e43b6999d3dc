"""The sentences say what the rule allows, and no more."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lesion.report.findings import findings_of
from lesion.report.record import Record, read_record
from lesion.report.wording.caveats import limits, open_questions
from lesion.report.wording.claims import beside_zero, claim, status_words
from lesion.report.wording.headline import MOST_WORDS_1 as MOST_WORDS
from lesion.report.wording.headline import headline, in_full
from lesion.runs.manifest.run import Manifest
from lesion.stats.specificity.companion import Companion
from lesion.study.registration.registration import Registration
from lesion.study.results import PositiveControl
from tests.study.made import with_cell as changed_cell


@pytest.fixture(scope="module")
def record(run_folder: Path, manifest: Manifest) -> Record:
    return read_record(run_folder, manifest)


def with_results(record: Record, **changes: object) -> Record:
    """The record as if its results had been others."""
    manifest = record.manifest.model_copy(update={"results": record.manifest.results.model_copy(update=changes)})
    return record._replace(manifest=manifest, findings=findings_of(manifest))


def with_cell(record: Record, number: int, **changes: object) -> Record:
    """The record with one cell's verdict changed."""
    results = record.manifest.results
    return with_results(record, cells=changed_cell(results, list(results.cells)[number], **changes).cells)


def told(record: Record) -> str:
    """The headline and what stands in full below it."""
    return " ".join([headline(record), *in_full(record)])


def test_the_headline_is_one_short_sentence_that_names_harm_its_size_and_what_was_ruled_out(record):
    said = headline(record)
    assert "harms" in said
    assert "tier3" in said
    largest = min(finding.verdict.delta for finding in record.findings)
    assert f"−{abs(100 * largest):.1f} points" in said
    assert "ruled out" in said
    assert said.endswith(".")
    assert len(said.split()) <= MOST_WORDS


@pytest.mark.parametrize("status", ["exploratory", "confirmatory", "dry-run"])
@pytest.mark.parametrize("times", [1, 2, 3, 8])
def test_the_headline_keeps_to_its_words_however_many_cells_there_are(record, status, times):
    models = tuple(f"zoo:abacus-{name}" for name in ("llama", "gpt2", "neox", "planted", "a", "b", "c", "d"))[:times]
    study = record.manifest.study.model_copy(update={"models": models})
    targets = dict.fromkeys(models, record.manifest.plan.targets["zoo:abacus-llama"])
    plan = record.manifest.plan.model_copy(update={"targets": targets})
    manifest = record.manifest.model_copy(update={"study": study, "plan": plan, "status": status})
    findings = tuple(
        finding._replace(chosen=finding.chosen.model_copy(update={"model": model}))
        for model in models
        for finding in record.findings
    )
    many = record._replace(manifest=manifest, findings=findings)
    assert len(headline(many).split()) <= MOST_WORDS
    assert "harms" in headline(many)
    assert "tier3" in headline(many)
    if times > 1:
        assert f"{'both' if times == 2 else 'all'} " in headline(many)
        assert "models on " in headline(many)


def test_what_the_headline_leaves_out_stands_in_full_below_it(record):
    assert "ruled out for zeroing on tier1" in told(record)
    short = record._replace(findings=record.findings[-1:])
    assert in_full(short) == []


def test_several_models_heads_are_named_only_where_every_cell_licenses_it(record):
    models = ("zoo:abacus-llama", "zoo:abacus-gpt2")
    study = record.manifest.study.model_copy(update={"models": models})
    manifest = record.manifest.model_copy(update={"study": study})
    two = [f._replace(chosen=f.chosen.model_copy(update={"model": m})) for m in models for f in record.findings * 2]
    many = record._replace(manifest=manifest, findings=tuple(two))
    assert "the induction heads" in headline(many)
    harmed = next(i for i, f in enumerate(two) if f.verdict.verdict == "Harm")
    two[harmed] = two[harmed]._replace(licensed=False)
    assert "the selected heads" in headline(record._replace(manifest=manifest, findings=tuple(two)))


def test_an_exploratory_run_says_so_before_anything_else(record):
    assert headline(record).startswith("Exploratory: ")


def test_a_registered_run_points_to_what_changed_or_was_seen_before_it(record):
    registration = Registration(
        number=2, previous=None, time="", commit=None, clean=True, source_hash="", study=record.manifest.study,
        study_hash="", text="", amends=None, reason="", runs_seen=(), looked=(),
    )  # fmt: skip
    clean = record.manifest.model_copy(update={"status": "confirmatory", "registration": registration})
    assert "deviations" not in status_words(clean)
    amended = clean.model_copy(update={"deviations": ("Amended.",)})
    assert status_words(amended).endswith("What changed or was seen before that stands under the deviations.")


def test_a_dry_run_is_never_a_finding(record):
    dry = record._replace(manifest=record.manifest.model_copy(update={"status": "dry-run"}))
    assert headline(dry).startswith("Dry run, not a finding: ")
    assert "mean nothing" in status_words(dry.manifest)


def test_induction_heads_are_named_only_while_the_positive_control_holds(record):
    assert "the two induction heads" in headline(record)
    verdicts, holds = {"zoo:abacus-llama": "Null"}, {"zoo:abacus-llama": False}
    control = PositiveControl(tier="tier3", verdicts=verdicts, holds=holds)
    for changed in (with_results(record, positive_control=control), with_results(record, positive_control=None)):
        said = [told(changed), *(claim(changed, finding) for finding in changed.findings)]
        assert not any("induction heads" in sentence for sentence in said)
        assert any("no claim says what kind of heads" in question for question in open_questions(changed))


def test_induction_heads_are_named_only_where_the_effect_is_specific(record):
    specific = {name: replace(told, holds=False) for name, told in record.manifest.results.contrasts.items()}
    changed = with_results(record, specific=specific)
    assert "induction" not in told(changed)
    assert any("Not shown to be specific" in question for question in open_questions(changed))


def test_an_effect_that_may_lie_within_the_margin_is_not_called_larger(record):
    harmed = next(i for i, f in enumerate(record.findings) if f.verdict.verdict == "Harm")
    changed = with_cell(record, harmed, tags=(), ci_high=-0.001)
    assert "not shown to exceed 3" in headline(changed)


def test_an_unstable_magnitude_is_not_claimed(record):
    harmed = next(i for i, f in enumerate(record.findings) if f.verdict.verdict == "Harm")
    delta = record.findings[harmed].verdict.delta
    changed = with_cell(record, harmed, tags=("magnitude_unstable",))
    assert "its size is not shown to be the same over seeds" in headline(changed)
    assert f"{100 * delta:.1f}".lstrip("-") not in told(changed)


@pytest.mark.parametrize(
    ("verdict", "said"), [("Inconclusive", "undecided remains"), ("Invalid", "not to be trusted"), ("Mixed", "splits")]
)
def test_every_other_verdict_is_told_and_raises_a_question(record, verdict, said):
    changed = with_cell(record, 0, verdict=verdict, reason="a reason" if verdict == "Invalid" else "")
    assert said in told(changed).lower()
    assert any(verdict in question for question in open_questions(changed))


def test_strata_are_named_at_the_level_of_the_studys_own_looks(record):
    part = record.findings[0].verdict.strata[0]
    split = (replace(part, name="operator=+", p_holm=0.04), replace(part, name="operator=-", p_holm=0.06))
    for looks, named in ((1, True), (2, False)):
        rule = record.manifest.study.verdict.model_copy(update={"looks": looks})
        study = record.manifest.study.model_copy(update={"verdict": rule})
        changed = with_cell(record, 0, verdict="Mixed", strata=split)
        changed = changed._replace(manifest=changed.manifest.model_copy(update={"study": study}))
        (question,) = [text for text in open_questions(changed) if "part" in text]
        assert ("operator=+" in question, "operator=-" in question) == (named, False)


def test_what_random_heads_do_stands_beside_the_effect_where_it_matters(record):
    harmed = next(i for i, f in enumerate(record.findings) if f.verdict.verdict == "Harm")
    assert "random ones" not in told(record)
    name = record.findings[harmed].chosen.id
    specific = record.manifest.results.contrasts
    delta = record.findings[harmed].verdict.delta
    changed = with_results(record, specific=specific | {name: replace(specific[name], delta=delta + 0.05)})
    assert "random ones −5.0" in told(changed)


def test_many_cells_are_counted_and_what_was_found_is_said(record):
    many = record._replace(findings=record.findings * 5)
    assert f"of {len(many.findings)} cells" in headline(many)
    assert "zeroing the induction heads harms" in headline(many)


def test_two_models_are_told_apart(tmp_path, make_run):
    folder, manifest = make_run(
        tmp_path, models=("zoo:abacus-llama", "tiny:llama"), tasks={"tier3": {"task": "symbolic"}}
    )
    said = told(read_record(folder, manifest))
    assert "of abacus-llama" in said
    assert "of tiny random llama" in said


def test_limits_say_that_null_is_not_nothing(record):
    assert any("does not say there is none" in text for text in limits(record))


def _companion(answer: str, reason: str = "", n: int = 2000) -> Companion:
    return Companion(answer, reason, n, 4000, 0, n, -1.0, -1.0, -0.99, 0.0, 1.0)


@pytest.mark.parametrize(
    ("mean", "resample", "said", "not_said"),
    [
        (_companion("agrees"), _companion("agrees"), "On the same items: mean ablation", "named"),
        (_companion("agrees"), _companion("differs"), "Only zeroing says so: mean ablation", "judge"),
        (
            _companion("unknown", "only 1 of 4 items have one"),
            _companion("unknown", "only 1 of 4 items have one"),
            "Mean and resample ablation could not judge it: only 1 of 4 items have one (mean ablation −100.0 points",
            "Only zeroing",
        ),
        (_companion("differs"), _companion("unknown", "no item has one"), "Only zeroing says so", "judge"),
    ],
)
def test_companions_that_could_not_be_judged_are_not_said_to_disagree(
    mean: Companion, resample: Companion, said: str, not_said: str
) -> None:
    told = beside_zero(cast("Any", SimpleNamespace(companions={"mean": mean, "resample": resample})))
    assert said in told
    assert not_said not in told
