"""Several runs on one page: every verdict is its own run's, nothing is pooled, hostile names stay text."""

import re
from pathlib import Path

import pytest

from lesion.report.page.several_runs import Source, across, forests_of
from lesion.report.record import Record, read_record
from lesion.runs.manifest.run import Manifest

HOSTILE = "<img/src=x/onerror=alert(1)>"


@pytest.fixture(scope="module")
def record(run_folder: Path, manifest: Manifest) -> Record:
    return read_record(run_folder, manifest)


@pytest.fixture(scope="module")
def other(tmp_path_factory, make_run) -> Source:
    folder, manifest = make_run(tmp_path_factory.mktemp("other"), world={"model": f"m{HOSTILE}", "question": HOSTILE})
    return Source(folder, read_record(folder, manifest.model_copy(update={"run": "20261123_0900_arithmetic_aaaaaa"})))


def test_the_forest_holds_every_verdict_of_every_run_once(record, other):
    (forest,) = forests_of([record, other.record])
    rows = forest.rows.filter(forest.rows["series"] == "target").to_dicts()
    findings = [(r.manifest.run, f) for r in (record, other.record) for f in r.findings]
    assert len(rows) == len({row["label"] for row in rows}) == len(findings)
    told = {(row["run"], row["tier"], row["alpha"]): row["points"] for row in rows}
    for run, finding in findings:
        assert told[run, finding.chosen.tier, finding.chosen.alpha] == pytest.approx(100 * finding.verdict.delta)


def test_runs_that_judge_by_other_margins_share_no_picture(record, other):
    rule = record.manifest.study.verdict.model_copy(update={"margin": 0.1})
    study = record.manifest.study.model_copy(update={"verdict": rule})
    loose = record._replace(manifest=record.manifest.model_copy(update={"study": study}))
    assert len(forests_of([loose, other.record])) == 2


def test_runs_of_different_status_say_it_on_every_line(record, other):
    sealed = record._replace(manifest=record.manifest.model_copy(update={"status": "confirmatory"}))
    (forest,) = forests_of([sealed, other.record])
    assert all(row["status"] in row["label"] for row in forest.rows.to_dicts())
    assert {"confirmatory", "exploratory"} == set(forest.rows["status"])


def test_the_page_links_to_every_run_and_holds_no_hostile_markup(record, run_folder, other, tmp_path):
    text = across([Source(run_folder, record), other], tmp_path)
    assert HOSTILE not in text
    links = re.findall(r'href="([^"]*/report\.html)"', text)
    assert [(tmp_path / link).resolve().parent for link in links] == [run_folder.resolve(), other.folder.resolve()]
    assert len(text) < 5_000_000


def test_runs_without_a_verdict_are_told_and_not_drawn(record, run_folder, tmp_path):
    stopped = record._replace(findings=(), manifest=record.manifest.model_copy(update={"outcome": "stopped"}))
    text = across([Source(run_folder, stopped)], tmp_path)
    assert "nothing to draw side by side" in text
    assert "This run was stopped." in text
