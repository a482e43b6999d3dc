"""A published run is slim, verifies, replays, and shows every change."""

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lesion.errors import InputError, Tampered
from lesion.identity import file_hash
from lesion.report.paper.write import write_paper
from lesion.runs.check.recompute_stats import recount
from lesion.runs.check.replay import replay, reproduced
from lesion.runs.check.verify import verify
from lesion.runs.folder.published import NAME, QUESTIONS, ROWS, UNITS, PublishedRun, publish
from lesion.runs.index.ledger import rebuild
from lesion.runs.manifest.run import read_manifest
from lesion.study.rows import slim_hash


@pytest.fixture(scope="module")
def published(small_run: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish(small_run.folder, tmp_path_factory.mktemp("publication"))


def test_it_holds_everything_but_the_tables_of_rows(published: Path, small_run: Any) -> None:
    there = {path.relative_to(published).as_posix() for path in published.rglob("*") if path.is_file()}
    tables, forms = ("items/", "prompts/", "units/"), (".png", ".pdf", ".parquet", ".vl.json")
    left = {name for name in small_run.manifest.files if name.startswith(tables)}
    left |= {name for name in small_run.manifest.files if name.startswith("figures/") and name.endswith(forms)}
    left |= {"explorer.parquet"} & {*small_run.manifest.files}
    assert there == {*small_run.manifest.files} - left | {"manifest.json", NAME, ROWS, QUESTIONS, UNITS}
    assert json.loads((published / NAME).read_text())["left_out"] == sorted(left)
    assert verify(published) == []


def test_it_replays_from_its_manifest_bit_by_bit(published: Path, tmp_path: Path, quiet: Any, no_report: Any) -> None:
    again = replay(published / "manifest.json", tmp_path, 1, quiet, no_report)
    assert again.manifest.match == "bit-equal"
    assert reproduced(again.manifest)


def test_a_paper_on_it_is_the_paper_on_the_whole_run(copied_run: Any, published: Path, tmp_path: Path) -> None:
    """Whoever has the publication alone can compose its paper anew: the same numbers, prompts and words."""
    other = tmp_path / "other"
    shutil.copytree(published, other / "runs" / published.name)
    rebuild(other)
    whole, slim = (
        write_paper(home, [published.name], tmp_path / name)
        for home, name in ((copied_run.home, "whole"), (other, "slim"))
    )
    for name in ("paper.md", "supplement.md", "claims.json"):
        assert (slim.folder / name).read_text(encoding="utf-8") == (whole.folder / name).read_text(encoding="utf-8")
    assert "not kept" not in (slim.folder / "paper.md").read_text(encoding="utf-8")


def test_a_forged_row_ends_a_paper(published: Path, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / published.name
    shutil.copytree(published, folder)
    rebuild(tmp_path)
    _other_answer(folder)
    with pytest.raises(Tampered, match=r"see lesion verify"):
        write_paper(tmp_path, [published.name], tmp_path / "paper")


def _flip(folder: Path, where: pl.Expr) -> None:
    """Turn the answers of some rows round, and write the table's hash anew."""
    rows = pl.read_parquet(folder / ROWS)
    assert rows.filter(where).height, "the forgery changes something"
    changed = pl.when(where).then(~pl.col("correct")).otherwise(pl.col("correct")).alias("correct")
    rows.with_columns(changed).write_parquet(folder / ROWS)
    told = json.loads((folder / NAME).read_text())
    (folder / NAME).write_text(json.dumps({**told, "rows": file_hash(folder / ROWS)}))


def _other_answer(folder: Path) -> None:
    """One answer of the target."""
    _flip(folder, (pl.col("stage") == "confirm") & pl.col("arm").str.starts_with("target") & (pl.col("index") == 0))


def _every_other_arm(folder: Path) -> None:
    """All answers but the target's and the baseline's: controls, single heads, matched sets."""
    _flip(folder, (pl.col("arm") != "baseline") & ~pl.col("arm").str.starts_with("target"))


def _seals_anew(folder: Path) -> None:
    """The same, and the manifest says the hash of the forged tables under a new seal."""
    _every_other_arm(folder)
    run = PublishedRun(folder)
    rows = pl.read_parquet(folder / ROWS).drop("unit")
    manifest = read_manifest(folder)
    digest = slim_hash(rows, pl.read_parquet(folder / QUESTIONS))
    forged = manifest.model_copy(update={"slim_hash": digest}).sealed()
    (folder / "manifest.json").write_text(forged.model_dump_json(indent=1) + "\n")
    told = json.loads((folder / NAME).read_text())
    (folder / NAME).write_text(json.dumps({**told, "seal": forged.seal}))
    assert run.path == folder


def _other_strata(folder: Path) -> None:
    questions = pl.read_parquet(folder / QUESTIONS)
    questions.with_columns(pl.lit('{"operator":"+"}').alias("buckets")).write_parquet(folder / QUESTIONS)
    told = json.loads((folder / NAME).read_text())
    (folder / NAME).write_text(json.dumps({**told, "questions": file_hash(folder / QUESTIONS)}))


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
        _every_other_arm,
        _seals_anew,
        _other_strata,
        lambda folder: (folder / UNITS).unlink(),
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


def test_its_statistics_are_those_of_the_whole_run(published: Path, small_run: Any, tmp_path: Path) -> None:
    copy = tmp_path / published.name
    shutil.copytree(published, copy)
    slim, whole = recount(copy).document, recount(small_run.folder).document
    assert slim["agrees"]
    assert slim == whole


def test_a_run_that_was_published_before_keeps_its_checks_and_says_what_it_cannot_give(repository: Path) -> None:
    (old,) = (repository / "publications/toy-models").glob("*_induction-neurons_*/")
    assert verify(old) == []
    with pytest.raises(InputError, match="before publications kept strata"):
        recount(old)
