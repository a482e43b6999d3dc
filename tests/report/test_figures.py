"""Every figure is drawn from rows that a stated query gives, and its numbers are those of the verdicts."""

import json
from pathlib import Path

import polars as pl
import pytest

from lesion.report.figures.exports import EXPORTS, write_figures
from lesion.report.figures.figures import Figure, figures
from lesion.report.figures.parts import tables
from lesion.report.figures.parts.marks import verdict_rows
from lesion.report.page.provenance import named
from lesion.report.record import Record, read_record
from lesion.runs.manifest.run import Manifest
from lesion.study.arms.arm import Arm, scaled
from lesion.study.arms.condition_columns import COLUMNS, older_condition, with_conditions
from lesion.study.gates.gate_verdict import BaselineEvidence


@pytest.fixture(scope="module")
def record(run_folder: Path, manifest: Manifest) -> Record:
    return read_record(run_folder, manifest)


@pytest.fixture(scope="module")
def drawn(record: Record) -> dict[str, Figure]:
    return {figure.name: figure for figure in figures(record)}


@pytest.fixture(scope="module")
def staged(record: Record) -> Record:
    """The record with three steps of staged ablation on discovery items: step k keeps one right answer in k + 1."""
    still = record.items.filter((pl.col("stage") == "discovery") & (pl.col("arm") == "baseline"))
    order, arms, parts = ("L1H1", "L1H0", "L0H3"), list[Arm](), list[pl.DataFrame]()
    for steps in (1, 2, 3):
        for role, sites in (("staged", order[:steps]), ("random", order[::-1][:steps])):
            arms.append(scaled(role, sites, 0.0, record.manifest.study, steps))
            kept = pl.col("correct") & (pl.col("index") % (steps + 1) == 0)
            named = still.with_columns(kept.alias("correct"), pl.lit(arms[-1].name).alias("arm")).drop(COLUMNS)
            parts.append(with_conditions(named).select(still.columns))
    unit = next(unit for unit in record.units if unit.cell.stage == "discovery")
    cell = unit.cell.model_copy(update={"arms": (*unit.cell.arms, *arms)})
    units = (*record.units, unit.model_copy(update={"cell": cell}))
    return record._replace(items=pl.concat([record.items, *parts]), units=units)


def test_a_complete_run_has_all_six_figures(drawn):
    assert list(drawn) == ["verdicts", "accuracy", "heads", "scores", "baseline", "deltas"]


def test_staged_curves_are_drawn_from_the_arms_of_their_names_and_from_no_others(record, staged):
    assert not tables.staged(record).height
    rows = tables.staged(staged)
    told = {(r["tier"], r["order"], r["zeroed"]): r for r in rows.to_dicts()}
    assert len(told) == rows.height == 3 * 7
    by_hand = staged.items.filter((pl.col("arm") == "staged2@0") & (pl.col("tier") == "tier2"))["correct"]
    assert told["tier2", "by score", 2]["accuracy"] == pytest.approx(by_hand.mean())
    assert told["tier2", "by score", 2]["sites"] == "L1H0 L1H1"
    assert told["tier2", "random", 1]["sites"] == "L0H3"
    assert told["tier2", "unedited", 0]["correct"] > told["tier2", "by score", 1]["correct"]


def test_receipts_of_staged_arms_are_told_apart_from_those_of_single_heads():
    names = {
        name: named(older_condition(f"{name}@0")) for name in ("staged3", "random12", "L1H3", "control0", "target")
    }
    assert names == {
        "staged3": "heads by score, together ×0", "random12": "heads in a random order, together ×0",
        "L1H3": "each head alone ×0", "control0": "random set ×0", "target": "target ×0",
    }  # fmt: skip


def test_every_staged_curve_begins_with_the_unedited_model(staged):
    (figure,) = [figure for figure in figures(staged) if figure.name == "staged"]
    (values,) = figure.spec["datasets"].values()
    marks = [row for row in values if row.get("order")]
    for panel in {row["panel"] for row in marks}:
        for order in ("by score", "random"):
            assert [r["zeroed"] for r in marks if (r["panel"], r["order"]) == (panel, order)] in ([1, 2, 3, 0],)
    assert "'baseline'" in figure.query


def test_score_and_effect_of_a_head_are_those_of_the_head_map(record):
    rows, heads = tables.scores(record), tables.heads(record)
    assert rows.height == 3 * 16
    one = rows.filter((pl.col("tier") == "tier3") & (pl.col("layer") == 1) & (pl.col("head") == 0)).row(0, named=True)
    here = heads.filter((pl.col("layer") == 1) & (pl.col("head") == 0))
    assert one["score"] == here["score"].drop_nulls().item()
    assert one["points"] == here.filter(pl.col("tier") == "tier3")["points"].item()


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
    seen = next(gate for gate in record.manifest.gates if gate.stage == "baseline").saw(BaselineEvidence).cells
    rows = tables.baseline(record)
    for name, cell in seen.items():
        tier = rows.filter(pl.col("tier") == name.rpartition("|")[2])
        assert tier["accuracy"].to_list() == pytest.approx(cell.accuracies)


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
    items = record.items.with_columns(pl.lit(record.manifest.run).alias("run"))
    again = pl.SQLContext(items=items, eager=True).execute(
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
