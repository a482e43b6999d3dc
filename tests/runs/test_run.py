"""A run from a study to a sealed manifest: what it records, that it repeats and resumes, and its proper ends."""

import json
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
import yaml

import lesion.runs.measure.measure_cell as module
from lesion.cli import main
from lesion.errors import InputError, LesionError, Tampered
from lesion.identity import file_hash
from lesion.models.model import open_model
from lesion.models.obtain.origin import Origin, write_origin
from lesion.models.tiny import character_tokenizer
from lesion.runs.execute.conduct import Tick
from lesion.runs.execute.executors import Processes, run_here
from lesion.runs.execute.finish import Order
from lesion.runs.execute.run import start
from lesion.runs.folder.run_folder import RunFolder
from lesion.runs.manifest.run import read_manifest
from lesion.runs.measure.measure_cell import work
from lesion.runs.measure.proof import _origin
from lesion.runs.measure.worker_state import opened, prepare
from lesion.stats.verdict import judge as decide
from lesion.study.format.load import parse_document
from lesion.study.rows import ITEM_KEY, rows_hash
from lesion.study.selftest.selftest import trial
from lesion.study.study import Study


def order_of(text: str) -> Order:
    return Order(study=parse_document(text, "x.yaml", Study), text=text, status="exploratory")


def changed(text: str, **parts: object) -> str:
    return yaml.safe_dump({**yaml.safe_load(text), **parts}, sort_keys=False)


def test_every_stage_is_there_and_every_artefact_has_its_hash(small_run) -> None:
    manifest = read_manifest(small_run.folder)
    assert [gate.stage for gate in manifest.gates] == ["instrument", "baseline", "discovery", "confirm", "confirm"]
    assert manifest.outcome == "complete"
    assert set(manifest.files) >= {"study.yaml", "verdicts.json", "receipts.parquet"}
    for name, digest in manifest.files.items():
        assert file_hash(small_run.folder / name) == digest
    assert manifest.code.source_hash
    assert manifest.environment.packages["torch"]
    machine = manifest.environment
    assert (machine.executor, machine.workers, machine.threads) == ("local", 1, 1)
    assert manifest.models[0].weights_hash
    assert manifest.cost.cpu_seconds > 0
    assert {fact.split for fact in manifest.datasets} == {"discovery", "confirm"}


def test_a_gate_that_judges_wrongly_ends_a_run_and_a_registration_before_anything_is_written(
    small_text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "small.yaml").write_text(small_text, encoding="utf-8")
    monkeypatch.setattr(decide, "holm", lambda p, family_size=None: np.asarray(p))
    trial.cache_clear()
    try:
        with pytest.raises(LesionError, match="in a family of twenty"):
            start(order_of(small_text), tmp_path / "home", 1, lambda _: None, lambda *_: None)
        with pytest.raises(SystemExit) as ended:
            main(["register", str(tmp_path / "small.yaml"), "--home", str(tmp_path / "home"), "--seen", "nothing"])
    finally:
        trial.cache_clear()
    assert ended.value.code == LesionError.exit_code
    assert "in a family of twenty" in capsys.readouterr().err
    assert not (tmp_path / "home").exists()


def test_the_manifest_tells_how_texts_begin_and_end(small_run) -> None:
    (proof,) = read_manifest(small_run.folder).proofs().values()
    assert proof.conventions.keys() >= {"bos", "ends", "set_aside", "taken_off", "system"}
    assert "origin" not in proof.model_fields_set, "only converted models have one"


def test_the_proof_of_a_converted_model_tells_its_origin(tmp_path) -> None:
    origin = Origin(
        name="toy", about="", file="toy.gguf", file_sha256="5" * 64, licence="", quantisation={"Q4_1": 3}, steps=(),
        dtype="float32", parameters=1, embeddings="", weights_hash="0" * 64, made_with={},
    )  # fmt: skip
    write_origin(tmp_path, origin)
    told = _origin(replace(open_model("tiny:llama"), folder=tmp_path))
    assert told == {"origin": origin.model_dump(mode="json")}


