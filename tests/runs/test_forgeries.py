"""Fifty and more forgeries of a run folder, each by itself: every one is named, by file or by what contradicts what."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lesion.errors import LesionError
from lesion.identity import file_hash
from lesion.runs.check.recompute_stats import recount
from lesion.runs.check.verify import verify
from lesion.runs.folder.atomic_io import write_text
from lesion.runs.folder.run_folder import RunFolder
from lesion.runs.index.ledger import check_seal, enter
from lesion.runs.manifest.base import content_hash
from lesion.runs.manifest.run import Manifest, read_manifest
from lesion.study.rows import rows_hash

Forge = Callable[[Path], object]


def one(folder: Path, pattern: str) -> Path:
    return sorted(folder.glob(pattern))[0]


def bit(pattern: str) -> Forge:
    def turn(folder: Path) -> None:
        path = one(folder, pattern)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(bytes(data))

    return turn


def gone(pattern: str) -> Forge:
    return lambda folder: one(folder, pattern).unlink()


def added(name: str) -> Forge:
    def add(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text("x")

    return add


def cut(pattern: str) -> Forge:
    return lambda folder: os.truncate(one(folder, pattern), one(folder, pattern).stat().st_size - 1)


def exchanged(kind: str) -> Forge:
    def exchange(folder: Path) -> None:
        first, second = sorted((folder / kind).iterdir())[:2]
        data = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(data)

    return exchange


def linked(folder: Path) -> None:
    path = one(folder, "items/*.parquet")
    shutil.move(path, folder.parent / "elsewhere.parquet")
    path.symlink_to(folder.parent / "elsewhere.parquet")


def edited(change: Callable[[Any], object], *, seal: bool) -> Forge:
    """Change the manifest as a JSON document, and seal it anew or not; a forger gives its files their new hashes."""

    def edit(folder: Path) -> None:
        path = folder / "manifest.json"
        raw = json.loads(path.read_text())
        change(raw)
        if seal:
            raw["files"] = {name: file_hash(folder / name) for name in raw["files"] if (folder / name).exists()}
            raw["seal"] = content_hash({name: value for name, value in raw.items() if name != "seal"})
        write_text(path, json.dumps(raw))

    return edit


def put(*where: Any, value: Any) -> Callable[[Any], None]:
    """Put a value at a place in the document."""

    def change(raw: Any) -> None:
        for key in where[:-1]:
            raw = raw[key]
        raw[where[-1]] = value(raw[where[-1]]) if callable(value) else value

    return change


PROOF = ("gates", 0, "evidence", "models", "tiny:llama")
"""Where the manifest tells what the model's proof measured."""


def copied(**changes: Any) -> Callable[[Any], None]:
    """Copy the proof beside the model, as early versions did, with some fields changed."""

    def change(raw: Any) -> None:
        proof = raw["gates"][0]["evidence"]["models"]["tiny:llama"]
        raw["models"][0]["answer"] = {**proof, **changes}

    return change


def with_file(change: Forge, then: Callable[[Any], object] = lambda raw: None) -> Forge:
    """Change a file, then the manifest, and seal anew."""

    def both(folder: Path) -> None:
        change(folder)
        edited(then, seal=True)(folder)

    return both


