"""A published run is slim, verifies, replays, and shows every change."""

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lesion.errors import InputError, Tampered
from lesion.runs.manifest import read_manifest
from lesion.runs.published import NAME, ROWS, publish
from lesion.runs.replay import replay, reproduced
from lesion.runs.verify import verify


@pytest.fixture(scope="module")
def published(small_run: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish(small_run.folder, tmp_path_factory.mktemp("publication"))


def test_it_holds_everything_but_the_tables_of_rows(published: Path, small_run: Any) -> None:
    there = {path.relative_to(published).as_posix() for path in published.rglob("*") if path.is_file()}
    left = {name for name in small_run.manifest.files if name.startswith(("items/", "prompts/", "units/"))}
    assert there == {*small_run.manifest.files} - left | {"manifest.json", NAME, ROWS}
    assert json.loads((published / NAME).read_text())["left_out"] == sorted(left)
    assert verify(published) == []


def test_it_replays_from_its_manifest_bit_by_bit(published: Path, tmp_path: Path, quiet: Any, no_report: Any) -> None:
    again = replay(published / "manifest.json", tmp_path, 1, quiet, no_report)
    assert again.manifest.match == "bit-equal"
    assert reproduced(again.manifest)


def _other_answer(folder: Path) -> None:
    """Whoever changes an answer writes its table's hash anew, too: the counts show it."""
    from lesion.identity import file_hash

    rows = pl.read_parquet(folder / ROWS)
    first = (rows["stage"] == "confirm") & (rows["arm"] != "baseline") & rows["arm"].str.starts_with("target")
    place = first.arg_max()
    flipped = [not value if i == place else value for i, value in enumerate(rows["correct"].to_list())]
    rows.with_columns(pl.Series("correct", flipped)).write_parquet(folder / ROWS)
    told = json.loads((folder / NAME).read_text())
    (folder / NAME).write_text(json.dumps({**told, "rows": file_hash(folder / ROWS)}))


def _hides_a_file(folder: Path) -> None:
    """Only tables of rows may be left out."""
    (folder / "verdicts.json").unlink()
    told = json.loads((folder / NAME).read_text())
    (folder / NAME).write_text(json.dumps({**told, "left_out": [*told["left_out"], "verdicts.json"]}))


def _brings_back(folder: Path, text: str) -> None:
    """A table that was left out may stand there only as it was."""
    path = folder / json.loads((folder / NAME).read_text())["left_out"][0]
    path.parent.mkdir()
    path.write_text(text)


@pytest.mark.parametrize(
    "spoil",
    [
        _other_answer,
        _hides_a_file,
        lambda folder: (folder / ROWS).unlink(),
        lambda folder: (folder / NAME).write_text("{}"),
        lambda folder: (folder / "study.yaml").write_text("name: other"),
        lambda folder: (folder / "more.txt").write_text("x"),
        lambda folder: _brings_back(folder, "not what it was"),
    ],
)
def test_every_change_is_seen_and_nothing_changed_is_replayed(
    published: Path, tmp_path: Path, quiet: Any, no_report: Any, spoil: Any
) -> None:
    copy = tmp_path / published.name
    shutil.copytree(published, copy)
    spoil(copy)
    assert verify(copy)
    with pytest.raises(Tampered):
        replay(copy / "manifest.json", tmp_path / "home", 1, quiet, no_report)


def test_it_is_never_written_over_and_never_made_from_another_published_run(published: Path, small_run: Any) -> None:
    with pytest.raises(InputError, match="never written over"):
        publish(small_run.folder, published.parent)
    with pytest.raises(InputError, match="rows are not here"):
        publish(published, published.parent / "elsewhere")
    assert read_manifest(published).seal == small_run.manifest.seal
