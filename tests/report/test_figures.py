"""Every figure is drawn from rows that a stated query gives, and its numbers are those of the verdicts."""

import json
from pathlib import Path

import polars as pl
import pytest

from lesion.report import tables
from lesion.report.drawing import verdict_rows
from lesion.report.exports import EXPORTS, write_figures
from lesion.report.figures import Figure, figures
from lesion.report.record import Record, read_record
from lesion.runs.manifest import Manifest


@pytest.fixture(scope="module")
def record(run_folder: Path, manifest: Manifest) -> Record:
    return read_record(run_folder, manifest)


@pytest.fixture(scope="module")
def drawn(record: Record) -> dict[str, Figure]:
    return {figure.name: figure for figure in figures(record)}


def test_a_complete_run_has_all_five_figures(drawn):
    assert list(drawn) == ["verdicts", "accuracy", "heads", "baseline", "deltas"]


def test_the_counts_that_the_query_gives_are_those_that_the_verdict_was_judged_by(record):
    changes = tables.changes(record).filter(pl.col("series") == "target")
    counted = {(r["tier"], r["alpha"]): (r["n"], r["gained"], r["lost"]) for r in changes.to_dicts()}
    for chosen, verdict, *_ in record.findings:
        assert counted[chosen.tier, chosen.alpha] == (verdict.n, verdict.gained, verdict.lost)


def test_the_intervals_of_the_forest_are_those_of_the_verdicts(record):
    rows = verdict_rows(record, tables.changes(record)).filter(pl.col("series") == "target")
    for row, finding in zip(rows.to_dicts(), record.findings, strict=True):
        assert row["low"] == pytest.approx(100 * finding.verdict.ci_low)
        assert row["high"] == pytest.approx(100 * finding.verdict.ci_high)


def test_accuracies_agree_with_counting_the_rows_by_hand(record):
    rows = tables.accuracy(record)
    here = (pl.col("stage") == "confirm") & (pl.col("tier") == "tier3") & (pl.col("arm") == "target@0")
    by_hand = record.items.filter(here)["correct"]
    row = rows.filter(here).row(0, named=True)
    assert (row["n"], row["correct"]) == (by_hand.len(), by_hand.sum())
    assert row["low"] < row["accuracy"] < row["high"]


def test_the_baseline_figure_shows_the_accuracies_that_the_gate_saw(record):
    seen = next(gate for gate in record.manifest.gates if gate.stage == "baseline").evidence["cells"]
    rows = tables.baseline(record)
    for name, cell in seen.items():
        tier = rows.filter(pl.col("tier") == name.rpartition("|")[2])
        assert tier["accuracy"].to_list() == pytest.approx(cell["accuracies"])


def test_the_head_map_has_every_head_once_in_every_panel(drawn):
    sizes = drawn["heads"].rows.group_by("panel").len()["len"].to_list()
    assert sizes == [16, 16, 16, 16]


def test_a_logit_difference_that_is_not_a_number_spoils_no_mean(record):
    broken = record.items.with_columns(
        pl.when(pl.col("index") == 0).then(float("nan")).otherwise(pl.col("logit_diff")).alias("logit_diff")
    )
    whole = tables.deltas(record).filter(pl.col("metric") == "logit_diff")
    holed = tables.deltas(record._replace(items=broken)).filter(pl.col("metric") == "logit_diff")
    assert holed["mean"].is_finite().all()
    assert (holed["n"] < whole["n"]).all()


def test_discovery_and_confirmation_cannot_be_taken_for_one_another(drawn):
    """Rings and dashes for the one, filled marks for the other: in the specification, by stage."""
    layers = drawn["accuracy"].spec["spec"]["layer"]
    points = [layer for layer in layers if layer["mark"]["type"] == "point"]
    assert [layer["mark"]["filled"] for layer in points] == [False, True]
    assert "'discovery'" in json.dumps(points[0]["transform"])
    assert "'confirm'" in json.dumps(points[1]["transform"])


def test_files_of_a_figure_come_from_one_source(tmp_path, drawn, record):
    written = write_figures(tmp_path, (drawn["verdicts"],))
    assert {path.suffix for path in written.values()} == {".json", ".svg", ".png", ".pdf", ".csv", ".parquet", ".sql"}
    assert (tmp_path / "figures" / "verdicts.png").read_bytes().startswith(b"\x89PNG")
    again = pl.SQLContext(items=record.items, eager=True).execute(
        (tmp_path / "figures" / "verdicts.sql").read_text(encoding="utf-8")
    )
    assert again.height == 2 * len(record.findings)
    assert pl.read_csv(tmp_path / "figures" / "verdicts.csv").height == drawn["verdicts"].rows.height


@pytest.mark.parametrize(
    ("status", "mark"), [("exploratory", "Exploratory"), ("dry-run", "Dry run, not a finding"), ("confirmatory", None)]
)
def test_every_picture_and_table_says_as_what_its_run_counts(status, mark, record):
    counted = record._replace(manifest=record.manifest.model_copy(update={"status": status}))
    for figure in figures(counted):
        assert figure.spec.get("title") == mark
        assert figure.rows["status"].unique().to_list() == [status]


def test_figures_are_the_same_each_time(record, drawn):
    again = {figure.name: figure.spec for figure in figures(record)}
    assert again == {name: figure.spec for name, figure in drawn.items()}


@pytest.mark.parametrize("ending", sorted(EXPORTS))
def test_every_export_is_the_same_each_time(drawn, ending):
    assert EXPORTS[ending](drawn["heads"]) == EXPORTS[ending](drawn["heads"])


def test_rows_as_parquet_are_the_rows(drawn):
    for figure in drawn.values():
        assert pl.read_parquet(EXPORTS["parquet"](figure)).equals(figure.rows)


def test_a_pdf_is_one_page_of_the_pictures_size(drawn):
    made = EXPORTS["pdf"](drawn["verdicts"])
    assert made.startswith(b"%PDF-")
    assert b"/Type/Pages/Count 1/" in made