def test_a_model_at_the_floor_gets_no_harm_and_no_null(small_run) -> None:
    cells = small_run.manifest.results.cells
    assert cells
    for cell in cells.values():
        assert "floor" in cell.tags
        assert cell.verdict == "Inconclusive"
    assert small_run.manifest.results.scenario == "Inconclusive"


def test_every_edited_arm_left_a_receipt_with_one_firing_per_forward(small_run) -> None:
    receipts = pl.read_parquet(small_run.folder / "receipts.parquet")
    items = RunFolder(small_run.folder).items()
    edited = items.filter(pl.col("arm") != "baseline").select("stage", "seed", "arm").unique()
    assert edited.join(receipts, on=["stage", "seed", "arm"], how="anti").height == 0
    assert (receipts["firings"] == receipts["forwards"] * receipts["modules"]).all()
    assert (receipts["elements"] > 0).all()
    assert (receipts.filter(pl.col("arm") == "placebo")["l2_change"] == 0).all()
    assert (receipts.filter(pl.col("arm") == "placebo")["max_logit_change"] < 1e-4).all()
    assert (receipts.filter(pl.col("arm") != "placebo")["max_logit_change"] > 0).all()


def test_the_same_study_gives_the_same_rows_with_other_workers(
    small_run, small_text, quiet, no_report, tmp_path
) -> None:
    again = start(order_of(small_text), tmp_path, 2, quiet, no_report)
    assert again.manifest.rows_hash == small_run.manifest.rows_hash
    assert again.manifest.results == small_run.manifest.results
    assert again.manifest.plan_hashes == small_run.manifest.plan_hashes


def test_a_run_that_was_cut_off_goes_on_and_ends_with_the_same_rows(
    small_run, small_text, quiet, no_report, tmp_path
) -> None:
    class Cut(BaseException):
        """The power goes."""

    def until(limit: int, tick: Tick) -> None:
        if tick.stage == "discovery" and tick.done == limit:
            raise Cut

    with pytest.raises(Cut):
        start(order_of(small_text), tmp_path, 1, partial(until, 1), no_report)
    cut = next((tmp_path / "runs").iterdir())
    assert not (cut / "manifest.json").exists()
    seen: list[tuple[str, int]] = []
    ran = start(order_of(small_text), tmp_path, 1, lambda tick: seen.append((tick.stage, tick.done)), no_report)
    assert ran.folder == cut
    assert next(entry for entry in seen if entry[0] == "discovery") == ("discovery", 1), "finished units are not redone"
    assert ran.manifest.rows_hash == small_run.manifest.rows_hash
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [cut.name]


def test_rows_are_those_of_the_untouched_hugging_face_model(small_run) -> None:
    """Zeroing head 1 of layer 0 is zeroing its columns of o_proj: recomputed without any hook."""
    model = opened("tiny:llama")
    items = RunFolder(small_run.folder).items().filter(pl.col("stage") == "confirm")
    asked = RunFolder(small_run.folder).prompts()
    sample = items.filter((pl.col("arm") == "target@zero") & (pl.col("index") < 5)).join(asked, on=ITEM_KEY)
    projection = model.module.model.layers[0].self_attn.o_proj
    d = model.sizes.d_head
    kept = projection.weight.data.clone()
    try:
        projection.weight.data[:, d : 2 * d] = 0
        for row in sample.to_dicts():
            ids = [model.bos, *model.tokenizer.encode(row["prompt"], add_special_tokens=False).ids]
            answer = model.tokenizer.encode(row["answer"], add_special_tokens=False).ids
            with torch.inference_mode():
                logits = model.module(torch.tensor([ids + answer])).logits[0, len(ids) - 1 : -1].double()
            logprob = logits.log_softmax(-1)[range(len(answer)), answer].sum().item()
            assert row["answer_logprob"] == pytest.approx(logprob, abs=1e-4)
            assert row["correct"] == (logits.argmax(-1).tolist() == answer)
    finally:
        projection.weight.data.copy_(kept)
    assert sample.height == 15


