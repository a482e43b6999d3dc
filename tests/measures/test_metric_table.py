"""One table says what every metric is; functions, columns, second readings and the page on measures follow it."""

from pathlib import Path
from typing import get_args

import polars as pl
import pytest
import torch

from lesion.measures import metrics
from lesion.runs.measure.recompute_metrics import numbers_of
from lesion.stats.verdict.rule import Outcome
from lesion.study import rows
from lesion.study.metric_table import COLUMNS, JUDGED, METRICS, Metric, computed_from
from lesion.tasks.tokenizers.prompt_contract import Compiled


def test_the_functions_are_those_of_the_table():
    assert set(metrics.FUNCTIONS) == set(computed_from("logits"))
    assert set(metrics.COMPARISONS) == set(computed_from("both"))


def test_the_columns_are_computed_from_the_logits_and_each_has_a_place():
    assert [metric.column for metric in COLUMNS] == list(range(len(COLUMNS)))
    assert {metric.name for metric in COLUMNS if metric.of != "logits"} == {"kl"}, "and kl only where a study limits it"


def test_a_verdict_may_rest_on_the_judged_metrics():
    assert ("correct", *get_args(Outcome)[1:]) == JUDGED


def test_a_second_reading_gives_numbers_of_the_table():
    prompt = Compiled((0, 1), {}, (1,), (2,), 1, None)
    again = numbers_of(torch.tensor([[0.0, 2.0, 1.0]]).double(), prompt)
    assert set(again) <= {metric.name for metric in COLUMNS}


def test_the_page_on_measures_names_every_metric():
    page = Path("docs/diagnostics.md").read_text()
    assert not [name for name in METRICS if f"`{name}`" not in page]


def test_a_metric_of_a_later_format_is_null_in_older_rows_and_leaves_their_hash(monkeypatch: pytest.MonkeyPatch):
    later = Metric("brier", "share", "Brier score", column=6, since=3)
    older = pl.DataFrame([{"arm": "baseline", "correct": True, "entropy": 0.5}])
    newer = older.with_columns(brier=pl.lit(0.25))
    assert rows.rows_hash(newer) != rows.rows_hash(older)
    monkeypatch.setattr(rows.metric_table, "COLUMNS", (*COLUMNS, later))
    monkeypatch.setattr(rows, "ITEMS", {**rows.ITEMS, "brier": pl.Float64})
    assert "brier" not in rows.shape_of(decoded=False, rows_format=2)
    assert list(rows.shape_of(decoded=False, rows_format=3))[-1] == "brier"
    assert rows.rows_hash(newer) == rows.rows_hash(older)
    filled = rows.completed(older, {"correct": pl.Boolean, "brier": pl.Float64})
    assert filled["brier"].to_list() == [None]