def table(pattern: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Forge:
    def rewrite(folder: Path) -> None:
        path = one(folder, pattern)
        change(pl.read_parquet(path)).write_parquet(path)

    return rewrite


def text(pattern: str, old: str, new: str) -> Forge:
    def replace(folder: Path) -> None:
        path = one(folder, pattern)
        assert old in path.read_text(), "the forgery changes something"
        path.write_text(path.read_text().replace(old, new, 1))

    return replace


FILES = ("items/*.parquet", "prompts/*.parquet", "units/*.json", "study.yaml", "verdicts.json", "receipts.parquet")
PLAIN: dict[str, tuple[Forge, str]] = {
    **{f"a bit of {name}": (bit(name), "differs") for name in (*FILES, "begun.json")},
    **{f"{name} taken away": (gone(name), "is missing") for name in (*FILES, "begun.json")},
    **{f"{name} cut by a byte": (cut(name), "differs") for name in ("items/*.parquet", "units/*.json")},
    **{
        f"{name} added": (added(name), "was added")
        for name in ("more.txt", "items/more.parquet", ".hidden", "figures/better.svg", ".git/config")
    },
    "two files of rows exchanged": (exchanged("items"), "differs"),
    "two units exchanged": (exchanged("units"), "differs"),
    "rows behind a link": (linked, "is a link"),
}
UNSEALED: dict[str, Callable[[Any], object]] = {
    "the margin": put("study", "verdict", "margin", value=0.31),
    "the study's seed": put("study", "seed", value=7),
    "the commit": put("code", "commit", value="0" * 40),
    "a dirty tree called clean": put("code", "dirty", value=lambda dirty: not dirty),
    "a package's version": put("environment", "packages", "torch", value="9.9"),
    "the processor's seconds": put("cost", "cpu_seconds", value=1.0),
    "the weights' hash": put("models", 0, "weights_hash", value="0" * 64),
    "a data set's hash": put("datasets", 0, "dataset_hash", value="0" * 64),
    "a unit's hash": put("units", 0, "rows_hash", value="0" * 64),
    "a file's hash": put("files", "study.yaml", value="0" * 64),
    "a gate's outcome": put("gates", 0, "outcome", value="Fail"),
    "a deviation": put("deviations", value=["Nothing to tell."]),
    "the key": put("key", value="0" * 64),
    "the match": put("match", value="bit-equal"),
    "the seal": put("seal", value="0" * 64),
    "the parameters": put("parameters", value={"dry_run": False}),
}
SEALED: dict[str, tuple[Forge, str]] = {
    "the margin in the study alone": (edited(put("study", "verdict", "margin", value=0.31), seal=True), "study"),
    "the study's hash": (edited(put("study_hash", value="0" * 64), seal=True), "study"),
    "the plan's study": (edited(put("plan", "study", "seed", value=7), seal=True), "plan"),
    "the plan's last hash": (edited(put("plan_hashes", -1, value="0" * 64), seal=True), "plan"),
    "the seeds": (edited(put("seeds", value={"study": 7}), seal=True), "seeds"),
    "called confirmatory": (edited(put("status", value="confirmatory"), seal=True), "status"),
    "the study's text": (
        edited(put("study_text", value=lambda given: given.replace("cannot", "can")), seal=True), "study",
    ),
    "a data set's hash": (edited(put("datasets", 0, "dataset_hash", value="0" * 64), seal=True), "prompts"),
    "a data set left out": (edited(put("datasets", value=lambda all_: all_[1:]), seal=True), "datasets"),
    "a data set that nobody asked": (
        edited(put("datasets", value=lambda all_: [*all_, {**all_[0], "seed": 9}]), seal=True), "datasets",
    ),
    "a unit's hash": (edited(put("units", 0, "rows_hash", value="0" * 64), seal=True), "units"),
    "a unit left out": (edited(put("units", value=lambda all_: all_[1:]), seal=True), "units"),
    "the hash of all rows": (edited(put("rows_hash", value="0" * 64), seal=True), "items"),
    "the weights' hash": (edited(put("models", 0, "weights_hash", value="0" * 64), seal=True), "tiny:llama"),
    "the tokenizer's hash": (edited(put("models", 0, "tokenizer_hash", value="0" * 64), seal=True), "tiny:llama"),
    "the noise floor": (edited(put(*PROOF, "noise_floor", value=9.0), seal=True), "tiny:llama"),
    "an identity that fails": (edited(put(*PROOF, "identities", 0, "holds", value=False), seal=True), "tiny:llama"),
    "another copy of the proof": (edited(copied(noise_floor=9.0), seal=True), "tiny:llama"),
    "a copy that is no proof": (edited(put("models", 0, "answer", value={"proof": 1}), seal=True), "tiny:llama"),
    "a model left out": (edited(put("models", value=[]), seal=True), "models"),
    "the processor's seconds": (edited(put("cost", "cpu_seconds", value=1e6), seal=True), "cost"),
    "the results alone": (edited(put("results", "scenario", value="Improvement"), seal=True), "verdicts.json"),
    "the verdicts' file alone": (with_file(text("verdicts.json", '"scenario": "', '"scenario": "not ')), "verdicts"),
    "the receipts' file": (
        with_file(table("receipts.parquet", lambda rows: rows.with_columns(pl.col("firings") + 1))), "receipts",
    ),
    "the study's file": (with_file(text("study.yaml", "cannot", "can")), "study.yaml"),
    "a row's number": (
        with_file(table("items/*.parquet", lambda rows: rows.with_columns(pl.col("entropy") * 0.5))), "items",
    ),
    "a question's order": (with_file(table("prompts/*.parquet", lambda rows: rows.with_columns(
        pl.col("item_id").reverse()))), "prompts"),
    "a unit taken away": (
        with_file(gone("units/*.json"), put("files", value=lambda files: files)), "units",
    ),
}  # fmt: skip
RECOUNTED: dict[str, Callable[[Any], object]] = {
    "what a gate saw": put("gates", 0, "reason", value="all is well"),
    "a gate left out": put("gates", value=lambda gates: gates[:-1]),
}
LEDGER: dict[str, Callable[[Any], object]] = {
    "the machine": put("environment", "processor", value="a better one"),
    "the commit": put("code", "commit", value="0" * 40),
    "the day": put("cost", "started", value="2020-01-01T00:00:00+00:00"),
    "the deviations": put("deviations", value=["Nothing to tell."]),
    "the difference of the tree": put("code", "diff", value="no difference"),
    "the parameters": put("parameters", value={"workers": 64}),
}


def named(folder: Path) -> str:
    return "; ".join(f"{what} {fault}" for what, fault in verify(folder))


def test_there_are_more_than_fifty_forgeries_and_a_sound_run_is_none(small_run) -> None:
    assert sum(map(len, (PLAIN, UNSEALED, SEALED, RECOUNTED, LEDGER))) >= 50
    assert verify(small_run.folder) == []


def test_a_true_copy_of_the_proof_is_no_forgery(copied_run) -> None:
    edited(copied(), seal=True)(copied_run.folder)
    assert named(copied_run.folder) == ""


@pytest.mark.parametrize("name", PLAIN)
def test_a_changed_file_is_named(name: str, copied_run) -> None:
    forge, fault = PLAIN[name]
    forge(copied_run.folder)
    assert fault in named(copied_run.folder)


@pytest.mark.parametrize("name", UNSEALED)
def test_a_changed_manifest_is_named(name: str, copied_run) -> None:
    edited(UNSEALED[name], seal=False)(copied_run.folder)
    assert named(copied_run.folder) == "manifest.json was changed after it was sealed"


@pytest.mark.parametrize("name", SEALED)
def test_what_a_forger_who_seals_anew_forgets_is_named(name: str, copied_run) -> None:
    forge, part = SEALED[name]
    forge(copied_run.folder)
    assert part in named(copied_run.folder)


@pytest.mark.parametrize("name", RECOUNTED)
def test_what_the_rows_do_not_give_is_named_by_the_recount(name: str, copied_run) -> None:
    edited(RECOUNTED[name], seal=True)(copied_run.folder)
    assert not recount(copied_run.folder).document["agrees"]


@pytest.mark.parametrize("name", LEDGER)
def test_what_stands_in_one_place_only_is_known_by_the_ledger(name: str, copied_run) -> None:
    enter(copied_run.home, copied_run.manifest)
    edited(LEDGER[name], seal=True)(copied_run.folder)
    with pytest.raises(LesionError, match="the ledger has another seal"):
        check_seal(copied_run.home, read_manifest(copied_run.folder))


def fitted(change: Callable[[Path], object]) -> Forge:
    """Change files, then make all hashes of rows, units and files fit, and seal anew: all that needs no model."""

    def both(folder: Path) -> None:
        change(folder)
        for path in sorted(folder.glob("units/*.json")):
            rows, unit = folder / "items" / f"{path.stem}.parquet", json.loads(path.read_text())
            if rows.exists():
                unit |= {"rows_hash": rows_hash(pl.read_parquet(rows)), "file_hash": file_hash(rows)}
                write_text(path, json.dumps(unit, indent=1) + "\n")
        run, manifest = RunFolder(folder), Manifest.model_validate_json((folder / "manifest.json").read_text())
        hashes = {run.key(unit.cell): unit.rows_hash for unit in run.units()}
        units = tuple(f.model_copy(update={"rows_hash": hashes[f.key]}) for f in manifest.units if f.key in hashes)
        made = {"units": units, "rows_hash": rows_hash(run.items()), "files": dict(run.files())}
        write_text(folder / "manifest.json", manifest.model_copy(update=made).sealed().model_dump_json(indent=1) + "\n")

    return both


def confirmed(change: Callable[[pl.DataFrame], pl.DataFrame]) -> Forge:
    """Change the rows of one unit of the confirmation."""

    def rewrite(folder: Path) -> None:
        paths = [path for path in sorted(folder.glob("items/*")) if pl.read_parquet(path)["stage"][0] == "confirm"]
        change(pl.read_parquet(paths[0])).write_parquet(paths[0])

    return fitted(rewrite)


def doubled_unit(folder: Path) -> None:
    path = one(folder, "units/*.json")
    shutil.copy(path, path.with_name(f"{'0' * len(path.stem)}.json"))


def refused(folder: Path) -> None:
    """An item is called refused after the data; its rows stay."""
    path = one(folder, "prompts/*.parquet")
    first = pl.col("index") == pl.col("index").min()
    table = pl.read_parquet(path)
    table.with_columns(refused=pl.when(first).then(pl.lit("too_long: x")).otherwise("refused")).write_parquet(path)


FIRST = pl.col("index") == pl.col("index").min()
TARGET = pl.col("arm").str.starts_with("target")
FITTED: dict[str, tuple[Forge, str]] = {
    "a row twice": (confirmed(lambda t: pl.concat([t, t.tail(1)])), "stand twice"),
    "a row of another item": (confirmed(lambda t: pl.concat([t, t.tail(1).with_columns(pl.col("index") + 1000)])),
                              "belong to another cell"),
    "an item taken away": (confirmed(lambda t: t.filter(~FIRST)), "lacks 1 rows"),
    "an item of one arm taken away": (confirmed(lambda t: t.filter(~(FIRST & (pl.col("arm") == "baseline")))),
                                      "baseline lacks 1 rows"),
    "an arm taken away": (confirmed(lambda t: t.filter(~(TARGET & (pl.col("arm") == "target@1.5")))),
                          r"target@1.5 lacks"),
    "an arm renamed, its columns too": (confirmed(lambda t: t.with_columns(
        pl.col("arm").replace("target@1.5", "target@2"),
        amount=pl.when(pl.col("arm") == "target@1.5").then(2.0).otherwise(pl.col("amount")))), "target@1.5 lacks"),
    "another seed": (confirmed(lambda t: t.with_columns(pl.col("seed") + 1)), "belong to another cell"),
    "another stage": (confirmed(lambda t: t.with_columns(stage=pl.lit("specificity"))), "belong to another cell"),
    "an item refused afterwards": (fitted(refused), "refused or not asked"),
    "a unit twice": (fitted(doubled_unit), "processor seconds"),
    "passes in the table of receipts": (fitted(table("receipts.parquet", lambda t: t.with_columns(
        pl.col("forwards") + 1))), "receipts of the units"),
    "logits in the table of receipts": (fitted(table("receipts.parquet", lambda t: t.with_columns(
        pl.col("max_logit_change") * 2))), "receipts of the units"),
    "seeds in the table of receipts": (fitted(table("receipts.parquet", lambda t: t.with_columns(
        pl.col("seed") + 1))), "receipts of the units"),
    "stages in the table of receipts": (fitted(table("receipts.parquet", lambda t: t.with_columns(
        stage=pl.lit("baseline")))), "receipts of the units"),
    "a receipt taken from the table": (fitted(table("receipts.parquet", lambda t: t.slice(1))), "receipts of the"),
    "a receipt twice in the table": (fitted(table("receipts.parquet", lambda t: pl.concat([t, t.tail(1)]))),
                                     "receipts of the units"),
}  # fmt: skip


@pytest.mark.parametrize("name", FITTED)
def test_what_a_forger_who_makes_every_hash_fit_forgets_is_named(name: str, copied_run) -> None:
    forge, part = FITTED[name]
    forge(copied_run.folder)
    assert part in named(copied_run.folder)