def test_a_baseline_that_no_pool_can_make_stable_stops_with_a_note(
    small_text, quiet, no_report, tmp_path, monkeypatch
) -> None:
    """With half of the answers right at random, a spread of a tenth of a point is not to be had."""
    text = changed(small_text, baseline={"items": 64, "spread": 0.001})
    honest = module._Rows.table

    def coin(self):
        return honest(self).with_columns(correct=pl.col("item_id").str.slice(-1).is_in(list("13579bdf")))

    monkeypatch.setattr(module._Rows, "table", coin)
    monkeypatch.setattr(module, "reread", lambda *_, **__: None)  # it would see that the answers are not the model's
    ran = start(order_of(text), tmp_path, 1, quiet, no_report)
    assert ran.manifest.outcome == "stopped"
    assert "stable baseline" in ran.manifest.ending.reason
    assert not any(gate.stage in ("discovery", "confirm") for gate in ran.manifest.gates)
    notes = [path.read_text() for path in (tmp_path / "notes").iterdir()]
    assert any("stable baseline" in note and ran.folder.name in note for note in notes)


def test_a_budget_that_is_spent_ends_the_run_and_says_so(small_text, quiet, no_report, tmp_path) -> None:
    ran = start(order_of(changed(small_text, budget={"cpu_hours": 1e-9})), tmp_path, 1, quiet, no_report)
    assert ran.budget_spent
    assert "cpu_hours" in ran.manifest.ending.reason


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"sweep": {"target": {"kind": "sites", "sites": ["L0H99"]}}}, "L0H99"),
        ({"sweep": {"target": {"kind": "sites", "sites": ["L0H1"]}, "positions": "role:operand_9"}}, "operand_1"),
        ({"sweep": {"target": {"kind": "sites", "sites": ["L0H1"]}, "items": 500_000}}, "discovery pool"),
        ({"models": ["zoo:abacus-lama"]}, "abacus-llama"),
        ({"models": ["somewhere/else"]}, "40 hexadecimal digits"),
    ],
)
def test_a_study_that_does_not_fit_is_refused_and_leaves_nothing(
    part: dict[str, object], said: str, small_text, quiet, no_report, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said):
        start(order_of(changed(small_text, **part)), tmp_path, 1, quiet, no_report)
    assert list(tmp_path.iterdir()) == []


def test_two_runs_in_one_minute_get_two_folders(small_run, small_text, quiet, no_report, tmp_path) -> None:
    first = start(order_of(small_text), tmp_path, 1, quiet, no_report)
    second = start(order_of(small_text), tmp_path, 1, quiet, no_report)
    assert first.folder != second.folder
    assert first.manifest.rows_hash == second.manifest.rows_hash == small_run.manifest.rows_hash


def test_a_pool_of_processes_gives_the_rows_of_one(small_run) -> None:
    manifest = small_run.manifest
    units = [unit for unit in RunFolder(small_run.folder).units() if unit.cell.stage == "baseline"][:2]
    cells = [unit.cell for unit in units]
    task = partial(work, plan=manifest.plan)
    here = {cell: rows_hash(result.items) for cell, result in run_here(task, cells)}
    with Processes(2, prepare) as pool:
        there = {cell: rows_hash(result.items) for cell, result in pool(task, cells)}
    assert here == there == {unit.cell: unit.rows_hash for unit in units}


def test_logs_are_kept_for_people_and_for_programs(small_run) -> None:
    log = next((small_run.home / "logs").rglob("*.log"))
    assert "gate baseline: Pass" in log.read_text()
    events = [json.loads(line) for line in log.with_suffix(".jsonl").read_text().splitlines()]
    assert any(event["event"].startswith("stage confirm") for event in events)


