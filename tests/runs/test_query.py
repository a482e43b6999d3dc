"""SQL over the rows of all runs, and notes as they are read again."""

from datetime import UTC, datetime

import polars as pl
import pytest

from lesion.errors import InputError
from lesion.report.terminal.records import notes_words, table_words
from lesion.runs.folder.run_folder import RunFolder
from lesion.runs.index.notes import read_note, read_notes, write_note
from lesion.runs.index.query import query


def test_every_row_of_every_run_is_there_once_with_the_name_of_its_run(small_run, copied_run) -> None:
    found = query(copied_run.home, "select run, count(*) as n, avg(correct::int) as share from items group by run")
    assert found.rows()[0][:2] == (copied_run.manifest.run, RunFolder(copied_run.folder).items().height)
    asked = query(copied_run.home, "select count(*) as n from prompts").item()
    assert asked == RunFolder(copied_run.folder).prompts().height


def test_rows_can_be_joined_with_the_ledger_and_receipts(copied_run) -> None:
    sql = "select r.study, count(*) as n from items i join runs r on i.run = r.run group by r.study"
    assert query(copied_run.home, sql).row(0)[0] == "small"
    assert query(copied_run.home, "select min(firings) as least from receipts where arm <> 'baseline'").item() > 0


def test_no_runs_are_no_rows_and_no_error(tmp_path) -> None:
    assert query(tmp_path, "select * from items where tier = 'tier1'").height == 0


@pytest.mark.parametrize(
    "sql", ["", "drop table items", "select", "select nothing from items", "select * from itmes", "select (((", "x" * 9]
)
def test_what_is_no_query_is_refused_and_the_tables_are_named(sql, copied_run) -> None:
    with pytest.raises(InputError, match="items"):
        query(copied_run.home, sql)


def test_an_answer_is_shown_in_columns_and_cannot_steer_the_terminal() -> None:
    words = table_words(["a", "b"], [["x" * 60, 1.23456789], ["\x1b[31m", None]], 9)
    assert words.splitlines()[-1] == "9 rows, 2 shown"
    assert "\x1b" not in words
    assert "1.23457" in words


def test_notes_are_read_as_they_were_written_and_what_is_none_is_named(tmp_path) -> None:
    moment = datetime(2026, 11, 22, 16, 31, tzinfo=UTC)
    path = write_note(tmp_path, moment, "anomaly", "Is 1: 2 odd?", "text\n---\nmore", "run-1")
    note = read_note(path)
    assert note[1:] == ("2026-11-22T16:31:00+00:00", "anomaly", "Is 1: 2 odd?", ("run-1",), "text\n---\nmore")
    (tmp_path / "notes" / "zero.md").write_text("no front matter")
    (tmp_path / "notes" / "bomb.md").write_text("---\na: &a [x]\nb: *a\n---\n\nx\n")
    good, bad = read_notes(tmp_path)
    assert [each.topic for each in good] == ["Is 1: 2 odd?"]
    assert len(bad) == 2
    assert "about run-1" in notes_words(good)


def test_digits_stand_in_the_rows_of_arithmetic_and_can_be_shown_by_operator(copied_run) -> None:
    items = RunFolder(copied_run.folder).items()
    sums = items.filter(pl.col("tier") == "tier1")
    for name in ("digit_diff", "first_digit_diff"):
        assert sums[name].is_finite().all()
    sql = (
        "select count(*) as n, avg(i.first_digit_diff) as first from items i join prompts p on i.run = p.run "
        "and i.model = p.model and i.tier = p.tier and i.split = p.split and i.seed = p.seed and i.index = p.index "
        """where p.buckets like '%"operator":"+"%'"""
    )
    assert query(copied_run.home, sql)["n"].item() > 0
