"""The explorer's looks agree with the run's own rows, are sealed with it, and change nothing about it."""

import numpy as np
import polars as pl
import pytest

from lesion.runs.check.verify import verify
from lesion.runs.execute.explore import explore, exploring
from lesion.runs.execute.run import start
from lesion.runs.folder.explorer_data import DOCUMENT, TABLE, read_explored
from lesion.runs.folder.run_folder import RunFolder
from tests.runs.conftest import small_order


@pytest.fixture(scope="module")
def looked(small_run, tmp_path_factory):
    place = tmp_path_factory.mktemp("looks")
    explore(small_run.folder, small_run.manifest, place)
    return read_explored(place)


def test_every_look_says_what_the_rows_of_the_run_say(looked, small_run):
    document, _ = looked
    items = RunFolder(small_run.folder).items().filter((pl.col("stage") == "discovery") & (pl.col("seed") == 0))
    assert document.items
    assert not document.refused
    for one in document.items:
        for answered in one.answered:
            row = items.filter((pl.col("index") == one.index) & (pl.col("arm") == answered.arm)).row(0, named=True)
            assert (answered.correct, one.item_id) == (row["correct"], row["item_id"])
            assert answered.logit_diff == pytest.approx(row["logit_diff"], abs=1e-4)


def test_patterns_are_whole_and_their_rows_sum_to_one(looked):
    document, table = looked
    for one in document.items:
        length = len(one.ids)
        assert len(one.tokens) == len(one.roles) == length
        for row in table.filter(pl.col("index") == one.index)["pattern"].to_list():
            whole = np.zeros((length, length))
            whole[np.tril_indices(length)] = row
            assert np.abs(whole.sum(1) - 1).max() < 1e-4


def test_the_targets_own_pattern_is_left_as_it_is_and_its_share_is_taken(looked):
    _, table = looked
    head = table.filter((pl.col("layer") == 0) & (pl.col("head") == 1))
    was, now = (head.filter(pl.col("arm") == arm).sort("index") for arm in ("baseline", "target@0"))
    assert was["pattern"].to_list() == now["pattern"].to_list()
    assert was["direct"].abs().min() > 0
    assert now["direct"].abs().max() == 0


def test_a_run_with_looks_has_the_rows_of_one_without_and_seals_them(tmp_path, small_run, quiet, no_report):
    ran = start(small_order(), tmp_path, 1, quiet, exploring(no_report))
    assert ran.manifest.rows_hash == small_run.manifest.rows_hash
    assert {DOCUMENT, TABLE} <= ran.manifest.files.keys()
    assert not verify(ran.folder)
    (ran.folder / DOCUMENT).write_text("{}")
    assert [finding.what for finding in verify(ran.folder)] == [DOCUMENT]


def test_what_cannot_be_read_is_named_and_ends_no_run(small_run, tmp_path, monkeypatch):
    def refuse(*_):
        raise RuntimeError("this block reports no\npatterns")

    monkeypatch.setattr("lesion.runs.execute.explore.look", refuse)
    document = explore(small_run.folder, small_run.manifest, tmp_path)
    assert document.refused == {"tiny:llama|tier1": "this block reports no patterns"}
    assert not document.items
    assert read_explored(tmp_path) is not None