def test_a_cell_in_which_the_quick_engine_is_off_goes_the_plain_way_and_says_so(small_run, monkeypatch) -> None:
    unit = next(unit for unit in RunFolder(small_run.folder).units() if unit.cell.stage == "discovery")
    quick = work(unit.cell, small_run.manifest.plan)
    honest = module.sampled
    monkeypatch.setattr(module, "sampled", lambda *given: honest(*given)._replace(error=1.0))
    plain = work(unit.cell, small_run.manifest.plan)
    assert (quick.engine["engine"], plain.engine["engine"]) == ("fast", "reference")
    assert plain.engine["sample_error"] == 1.0
    gap = (quick.items["answer_logprob"] - plain.items["answer_logprob"]).abs().max()
    assert gap < 1e-4
    assert [r.arm for r in quick.receipts] == [r.arm for r in plain.receipts]


def test_a_memory_limit_cuts_passes_and_the_unit_says_so(small_run) -> None:
    unit = next(unit for unit in RunFolder(small_run.folder).units() if unit.cell.stage == "discovery")
    free, scarce = (work(unit.cell, small_run.manifest.plan, memory=memory) for memory in (None, 1))
    assert free.engine.keys().isdisjoint({"memory_limit", "halvings"})
    assert scarce.engine["memory_limit"] == 1
    assert {(cut["reason"], cut["got"]) for cut in scarce.engine["halvings"]} == {("limit", 1)}
    gap = (free.items["answer_logprob"] - scarce.items["answer_logprob"]).abs().max()
    assert gap < 1e-5
    again = work(unit.cell, small_run.manifest.plan, memory=1)
    assert again.engine["halvings"] == scarce.engine["halvings"], "each unit tells of its own passes alone"


def test_a_study_in_bfloat16_opens_the_weights_so_measures_the_floor_and_marks_every_verdict(
    small_text, quiet, no_report, tmp_path
) -> None:
    text = changed(small_text, dtype="bfloat16")
    ran = start(order_of(text), tmp_path, 1, quiet, no_report)
    manifest = ran.manifest
    (model,) = manifest.models
    assert model.dtype == "bfloat16" == manifest.environment.determinism["dtype"]
    rounding = manifest.proofs()["tiny:llama"].rounding
    assert rounding["tier1"].items > 0
    assert rounding["tier1"].nats > 1e-4
    assert manifest.plan.rounding["tiny:llama"]["tier1"] > 0
    assert manifest.outcome == "complete"
    cells = manifest.results.cells.values()
    assert cells
    assert all("bfloat16" in cell.tags or cell.verdict == "Invalid" for cell in cells)


def test_a_study_with_chat_asks_through_the_template_and_records_its_hash(
    small_text, quiet, no_report, tmp_path
) -> None:
    folder = tmp_path / "model"
    opened("tiny:llama").module.save_pretrained(folder)
    character_tokenizer().save(str(folder / "tokenizer.json"))
    template = "{{ bos_token }}{% for m in messages %}Q({{ m['content'] }}){% endfor %}A"
    said = {"bos_token": "<bos>", "chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(said), encoding="utf-8")
    ran = start(order_of(changed(small_text, models=[str(folder)], chat={})), tmp_path, 1, quiet, no_report)
    (proof,) = ran.manifest.proofs().values()
    assert proof.chat["template_hash"] == sha256(template.encode()).hexdigest()
    prompts = RunFolder(ran.folder).prompts()["prompt"]
    assert prompts.str.starts_with("Q(").all()
    assert prompts.str.ends_with(")A").all()
    with pytest.raises(InputError, match="tiny:llama: its tokenizer has no chat template"):
        start(order_of(changed(small_text, chat={})), tmp_path, 1, quiet, no_report)


def test_weights_that_change_between_stages_end_the_run(small_text, quiet, no_report, monkeypatch, tmp_path) -> None:
    def other(cell, plan, **options):
        result = work(cell, plan, **options)
        return result if cell.stage == "instrument" else result._replace(engine={**result.engine, "weights_hash": "0"})

    monkeypatch.setattr("lesion.runs.execute.run.work", other)
    with pytest.raises(Tampered, match="its weights changed while the run went on"):
        start(order_of(small_text), tmp_path, 1, quiet, no_report)
    (folder,) = (tmp_path / "runs").iterdir()
    assert {unit.cell.stage for unit in RunFolder(folder).units()} == {"instrument"}, "no row of other weights is kept"
