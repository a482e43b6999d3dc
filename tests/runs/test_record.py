"""The record: what was sealed stays as it was or is named; a replay gives the same rows; the ledger can be rebuilt."""

import os
import re
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
import yaml

from lesion.errors import InputError, LesionError, Tampered
from lesion.runs.check.compare import compare_rows
from lesion.runs.check.replay import grade, replay, reproduced
from lesion.runs.check.verify import verify
from lesion.runs.execute.finish import Order
from lesion.runs.execute.run import start
from lesion.runs.folder.atomic_io import STALE_SECONDS, DiskError, new_folder, whole_folder, write_text
from lesion.runs.folder.run_folder import RunFolder
from lesion.runs.index.ledger import check_seal, enter, entries, rebuild
from lesion.runs.index.notes import write_note
from lesion.runs.manifest.run import read_manifest
from lesion.study.format.load import parse_document
from lesion.study.study import Study
from tests.study.made import with_cell, with_proof


def test_an_untouched_run_is_intact(small_run) -> None:
    assert verify(small_run.folder) == []


def test_a_replay_from_the_manifest_alone_is_bit_equal(small_run, quiet, no_report, tmp_path) -> None:
    alone = tmp_path / "elsewhere" / "manifest.json"
    alone.parent.mkdir()
    alone.write_bytes((small_run.folder / "manifest.json").read_bytes())
    ran = replay(alone, tmp_path / "home", 1, quiet, no_report)
    assert ran.manifest.match == "bit-equal"
    assert reproduced(ran.manifest)
    assert ran.manifest.rows_hash == small_run.manifest.rows_hash
    assert ran.manifest.replay_of == small_run.manifest.seal
    shutil.copytree(small_run.folder, tmp_path / "home" / "runs" / small_run.folder.name)
    enter(tmp_path / "home", small_run.manifest)
    enter(tmp_path / "home", ran.manifest)
    assert {entry.run: entry.replayed for entry in entries(tmp_path / "home")}[small_run.manifest.run]


def test_verify_answers_first_and_keeps_details_for_those_who_ask(copied_run, call) -> None:
    folder, home = str(copied_run.folder), str(copied_run.home)
    code, out, _ = call("verify", folder, "--home", home)
    first, second = out.splitlines()
    assert code == 0
    assert first == f"{folder}: intact, nothing was changed since it was sealed. Status: exploratory."
    assert re.fullmatch(r"\d+ kinds of facts are told once and cannot be checked here: lesion -v verify .*", second)
    code, out, _ = call("-v", "verify", folder, "--home", home)
    details = out.splitlines()[1:]
    assert (code, len(details)) == (0, int(second.split()[0]))
    assert all(line.startswith("not checkable here: ") for line in details)
    (copied_run.folder / "stray.txt").write_text("")
    code, out, _ = call("verify", folder, "--home", home)
    assert (code, out.splitlines()) == (5, [f"{folder}: NOT intact", "  stray.txt was added"])


def spoil_bytes(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("kind", ["items", "prompts", "units"])
def test_one_changed_bit_is_named_and_stops_a_replay(kind: str, copied_run, quiet, no_report, tmp_path) -> None:
    path = sorted((copied_run.folder / kind).iterdir())[0]
    spoil_bytes(path)
    assert [(f.what, f.fault) for f in verify(copied_run.folder)] == [(f"{kind}/{path.name}", "differs")]
    with pytest.raises(Tampered, match=path.name):
        replay(copied_run.folder, tmp_path / "again", 1, quiet, no_report)


def test_missing_and_added_files_are_named(copied_run) -> None:
    (copied_run.folder / "verdicts.json").unlink()
    (copied_run.folder / "figures").mkdir()
    (copied_run.folder / "figures" / "extra.svg").write_text("<svg/>")
    said = {(f.what, f.fault) for f in verify(copied_run.folder)}
    assert said == {
        ("verdicts.json", "is missing"), ("figures", "was added, a folder"), ("figures/extra.svg", "was added"),
    }  # fmt: skip


def test_one_changed_digit_in_the_manifest_shows(copied_run) -> None:
    path = copied_run.folder / "manifest.json"
    path.write_text(path.read_text().replace('"margin": 0.3', '"margin": 0.4', 1))
    with pytest.raises(Tampered, match="changed after it was sealed"):
        read_manifest(path)
    assert verify(copied_run.folder)[0].what == "manifest.json"


def test_a_manifest_sealed_anew_by_a_forger_is_caught_by_the_ledger(copied_run) -> None:
    enter(copied_run.home, copied_run.manifest)
    forged = copied_run.manifest.model_copy(update={"deviations": ("Nothing to tell.",)}).sealed()
    write_text(copied_run.folder / "manifest.json", forged.model_dump_json())
    assert verify(copied_run.folder) == []
    with pytest.raises(Tampered, match="another seal"):
        check_seal(copied_run.home, read_manifest(copied_run.folder))


def test_other_weights_are_named_before_anything_is_run(copied_run, quiet, no_report, monkeypatch, tmp_path) -> None:
    from lesion.models.model import open_model

    open_model("tiny:llama").module.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "tokenizer.json").write_text(open_model("tiny:llama").tokenizer.to_str())
    facts = copied_run.manifest.models[0].model_copy(update={"name": str(tmp_path / "model")})
    other = copied_run.manifest.model_copy(update={"models": (facts,)}).sealed()
    write_text(copied_run.folder / "manifest.json", other.model_dump_json())
    assert any("other weights" in f.fault for f in verify(copied_run.folder))
    with pytest.raises(Tampered, match="other weights"):
        replay(copied_run.folder, tmp_path / "again", 1, quiet, no_report)


