"""A whole study with a replication: small numbers, real models, everything that is written about it."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from lesion.report.page.write import write_report
from lesion.runs.check.recompute_stats import recount
from lesion.runs.check.verify import verify
from lesion.runs.execute.finish import Order
from lesion.runs.execute.run import start
from lesion.runs.folder.run_folder import RunFolder
from lesion.runs.manifest.run import Manifest
from lesion.runs.measure.measure_cell import work
from lesion.study.arms.arm import scaled
from lesion.study.dry_run import rehearse
from lesion.study.format.load import parse_document
from lesion.study.gates.evidence.model_answers import DetectorAnswer
from lesion.study.gates.gate_verdict import DetectionEvidence, last_evidence
from lesion.study.plan import Cell
from lesion.study.study import Study

TEXT = """\
name: two-families
question: Does what zeroing the induction heads does to repeats hold in another family?
models: [zoo:abacus-llama]
tasks:
  tier1: {task: arithmetic, low: 10, high: 119, shots: 0}
  tier3: {task: symbolic, patterns: [repeat], shortest: 6, longest: 7}
sweep: {target: {kind: detected}, alphas: [0.0, 2.0], best: 1, controls: 1, staged: 3}
replication: {models: [zoo:abacus-neox], best: 1}
positive_control: tier3
"""
OTHER = "zoo:abacus-neox"


class Done(NamedTuple):
    folder: Path
    manifest: Manifest


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, quiet: Any) -> Done:
    study = rehearse(parse_document(TEXT, "two.yaml", Study))
    order = Order(study=study, text=TEXT, status="dry-run")
    ran = start(order, tmp_path_factory.mktemp("home"), 1, quiet, write_report)
    return Done(ran.folder, ran.manifest)


def test_the_positive_control_is_harm_in_both_families_and_so_replicated(done: Done) -> None:
    told = done.manifest.results.replication
    assert told is not None
    first = told.configurations[0]
    assert (first.tier, first.alpha, first.why) == ("tier3", 0.0, "positive control")
    assert told.cells[f"{OTHER}|tier3|target@resample"].verdict == "Harm"
    assert first.answer == "replicated"
    assert first.pooled is None, "two models are no population"


def test_the_other_models_target_is_its_own_induction_heads(done: Done) -> None:
    detect = last_evidence(done.manifest.gates, "detect", DetectionEvidence)
    assert detect is not None
    answer = detect.answers[OTHER]
    assert isinstance(answer, DetectorAnswer)
    for each in detect.mapped[OTHER]:
        layer, head = map(int, each.site[1:].split("H"))
        assert answer.scores[layer][head] > 0.5
    assert set(done.manifest.plan.targets[OTHER]) == {each.site for each in detect.mapped[OTHER]}


def test_nothing_was_done_to_the_other_model_before_the_family_was_decided(done: Done) -> None:
    order = [gate.stage for gate in done.manifest.gates]
    assert order[-2:] == ["transfer", "replicate"]
    edited = {u.cell.stage for u in RunFolder(done.folder).units() if u.cell.model == OTHER and len(u.cell.arms) > 1}
    assert edited == {"transfer", "replicate"}


def test_statistics_recomputed_from_the_rows_agree(done: Done) -> None:
    again = recount(done.folder)
    assert again.document["agrees"], again.document["differing"]
    told = done.manifest.results.replication
    assert told is not None
    assert set(again.document["analysis"]["replication"]["members"]) == set(told.cells)
    assert verify(done.folder) == []


def test_page_readme_and_figure_tell_it(done: Done) -> None:
    page = (done.folder / "report.html").read_text(encoding="utf-8")
    assert "On other models" in page
    assert "abacus-neox" in (done.folder / "README.md").read_text(encoding="utf-8")
    for ending in ("svg", "png", "pdf", "csv", "parquet", "sql", "vl.json"):
        assert (done.folder / "figures" / f"replication.{ending}").stat().st_size > 0


def test_staged_ablation_leaves_rows_of_every_stage(done: Done) -> None:
    arms = set(RunFolder(done.folder).items()["arm"].to_list())
    assert {f"{name}{n}@0" for name in ("staged", "random") for n in (1, 2, 3)} <= arms


def test_a_cell_without_the_baseline_brings_no_row_of_it(done: Done) -> None:
    plan = done.manifest.plan
    edited = scaled("target", plan.targets["zoo:abacus-llama"], 0.0, plan.study)
    cell = Cell(stage="confirm", model="zoo:abacus-llama", tier="tier1", split="confirm", stop=32, arms=(edited,))
    rows = work(cell, plan).items
    assert rows is not None
    assert rows["arm"].unique().to_list() == ["target@0"]
    assert rows.height == 32
