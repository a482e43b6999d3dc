"""Run folders of strangers, sealed anew over garbage: every command that reads one ends with a sentence."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lesion import cli
from lesion.identity import content_hash, file_hash
from lesion.runs.folder.published import publish

Spoil = Callable[[Path], object]


def first(folder: Path, pattern: str) -> Path:
    return min(folder.glob(pattern))


def other_columns(path: Path) -> None:
    pl.DataFrame({"a": [1, 2]}).write_parquet(path)


GARBAGE: dict[str, bytes] = {
    "empty": b"", "brackets": b"[" * 100_000, "null": b"null", "not UTF-8": b"\xff\xfe", "a list": b"[1]",
    "a table of other columns": b"",
}  # fmt: skip
QUICK = ("brackets", "a table of other columns")
KINDS = [kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.slow) for kind in GARBAGE]
SPOILED = ("receipts.parquet", "verdicts.json", "study.yaml", "units/*.json", "items/*.parquet", "prompts/*.parquet")


def seal_anew(folder: Path) -> None:
    """What a forger does: hash every file again, and the manifest over them."""
    path = folder / "manifest.json"
    manifest: dict[str, Any] = json.loads(path.read_text())
    for name in manifest["files"]:
        if (folder / name).is_file():
            manifest["files"][name] = file_hash(folder / name)
    manifest.pop("seal")
    path.write_text(json.dumps({**manifest, "seal": content_hash(manifest)}))


def spoiled(folder: Path, pattern: str, kind: str) -> None:
    path = first(folder, pattern)
    if kind == "a table of other columns":
        other_columns(path)
    else:
        path.write_bytes(GARBAGE[kind])
    seal_anew(folder)


def answers(words: list[str], capsys: pytest.CaptureFixture[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    code = ended.value.code
    assert isinstance(code, int)
    assert code in (0, 1, 2, 5), said.err
    return code


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pattern", SPOILED)
def test_verify_names_garbage_in_a_run_that_was_sealed_anew(pattern: str, kind: str, copied_run, capsys) -> None:
    spoiled(copied_run.folder, pattern, kind)
    assert answers(["verify", str(copied_run.folder), "--home", str(copied_run.home)], capsys) in (2, 5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", GARBAGE)
@pytest.mark.parametrize("pattern", ["verdicts.json", "items/*.parquet", "receipts.parquet"])
def test_other_commands_answer_garbage_with_a_sentence(
    pattern: str, kind: str, copied_run, capsys, monkeypatch
) -> None:
    monkeypatch.setenv("LESION_HOME", str(copied_run.home))
    spoiled(copied_run.folder, pattern, kind)
    run = str(copied_run.folder)
    for words in (
        ["show", run],
        ["stats", run],
        ["query", "select count(*) from items"],
        ["query", "select * from receipts"],
    ):
        answers(words, capsys)


@pytest.mark.parametrize("name", ["rows.parquet", "questions.parquet", "units.jsonl", "published.json"])
@pytest.mark.parametrize("kind", KINDS)
def test_garbage_in_a_published_run_is_named(name: str, kind: str, copied_run, tmp_path, capsys) -> None:
    folder = publish(copied_run.folder, tmp_path / "published")
    spoiled(folder, name, kind)
    told = folder / "published.json"
    if name != told.name:
        document = json.loads(told.read_text())
        document["seal"] = json.loads((folder / "manifest.json").read_text())["seal"]
        document[name.partition(".")[0]] = file_hash(folder / name)
        told.write_text(json.dumps(document))
    assert answers(["verify", str(folder), "--home", str(copied_run.home)], capsys) in (2, 5)
