"""Faults in the record: files of a finished run that are changed, by accident or by a forger who seals anew."""

import json

import polars as pl

from lesion.identity import file_hash
from lesion.models.model import open_model
from lesion.runs.folder.atomic_io import write_text
from lesion.runs.folder.run_folder import RunFolder
from lesion.runs.index.registrations import register
from lesion.runs.manifest.run import Manifest
from lesion.study.results import Results
from lesion.study.rows import rows_hash
from tests.faults.defences import STUDY, order
from tests.faults.fault import Fault, Finished
from tests.study.made import FORGED, with_cell, with_proof

SEEN = "Nothing of it anywhere else."
"""What the registrant says of other places."""


def _first(run: Finished, kind: str):
    return sorted((run.folder / kind).iterdir())[0]


def _bit(path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def _read(run: Finished) -> Manifest:
    return Manifest.model_validate_json((run.folder / "manifest.json").read_text(encoding="utf-8"))


def forge(run: Finished, *, ledger: bool = False, **updates: object) -> None:
    """Seal anew: rows, units, files and seal are made to fit; the ledger is thrown away, or left."""
    folder = RunFolder(run.folder)
    for path in sorted((run.folder / "units").glob("*.json")):
        unit = json.loads(path.read_text(encoding="utf-8"))
        rows = run.folder / "items" / f"{path.stem}.parquet"
        if rows.exists():
            unit |= {"rows_hash": rows_hash(pl.read_parquet(rows)), "file_hash": file_hash(rows)}
            write_text(path, json.dumps(unit, indent=1) + "\n")
    hashes = {folder.key(unit.cell): unit.rows_hash for unit in folder.units()}
    manifest = _read(run)
    facts = [fact.model_copy(update={"rows_hash": hashes[fact.key]}) for fact in manifest.units if fact.key in hashes]
    made = manifest.model_copy(
        update={"units": tuple(facts), "rows_hash": rows_hash(folder.items()), "files": dict(folder.files())} | updates
    )
    write_text(run.folder / "manifest.json", made.sealed().model_dump_json(indent=1) + "\n")
    if not ledger:
        (run.home / "ledger.sqlite").unlink()


def digit(run):
    path = run.folder / "manifest.json"
    path.write_text(path.read_text().replace('"margin": 0.5', '"margin": 0.4', 1))


def sealed_anew(run):
    forge(run, ledger=True, results=FORGED)


def bit_of_rows(run):
    _bit(_first(run, "items"))


def bit_of_questions(run):
    _bit(_first(run, "prompts"))


def bit_of_unit(run):
    _bit(_first(run, "units"))


def rows_taken(run):
    path = _first(run, "items")
    pl.read_parquet(path).head(-1).write_parquet(path)


def rows_added(run):
    path = _first(run, "items")
    table = pl.read_parquet(path)
    pl.concat([table, table.head(1)]).write_parquet(path)


def verdict_file(run):
    path = run.folder / "verdicts.json"
    path.write_text(path.read_text().replace('"verdict": "', '"verdict": "Not ', 1))


def unit_taken(run):
    _first(run, "units").unlink()


def file_added(run):
    (run.folder / "figures").mkdir(exist_ok=True)
    (run.folder / "figures" / "better.svg").write_text("<svg/>")


def manifest_cut(run):
    path = run.folder / "manifest.json"
    path.write_text(path.read_text()[:-200])


def _other_verdict(run) -> Results:
    results = _read(run).results
    name, cell = next(iter(results.cells.items()))
    return with_cell(results, name, verdict="Harm" if cell.verdict != "Harm" else "Null")


def verdict_forged(run):
    results = _other_verdict(run)
    write_text(run.folder / "verdicts.json", results.model_dump_json(indent=1) + "\n")
    forge(run, results=results)


def verdict_half_forged(run):
    forge(run, results=_other_verdict(run))


def gate_forged(run):
    gates = list(_read(run).gates)
    gates[1] = gates[1].model_copy(update={"reason": "the widest spread over seeds is 0.00 points, as wanted"})
    forge(run, gates=tuple(gates))


def _rows(run, change) -> None:
    """Change the confirmation's rows of the target."""
    for path in sorted((run.folder / "items").iterdir()):
        table = pl.read_parquet(path)
        if table["stage"][0] == "confirm":
            change(table).write_parquet(path)


def answers_forged(run):
    hit = (pl.col("arm").str.starts_with("target")) & (pl.col("index") % 3 == 0)
    _rows(run, lambda table: table.with_columns(pl.when(hit).then(True).otherwise("correct").alias("correct")))
    forge(run)


def numbers_forged(run):
    """Numbers that no gate reads."""
    _rows(run, lambda table: table.with_columns(pl.col("entropy") * 0.9))
    forge(run)


def order_forged(run):
    """Two questions change places."""
    for path in sorted((run.folder / "prompts").iterdir()):
        table = pl.read_parquet(path)
        turned = [1, 0, *range(2, table.height)]
        table.with_columns(table[turned, ["item_id"]]["item_id"]).write_parquet(path)
    forge(run)


def threshold_forged(run):
    """The margin of the study is another, after the data."""
    study = _read(run).study
    other = study.model_copy(update={"verdict": study.verdict.model_copy(update={"margin": 0.2})})
    forge(run, study=other, study_hash=other.hash())


def threshold_forged_everywhere(run):
    manifest = _read(run)
    text = manifest.study_text.replace("margin: 0.5", "margin: 0.2")
    study = order(text).study
    plan = manifest.plan.model_copy(update={"study": study})
    write_text(run.folder / "study.yaml", text)
    hashes = (*manifest.plan_hashes[:-1], plan.hash())
    forge(run, study=study, study_hash=study.hash(), study_text=text, plan=plan, plan_hashes=hashes)


def question_forged(run):
    text = _read(run).study_text.replace("Does a fault", "Does no fault")
    write_text(run.folder / "study.yaml", text)
    forge(run, study_text=text)


def floor_forged(run):
    """A noise floor so high that any replay would lie within it."""
    forge(run, gates=with_proof(_read(run), noise_floor=9.0).gates)


def receipt_forged(run):
    path = run.folder / "receipts.parquet"
    pl.read_parquet(path).with_columns(pl.col("l2_change") * 2).write_parquet(path)
    forge(run)


def confirmatory_forged(run):
    forge(run, status="confirmatory")


def _folder_model(run, spoil) -> None:
    folder = run.home / "model"
    model = open_model("tiny:llama")
    model.module.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(model.tokenizer.to_str(), encoding="utf-8")
    opened = open_model(str(folder))
    facts = (
        _read(run)
        .models[0]
        .model_copy(
            update={"name": str(folder), "weights_hash": opened.weights_hash, "tokenizer_hash": opened.tokenizer_hash}
        )
    )
    forge(run, models=(facts,))
    spoil(folder)


def weights_swapped(run):
    def spoil(folder):
        module = open_model("tiny:llama").module
        module.model.layers[0].mlp.down_proj.weight.data.mul_(1.001)
        module.save_pretrained(folder)

    _folder_model(run, spoil)


def tokenizer_changed(run):
    def spoil(folder):
        path = folder / "tokenizer.json"
        text = json.loads(path.read_text(encoding="utf-8"))
        vocabulary = text["model"]["vocab"]
        one, two = (name for name in ("1", "2"))
        vocabulary[one], vocabulary[two] = vocabulary[two], vocabulary[one]
        path.write_text(json.dumps(text), encoding="utf-8")

    _folder_model(run, spoil)


def _registered(run):
    made = []
    for name in ("one", "two"):
        text = STUDY.replace("name: faults", f"name: {name}")
        made.append(register(run.home, order(text).study, text, "", seen=SEEN)[1])
    return made


def registration_edited(run):
    path = _registered(run)[0]
    path.write_text(path.read_text().replace('"margin": 0.5', '"margin": 0.2').replace('"margin":0.5', '"margin":0.2'))


def registration_removed(run):
    _registered(run)[-1].unlink()


RECORD_FAULTS = [
    Fault("one digit of the manifest is changed", "manifest.json", "record", digit, cheap=True),
    Fault("the manifest is changed and sealed anew", "manifest.json", "record", sealed_anew, cheap=True),
    Fault("the manifest is cut off", "manifest.json", "record", manifest_cut),
    Fault("one bit of the rows is turned", "items/*.parquet", "record", bit_of_rows),
    Fault("one bit of the questions is turned", "prompts/*.parquet", "record", bit_of_questions),
    Fault("one bit of a unit is turned", "units/*.json", "record", bit_of_unit),
    Fault("rows are taken away", "items/*.parquet", "record", rows_taken),
    Fault("rows are added", "items/*.parquet", "record", rows_added),
    Fault("a verdict is written over", "verdicts.json", "record", verdict_file),
    Fault("a unit is taken away", "units/*.json", "record", unit_taken),
    Fault("a figure is added", "figures/", "record", file_added),
    Fault("a verdict is forged and all is sealed anew", "manifest.json, verdicts.json", "record", verdict_forged,
          cheap=True),
    Fault("a verdict is forged in the manifest alone, and sealed", "manifest.json", "record", verdict_half_forged),
    Fault("what a gate said is forged, and sealed", "manifest.json", "record", gate_forged),
    Fault("answers are forged in the rows, and sealed", "items/*.parquet", "record", answers_forged),
    Fault("numbers that no gate reads are forged, and sealed", "items/*.parquet", "record", numbers_forged, cheap=True),
    Fault("the data set is re-ordered, and sealed", "prompts/*.parquet", "record", order_forged, cheap=True),
    Fault("a threshold is changed after the data, and sealed", "manifest.json", "record", threshold_forged),
    Fault("a threshold is changed wherever it stands, and sealed", "manifest.json, study.yaml", "record",
          threshold_forged_everywhere),
    Fault("the study's text is changed, and sealed", "manifest.json, study.yaml", "record", question_forged),
    Fault("the noise floor is raised, and sealed", "manifest.json", "record", floor_forged),
    Fault("receipts are forged, and sealed", "receipts.parquet", "record", receipt_forged),
    Fault("an exploratory run is called confirmatory, and sealed", "manifest.json", "record", confirmatory_forged),
    Fault("the weights are swapped after the run", "model.safetensors", "record", weights_swapped),
    Fault("the tokenizer is changed after the run", "tokenizer.json", "record", tokenizer_changed),
    Fault("a registration is edited", "registrations/*.json", "record", registration_edited),
    Fault("the last registration is removed", "registrations/*.json", "record", registration_removed),
]  # fmt: skip