def nudged(folder: Path, by: float) -> None:
    """Change one number of the rows as another machine might."""
    for path in (folder / "items").iterdir():
        table = pl.read_parquet(path)
        table.with_columns(pl.col("entropy") + by).write_parquet(path)


@pytest.mark.parametrize(("by", "match"), [(0.0, "bit-equal"), (1e-9, "noise-floor"), (0.1, "verdict-equal")])
def test_differences_are_graded(by: float, match: str, small_run, copied_run) -> None:
    if by:
        nudged(copied_run.folder, by)
    again = RunFolder(copied_run.folder)
    manifest = with_proof(small_run.manifest, noise_floor=1e-6)
    assert grade(manifest, small_run.folder, again, manifest.results) == match


def test_other_verdicts_are_different(small_run, copied_run) -> None:
    nudged(copied_run.folder, 0.1)
    given = small_run.manifest.results
    results = with_cell(given, next(iter(given.cells)), verdict="Harm")
    assert grade(small_run.manifest, small_run.folder, RunFolder(copied_run.folder), results) == "different"


def test_rows_that_differ_are_listed(small_run) -> None:
    first = RunFolder(small_run.folder).items()
    second = first.with_columns(
        pl.when(pl.col("index") == 3).then(~pl.col("correct")).otherwise("correct").alias("correct")
    )
    found = compare_rows(first, second.filter(pl.col("index") != 5))
    touched = first.filter(pl.col("index") == 3).height
    assert found.flips == found.rows.height == touched
    assert found.only_first == first.filter(pl.col("index") == 5).height
    assert found.only_second == 0


def test_the_ledger_is_rebuilt_from_the_folders_and_names_what_it_cannot_trust(copied_run) -> None:
    assert rebuild(copied_run.home) == []
    before = entries(copied_run.home)
    assert [entry.run for entry in before] == [copied_run.manifest.run]
    spoil_bytes(copied_run.folder / "manifest.json")
    assert rebuild(copied_run.home) == [copied_run.folder.name]
    assert entries(copied_run.home) == []


@pytest.mark.parametrize("text", ["", "{}", "[1, 2]", "not json", '{"format": 2}', "\x00\xff"])
def test_what_is_no_manifest_is_refused_in_a_sentence(text: str, tmp_path) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=r"manifest\.json"):
        read_manifest(tmp_path)


def test_notes_have_front_matter_and_never_replace_each_other(tmp_path) -> None:
    moment = datetime(2026, 11, 22, 16, 31, tzinfo=UTC)
    paths = [write_note(tmp_path, moment, "anomaly", "Baseline unstable!", f"text {i}", "run-1") for i in range(3)]
    assert [path.name for path in paths] == [
        "20261122_1631_baseline-unstable.md",
        "20261122_1631_baseline-unstable-2.md",
        "20261122_1631_baseline-unstable-3.md",
    ]
    front, body = paths[2].read_text().split("---\n")[1:]
    assert yaml.safe_load(front) == {
        "time": "2026-11-22T16:31:00+00:00", "kind": "anomaly", "topic": "Baseline unstable!", "runs": ["run-1"],
    }  # fmt: skip
    assert body.strip() == "text 2"


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DiskError, match="cannot be written"):
        write_text(tmp_path / "file" / "below", "new")
    with pytest.raises(DiskError):
        write_text(tmp_path / "folder", "new")
    assert (tmp_path / "file").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_taken_folder_name_gets_a_number(tmp_path) -> None:
    assert [new_folder(tmp_path, "a").name for _ in range(3)] == ["a", "a-2", "a-3"]


def test_a_folder_is_seen_whole_or_not_at_all(tmp_path) -> None:
    def fill(folder: Path, name: str) -> None:
        assert not (tmp_path / "a").exists() or name != "a"
        write_text(folder / "x", name)

    def fails(folder: Path, name: str) -> None:
        write_text(folder / "x", name)
        raise OSError(28, "No space left on device")

    assert [whole_folder(tmp_path, "a", fill).name for _ in range(3)] == ["a", "a-2", "a-3"]
    assert (tmp_path / "a-3" / "x").read_text() == "a-3", "it knows the name that it has"
    with pytest.raises(DiskError, match="No space left"):
        whole_folder(tmp_path, "b", fails)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "a-2", "a-3"]


def test_a_name_that_is_taken_at_the_last_moment_is_left_alone(tmp_path) -> None:
    def fill(folder: Path, name: str) -> None:
        write_text(folder / "x", "mine")
        if name == "a":
            write_text(tmp_path / "a" / "x", "theirs")

    assert whole_folder(tmp_path, "a", fill).name == "a-2"
    assert (tmp_path / "a" / "x").read_text() == "theirs"


def test_what_a_killed_process_left_half_filled_is_swept_after_an_hour(tmp_path) -> None:
    for name, age in {"old": STALE_SECONDS + 60, "new": 60.0}.items():
        write_text(tmp_path / ".new" / name / "x", "half")
        os.utime(tmp_path / ".new" / name, (time.time() - age,) * 2)
    whole_folder(tmp_path, "a", lambda folder, name: write_text(folder / "x", name))
    assert [path.name for path in (tmp_path / ".new").iterdir()] == ["new"]


def test_a_meter_that_counts_nothing_ends_the_run_before_it_begins(
    small_text, tmp_path, quiet, no_report, monkeypatch
) -> None:
    monkeypatch.setattr("lesion.runs.execute.conduct._Meter.add", lambda meter, unit: None)
    order = Order(parse_document(small_text, "small.yaml", Study), small_text, "exploratory")
    with pytest.raises(LesionError, match="lets a study go over its budget"):
        start(order, tmp_path, 1, quiet, no_report)
