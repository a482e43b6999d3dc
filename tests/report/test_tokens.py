"""Tokens of prompts and answers are counted from the rows, refused prompts with their reasons."""

import polars as pl
import pytest

from lesion.report.page.tokens import tokenization
from lesion.report.record import Record, read_record


@pytest.fixture(scope="module")
def record(run_folder, manifest) -> Record:
    return read_record(run_folder, manifest)


def test_every_tier_has_its_row_and_answers_their_shares(record):
    odd = pl.col("index") % 2 == 1
    mixed = record.prompts.with_columns(pl.when(odd).then(3).otherwise(2).alias("answer_tokens"))
    (table,) = tokenization(record._replace(prompts=mixed))
    assert [row[1] for row in table.rows] == ["tier1", "tier2", "tier3"]
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert row["tokens of an answer, its end included"] == "2 (50.0 %) and 3 (50.0 %)"
    assert row["answers of one token, end aside"] == "50.0 %"
    assert row["refused at the instrument gate"] == "0 of 64"


def test_refused_prompts_are_counted_and_say_why(record):
    first = (pl.col("index") == 0) & (pl.col("tier") == "tier2")
    broken = record.prompts.with_columns(pl.when(first).then(pl.lit("too long")).otherwise(None).alias("refused"))
    table, reasons = tokenization(record._replace(prompts=broken))
    assert [row[-2] == "0" for row in table.rows] == [True, False, True]
    assert {row[1:3] for row in reasons.rows} == {("tier2", "too long")}


def test_a_run_that_asked_nothing_has_no_such_table(record):
    assert tokenization(record._replace(prompts=record.prompts.clear())) == []
