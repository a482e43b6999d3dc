"""What the attention explorer is given: the run's looks as they were taken, whole or said to be left out, as text."""

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest

from lesion.errors import Tampered
from lesion.packed_numbers import STEPS, packed
from lesion.report.page import explorer
from lesion.report.page.explorer import explorer_view
from lesion.report.page.write import write_report
from lesion.report.record import Record, read_record
from lesion.runs.folder.explorer_data import TABLE, read_explored
from lesion.runs.manifest.run import Manifest

HOSTILE = "</script><img src=x onerror=alert(1)>{{ 7*7 }}"


@pytest.fixture
def explored(tmp_path, make_run, explore_by_hand) -> tuple[Path, Manifest]:
    folder, manifest = make_run(tmp_path)
    explore_by_hand(folder)
    return folder, manifest


def view(folder: Path, manifest: Manifest) -> dict:
    record: Record = read_record(folder, manifest)
    return explorer_view(record, read_explored(folder))


def data_of(folder: Path) -> dict:
    text = (folder / "report.html").read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="explorer-data">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_patterns_travel_to_within_half_a_step():
    numbers = np.linspace(0, 1, 1001, dtype=np.float32)
    steps = np.frombuffer(base64.b64decode(packed(numbers)), dtype="<u2")
    assert np.abs(steps / STEPS - numbers).max() <= 0.5 / STEPS + 1e-7


def test_a_pattern_that_the_edit_leaves_alone_is_sent_once(explored):
    (item,) = view(*explored)["data"]["items"]
    assert len(item["patterns"]) == 16 + 8
    assert item["same"] == [f"target@0|0|{head}" for head in range(8)]
    assert item["left_out"] == 0


def test_shares_are_the_tables_own(explored):
    (item,) = view(*explored)["data"]["items"]
    _, table = read_explored(explored[0]) or (None, None)
    assert table is not None
    for row in table.to_dicts():
        assert item["direct"][row["arm"]][row["layer"]][row["head"]] == pytest.approx(row["direct"], abs=1e-4)


def test_what_does_not_fit_is_counted_and_the_target_stays(explored, monkeypatch):
    monkeypatch.setattr(explorer, "MOST_NUMBERS", 60)
    seen = view(*explored)
    (item,) = seen["data"]["items"]
    assert set(item["patterns"]) == {f"{arm}|1|{head}" for arm in ("baseline", "target@0") for head in (0, 1)}
    assert any(f"{item['left_out']:,} patterns" in text for text in seen["why"])


def test_what_could_not_be_looked_at_is_said(explored):
    assert any("tier1: not shown; no item is short enough." in text for text in view(*explored)["why"])


def test_a_run_without_looks_says_so(run_folder, manifest):
    seen = view(run_folder, manifest)
    assert seen["data"] is None
    assert len(seen["why"]) == 1


def test_a_table_that_was_changed_is_not_drawn(explored):
    folder, _ = explored
    (folder / TABLE).write_bytes((folder / TABLE).read_bytes() + b" ")
    with pytest.raises(Tampered, match=r"explorer\.parquet"):
        read_explored(folder)


def test_hostile_tokens_stay_text(tmp_path, make_run, explore_by_hand):
    folder, manifest = make_run(tmp_path)
    explore_by_hand(folder, ("[BOS]", HOSTILE, "b", HOSTILE, "b"))
    write_report(folder, manifest)
    assert HOSTILE not in (folder / "report.html").read_text(encoding="utf-8")
    assert data_of(folder)["items"][0]["tokens"][1] == HOSTILE
