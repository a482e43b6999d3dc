"""The end of a run: what it left behind is gathered, the report written, and the manifest sealed, as the last file."""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import polars as pl
from pydantic_core import to_json

from lesion.errors import InputError
from lesion.identity import content_hash
from lesion.models.device import described, determinism
from lesion.runs.execute.conduct import Afford, Conducted
from lesion.runs.execute.costs import work_of
from lesion.runs.folder.atomic_io import write_table, write_text
from lesion.runs.folder.clock import iso, now
from lesion.runs.folder.run_folder import RunFolder, Unit
from lesion.runs.index.notes import noted, write_note
from lesion.runs.manifest.base import ExecutorName
from lesion.runs.manifest.environment import read_code, read_environment
from lesion.runs.manifest.run import Cost, DatasetFacts, Manifest, Match, ModelFacts, Status, UnitFacts
from lesion.runs.measure.worker_state import THREADS
from lesion.study.gates.evidence.model_answers import InstrumentAnswer
from lesion.study.plan import PlanNote
from lesion.study.registration.registration import Registration
from lesion.study.results import Results, findings
from lesion.study.rows import rows_hash, slim_hash, slim_questions, slim_rows
from lesion.study.study import Study

WriteReport = Callable[[Path, Manifest], object]
"""Writes pictures and pages into the run folder, before it is sealed."""


class Order(NamedTuple):
    """What is to be run."""

    study: Study
    text: str
    """The study file as given."""
    status: Status
    command: str = "run"
    key: str | None = None
    """Orders the confirmation; the study's hash when not given."""
    registration: Registration | None = None
    deviations: tuple[str, ...] = ()
    replay_of: str | None = None
    """Seal of the run that is repeated."""
    compare: Callable[[RunFolder, Results], Match] | None = None
    """Compares the finished rows and results with those of the run that is repeated."""
    afford: Afford | None = None
    """What a replay puts off, because its run did; a run decides by the forecast."""
    parameters: Mapping[str, object] = MappingProxyType({})
    """Those of the command, with every default."""


def close(
    order: Order,
    home: Path,
    folder: RunFolder,
    conducted: Conducted,
    started: datetime,
    workers: int,
    executor: ExecutorName,
    report: WriteReport,
) -> Manifest:
    """Write notes, tables and report, then the manifest, sealed, as the very last file."""
    plan, units, items = conducted.plan, list(folder.units()), folder.items()
    if plan.ending is None:
        raise InputError("a plan without an ending cannot be closed")
    results = findings(plan, conducted.gates)
    write_text(folder.path / "study.yaml", order.text)
    write_text(folder.path / "verdicts.json", to_json(results, indent=1).decode() + "\n")
    write_table(folder.path / "receipts.parquet", _receipts(units))
    match = order.compare(folder, results) if order.compare else None
    ended = now()
    draft = Manifest(
        command=order.command,
        run=folder.path.name,
        parameters=dict(order.parameters),
        seeds={"study": order.study.seed},
        status=order.status,
        outcome=plan.ending.outcome,
        ending=plan.ending,
        study=order.study,
        study_text=order.text,
        study_hash=order.study.hash(),
        registration=order.registration,
        deviations=order.deviations,
        key=plan.key,
        plan=plan,
        plan_hashes=conducted.plan_hashes,
        gates=conducted.gates,
        results=results,
        code=read_code(),
        environment=read_environment(
            workers, THREADS, {**determinism(), "dtype": order.study.dtype}, executor, described()
        ),
        models=_models(units),
        datasets=_datasets(folder.prompts()),
        units=tuple(UnitFacts(key=folder.key(u.cell), stage=u.cell.stage, rows_hash=u.rows_hash) for u in units),
        rows_hash=rows_hash(items),
        slim_hash=slim_hash(slim_rows(items, decoded=bool(order.study.decoded)), slim_questions(folder.prompts())),
        cost=Cost(
            started=iso(started),
            ended=iso(ended),
            wall_seconds=max(0.0, (ended - started).total_seconds()),
            cpu_seconds=sum(unit.cpu_seconds for unit in units),
            gpu_seconds=sum(unit.gpu_seconds for unit in units),
            flop=work_of(order.study, units),
        ),
        replay_of=order.replay_of,
        match=match,
        files={},
    )
    _write_notes(home, ended, [*plan.notes, *_clock_note(started, ended)], folder.path.name)
    report(folder.path, draft)
    for left in folder.path.rglob(".*.tmp"):  # of a process that was killed while it wrote
        left.unlink()
    manifest = draft.model_copy(update={"files": dict(folder.files())}).sealed()
    write_text(folder.path / "manifest.json", manifest.model_dump_json(indent=1) + "\n")
    return manifest


QUIET_TOPICS = {"second-look", "cell-refused", "overrun", "floor-and-ceiling", "control-quietness"}
"""What is decided by rule and no surprise: a rationale. All else is an anomaly."""


def _write_notes(home: Path, moment: datetime, notes: list[PlanNote], run: str) -> None:
    """One file each; those that a process wrote before it was killed while closing are not written again."""
    for note in notes:
        if not noted(home, note.topic, note.text, run):
            kind = "rationale" if note.topic in QUIET_TOPICS else "anomaly"
            write_note(home, moment, kind, note.topic, note.text, run)


def _clock_note(started: datetime, ended: datetime) -> list[PlanNote]:
    """A word on a clock that was set back while the run went on."""
    if ended >= started:
        return []
    text = (
        f"The clock was set back during this run: it began at {iso(started)} and ended at {iso(ended)}. Its wall time "
        "is not known and stands as 0; rows, order and verdicts do not depend on the clock."
    )
    return [PlanNote(topic="clock-set-back", text=text)]


def _receipts(units: list[Unit]) -> pl.DataFrame:
    """One row per cell and arm."""
    rows = [
        {
            "model": unit.cell.model,
            "stage": unit.cell.stage,
            "tier": unit.cell.tier,
            "split": unit.cell.split,
            "seed": unit.cell.seed,
            "start": unit.cell.start,
            "stop": unit.cell.stop,
            "arm": receipt.arm,
            **receipt.receipt.model_dump(),
        }
        for unit in units
        for receipt in unit.receipts
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def _models(units: list[Unit]) -> tuple[ModelFacts, ...]:
    """What the instrument stage said of every model."""
    proofs = sorted((u for u in units if u.cell.stage == "instrument"), key=lambda unit: unit.cell.seed)
    answers = {u.cell.model: u.answer for u in proofs if isinstance(u.answer, InstrumentAnswer)}
    return tuple(
        ModelFacts(
            name=name,
            revision=answer.revision,
            family=answer.family,
            dtype=answer.dtype,
            weights_hash=answer.weights_hash,
            tokenizer_hash=answer.tokenizer_hash,
        )
        for name, answer in sorted(answers.items())
    )


def _datasets(prompts: pl.DataFrame) -> tuple[DatasetFacts, ...]:
    """The ordered questions of every model, tier, split and seed."""
    facts: list[DatasetFacts] = []
    for group in prompts.partition_by("model", "tier", "split", "seed", maintain_order=True):
        first: dict[str, Any] = group.row(0, named=True)
        facts.append(
            DatasetFacts(
                model=first["model"],
                tier=first["tier"],
                split=first["split"],
                seed=first["seed"],
                items=group.height,
                excluded=group.height - group["refused"].null_count(),
                dataset_hash=content_hash([group["item_id"].to_list(), group["prompt_hash"].to_list()]),
            )
        )
    return tuple(facts)
