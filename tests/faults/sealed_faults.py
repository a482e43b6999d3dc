"""Forgeries of a sealed run that `verify` must name without a ledger: dates, machine, questions, receipts, files."""

import json
import math
import os
import shutil

import polars as pl

from lesion.identity import content_hash, file_hash
from lesion.runs.folder.atomic_io import write_text
from lesion.study.registration.registration import Registration
from tests.faults.fault import Fault, Finished
from tests.faults.record_faults import _read, forge


def _raw(run: Finished, change) -> None:
    """Change the manifest as a document, give its files their hashes, and seal it anew; the ledger is thrown away."""
    path = run.folder / "manifest.json"
    raw = json.loads(path.read_text(encoding="utf-8"))
    change(raw)
    raw["files"] = {name: file_hash(run.folder / name) for name in raw["files"]}
    raw["seal"] = content_hash({name: value for name, value in raw.items() if name != "seal"})
    write_text(path, json.dumps(raw))
    (run.home / "ledger.sqlite").unlink(missing_ok=True)


def ended_before_it_began(run):
    _raw(run, lambda raw: raw["cost"].update(ended="2020-01-01T00:00:00+00:00"))


def another_day(run):
    _raw(run, lambda raw: raw["cost"].update(
        started="2020-01-01T00:00:00+00:00", ended="2020-01-01T01:00:00+00:00", wall_seconds=3600.0
    ))  # fmt: skip


def registered_afterwards(run):
    manifest = _read(run)
    registration = Registration(
        number=1, previous=None, time="2099-01-01T00:00:00+00:00", commit="0" * 40, clean=True,
        source_hash=manifest.code.source_hash, study=manifest.study, study_hash=manifest.study_hash,
        text=manifest.study_text, amends=None, reason="", runs_seen=(), looked=(),
    )  # fmt: skip
    plan = manifest.plan.model_copy(update={"key": registration.hash()})
    begun = json.loads((run.folder / "begun.json").read_text(encoding="utf-8"))
    begun |= {"key": registration.hash(), "status": "confirmatory"}
    write_text(run.folder / "begun.json", json.dumps(begun, indent=1) + "\n")
    hashes = (*manifest.plan_hashes[:-1], plan.hash())
    forge(run, registration=registration, status="confirmatory", key=registration.hash(), plan=plan, plan_hashes=hashes)


def units_of_another_day(run):
    path = sorted((run.folder / "units").glob("*.json"))[0]
    unit = json.loads(path.read_text(encoding="utf-8"))
    write_text(path, json.dumps(unit | {"finished": "2020-01-01T00:00:00+00:00"}, indent=1) + "\n")
    forge(run)


def another_source(run):
    _raw(run, lambda raw: raw["code"].update(source_hash="0" * 64))


def another_device(run):
    _raw(run, lambda raw: raw["environment"].update(device="cuda"))


def another_dtype(run):
    _raw(run, lambda raw: raw["environment"]["determinism"].update(dtype="bfloat16"))


def no_packages(run):
    _raw(run, lambda raw: raw["environment"].update(packages={}))


def question_reworded(run):
    for path in sorted((run.folder / "prompts").iterdir()):
        table = pl.read_parquet(path)
        table.with_columns(pl.col("prompt").str.replace("=", " =", literal=True)).write_parquet(path)
    forge(run)


def answers_reworded(run):
    for path in sorted((run.folder / "prompts").iterdir()):
        table = pl.read_parquet(path)
        table.with_columns(wrong=pl.col("answer")).write_parquet(path)
    forge(run)


def _units(run, change) -> None:
    for path in sorted((run.folder / "units").glob("*.json")):
        unit = json.loads(path.read_text(encoding="utf-8"))
        change(unit)
        write_text(path, json.dumps(unit, indent=1) + "\n")
    receipts = run.folder / "receipts.parquet"
    pl.read_parquet(receipts).clear().write_parquet(receipts)


def receipts_emptied_and_sealed(run):
    _units(run, lambda unit: unit.update(receipts=[]))
    forge(run)


def entropy_beyond(run):
    """Entropy in bits, written over in every row."""
    for path in sorted((run.folder / "items").iterdir()):
        table = pl.read_parquet(path)
        table.with_columns(pl.col("entropy") / math.log(2)).write_parquet(path)
    forge(run)


def entropy_of_a_stage(run):
    for path in sorted((run.folder / "items").iterdir()):
        table = pl.read_parquet(path)
        if table["stage"][0] == "baseline":
            table.with_columns(pl.col("entropy") * 0.5).write_parquet(path)
    forge(run)


def key_told_twice(run):
    path = run.folder / "manifest.json"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("{", '{"status": "confirmatory", ', 1), encoding="utf-8")


def a_program(run):
    os.chmod(run.folder / "study.yaml", 0o755)


def a_folder_for_a_file(run):
    path = run.folder / "receipts.parquet"
    path.unlink()
    path.mkdir()


def log_cut_off(run):
    path = next((run.home / "logs").glob("*/faults_*.jsonl"))
    os.truncate(path, path.stat().st_size - 20)


def log_without_its_end(run):
    path = next((run.home / "logs").glob("*/faults_*.jsonl"))
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def run_renamed(run):
    _raw(run, lambda raw: raw.update(run=raw["run"].replace("faults", "others")))


def folder_added(run):
    shutil.copytree(run.folder / "units", run.folder / "more")
    for path in (run.folder / "more").iterdir():
        path.unlink()


SEALED_FAULTS = [
    Fault("the run ends before it began, and is sealed", "manifest.json", "record", ended_before_it_began),
    Fault("the run is dated another day, and sealed", "manifest.json", "record", another_day),
    Fault("the registration is dated after its run, and sealed", "manifest.json, begun.json", "record",
          registered_afterwards),
    Fault("a unit is dated another day, and sealed", "units/*.json", "record", units_of_another_day),
    Fault("the source's hash is another, and sealed", "manifest.json", "record", another_source),
    Fault("the device is another, and sealed", "manifest.json", "record", another_device),
    Fault("the dtype of the environment is another, and sealed", "manifest.json", "record", another_dtype),
    Fault("the packages are taken out, and sealed", "manifest.json", "record", no_packages),
    Fault("questions are reworded, and sealed", "prompts/*.parquet", "record", question_reworded),
    Fault("wrong answers are written over, and sealed", "prompts/*.parquet", "record", answers_reworded),
    Fault("all receipts are emptied, and sealed", "units/*.json, receipts.parquet", "record",
          receipts_emptied_and_sealed),
    Fault("the entropy of every row is in bits, and sealed", "items/*.parquet", "record", entropy_beyond),
    Fault("the entropy of one stage is halved, and sealed", "items/*.parquet", "record", entropy_of_a_stage),
    Fault("a key stands twice in the manifest", "manifest.json", "record", key_told_twice, cheap=True),
    Fault("a file is made a program", "study.yaml", "record", a_program),
    Fault("a folder stands in the place of a file", "receipts.parquet", "record", a_folder_for_a_file),
    Fault("the log is cut off within a line", "logs/*.jsonl", "record", log_cut_off),
    Fault("the log's last line is taken away", "logs/*.jsonl", "record", log_without_its_end),
    Fault("the run is given another name, and sealed", "manifest.json", "record", run_renamed),
    Fault("an empty folder is added", "more/", "record", folder_added),
]  # fmt: skip
