"""What a run's parts must be, computed from its study and rows: what a resealing forger must change, too.

Dates follow each other; questions are what the study's tasks make of its key; receipts fit the arms; numbers lie where
they can, and those that were measured twice agree. `unchecked` says what stands in one place only, so that nothing here
can tell whether it was changed: only a ledger, an outside witness or a replay can.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from importlib.metadata import version
from itertools import pairwise
from math import inf, log
from pathlib import Path

import polars as pl

from lesion.errors import LesionError
from lesion.identity import canonical_json
from lesion.models.sizes import folder_here, read_sizes
from lesion.runs.folder.clock import stamp
from lesion.runs.folder.run_folder import RunFolder, Unit, read_begun
from lesion.runs.manifest.environment import source_hash
from lesion.runs.manifest.run import Manifest
from lesion.study.arms.edits import asked_task, same_sites
from lesion.study.gates.evidence.paired_arms import DRIFT
from lesion.study.gates.evidence.soundness import (
    asked_twice,
    doubled_rows,
    foreign_rows,
    missing_rows,
    unsound_cells,
    unsound_receipts,
)  # fmt: skip
from lesion.study.metric_table import COLUMNS
from lesion.study.plan import Cell
from lesion.study.rows import ITEM_KEY, NUMBERS
from lesion.study.stages.cells import draw_of
from lesion.study.study import Study
from lesion.tasks.task import Draw, Split

SLACK = 60.0
"""Seconds of processor that a run may have used beside what its workers could."""
DRAWN_BY = ("polars", "numpy", "jinja2")
"""Packages whose versions may change a digit or a mark of a report."""
Said = Iterator[tuple[str, str]]


def impossible(folder: Path, manifest: Manifest) -> Said:
    """What cannot be: part and words. The files must be those of the manifest."""
    yield from dates(manifest)
    yield from _begun(folder, manifest)
    yield from _machine(manifest)
    if not (folder / "units").is_dir():
        return
    run = RunFolder(folder)
    units = list(run.units())
    yield from _moments(units, manifest)
    same = same_sites(manifest.study.sweep.edit)
    cells = [unit.cell for unit in units]
    yield from (("plan", fault) for fault in unsound_cells(cells, manifest.plan.targets, same=same))
    items, prompts = run.items(), run.prompts()
    yield from (("items", fault) for fault in asked_twice(items))
    yield from (("items", fault) for fault in [doubled_rows(items)] if fault)
    yield from _receipts(run, units, manifest.study.dtype, prompts)
    yield from _numbers(items, manifest)
    yield from _questions(prompts, manifest)


def unchecked(folder: Path, manifest: Manifest) -> Iterator[str]:
    """What no file here tells a second time, in sentences that end with who can tell."""
    yield (
        "processor, memory, workers, system and package versions: told once; a replay with --fresh installs and "
        "compares them"
    )
    yield "commit and diff: told once; a replay with --fresh checks the commit out and compares the source hash"
    yield "deviations: told once; the chain of registrations and the notes tell what was amended and seen"
    yield "dates and seconds: held against each other; that the clock was right only an outside witness can say"
    if manifest.cost.wall_seconds == 0:
        yield "the order of the dates: the run says that the clock was set back while it went on"
    names = [model.name for model in manifest.models]
    if absent := [name for name in names if not name.startswith("tiny:") and folder_here(name) is None]:
        yield f"weights of {', '.join(absent)}: not on this machine; they are checked when a replay opens them"
    if (folder / "units").is_dir():
        if (folder / "explorer.parquet").is_file():
            yield "attention and answers that the explorer shows: a replay looks at them again"
        yield "numbers of edited rows within what is possible: only a replay measures them again"
        yield "passes and logits that receipts tell of, engine and noise floor of units: a replay tells them again"
        yield "refusals, token counts and prompt hashes: a replay compiles the questions again"
        if own := sorted(tier for tier, task in manifest.study.tasks.items() if not _makes_itself(task.task)):
            yield f"texts of {', '.join(own)}: made by code or a file that verify does not run or open; a replay does"
        if manifest.study.chat is not None:
            yield "what a chat template put around the questions: a replay asks the template again"
    else:
        yield "the whole rows: they are not in this folder; a replay makes them again"


def unrendered(folder: Path, manifest: Manifest) -> list[str]:
    """Why it cannot be told whether a report is the rows' own; empty where it can."""
    if not (folder / "units").is_dir():
        return ["report, README and figures: the whole rows are not in this folder"]
    if manifest.code.source_hash != source_hash():
        return ["report, README and figures: they were written by other source than this; check that commit out"]
    other = [name for name in DRAWN_BY if manifest.environment.packages.get(name) != version(name)]
    return [f"report, README and figures: they were written with another {', '.join(other)}"] if other else []


def dates(manifest: Manifest) -> Said:
    """Dates that contradict each other, within the manifest."""
    try:
        started, ended = (datetime.fromisoformat(time) for time in (manifest.cost.started, manifest.cost.ended))
        took = (ended - started).total_seconds()
    except (ValueError, TypeError):
        yield "cost", "tells a time that is none"
        return
    if took < 0 < manifest.cost.wall_seconds:
        yield "cost", "says that the run ended before it started"
    elif abs(max(0.0, took) - manifest.cost.wall_seconds) > 1.5:
        yield "cost", "tells other wall seconds than lie between its dates"
    registration = manifest.registration
    if registration is not None and manifest.command == "run" and _later(registration.time, started):
        yield "registration", f"is dated {registration.time}, after the run began ({manifest.cost.started})"
    named = f"{stamp(started)}_{manifest.study.name}_{manifest.study_hash[:6]}"
    if not manifest.run.startswith(named):
        yield "run", f"is named {manifest.run[:80]}, and a run of this study that began then is named {named}"


def _later(time: str, than: datetime) -> bool:
    try:
        return datetime.fromisoformat(time) > than
    except (ValueError, TypeError):
        return True


def _begun(folder: Path, manifest: Manifest) -> Said:
    """What the folder said of itself from its first moment."""
    path = folder / "begun.json"
    if not path.is_file():
        return
    begun = read_begun(path)
    recorded = {
        "study": (begun.study, manifest.study.name),
        "study_hash": (begun.study_hash, manifest.study_hash),
        "key": (begun.key, manifest.key),
        "source_hash": (begun.source_hash, manifest.code.source_hash),
        "status": (begun.status, manifest.status),
        "command": (begun.command, manifest.command),
        "started": (begun.started, manifest.cost.started),
        "device": (begun.device, manifest.environment.device),
    }
    for name, (first, last) in recorded.items():
        if first != last:
            yield "begun.json", f"says {name} {str(first)[:40]}, and the manifest {str(last)[:40]}"


def _machine(manifest: Manifest) -> Said:
    """Machine, parameters and cost against each other."""
    environment, study, cost = manifest.environment, manifest.study, manifest.cost
    if environment.determinism.get("dtype", study.dtype) != study.dtype:
        yield "environment", "tells another dtype than the study"
    workers, here = manifest.parameters.get("workers"), environment.executor == "local" and environment.device == "cpu"
    if here and isinstance(workers, int) and workers > 0 and workers != environment.workers:
        yield "parameters", f"ask for {workers} workers, and the environment tells of {environment.workers}"
    if (file := manifest.parameters.get("study")) is not None and not isinstance(file, str):
        yield "parameters", "name no study"
    if manifest.parameters.get("dry_run", manifest.status == "dry-run") is not (manifest.status == "dry-run"):
        yield "parameters", "and status say different things of a dry run"
    if environment.workers < 1 or environment.cores < 1 or environment.threads < 1:
        yield "environment", "has no worker, core or thread"
    if missing := sorted({"torch", "transformers", "polars"} - {name.lower() for name in environment.packages}):
        yield "environment", f"does not tell the version of {', '.join(missing)}"
    if min(cost.cpu_seconds, cost.gpu_seconds, cost.wall_seconds) < 0:
        yield "cost", "is negative"
    most = cost.wall_seconds * environment.workers * environment.threads * 1.1 + SLACK
    if cost.wall_seconds > 0 and cost.cpu_seconds > most:
        yield "cost", f"tells {cost.cpu_seconds:.0f} s of processor, and its workers had {most:.0f}"


def _moments(units: Iterable[Unit], manifest: Manifest) -> Said:
    """Units that were finished before the run began or after it ended."""
    if manifest.cost.wall_seconds == 0:
        return
    times = sorted(unit.finished for unit in units if unit.finished)
    ends = [manifest.cost.started, *times[:1], *times[-1:], manifest.cost.ended]
    try:
        moments = [datetime.fromisoformat(time) for time in ends]
        if any(later < earlier for earlier, later in pairwise(moments)):
            yield "units", f"were finished from {times[0]} to {times[-1]}, outside the run"
    except (ValueError, TypeError):
        yield "units", "tell a time that is none"


def _receipts(run: RunFolder, units: Iterable[Unit], dtype: str, prompts: pl.DataFrame) -> Said:
    """Rows and receipts against the plan's arms and the questions."""
    for unit in units:
        if unit.file_hash:
            receipts, rows = ((each.arm, each.receipt) for each in unit.receipts), run.rows_of(unit)
            if strangers := foreign_rows(unit.cell, rows):
                yield f"units/{run.key(unit.cell)}.json", f"is not its rows': {strangers}"
            for fault in missing_rows(unit.cell, rows, prompts):
                yield f"units/{run.key(unit.cell)}.json", f"is not its rows': {fault}"
            for fault in unsound_receipts(unit.cell, receipts, rows, dtype):
                yield f"units/{run.key(unit.cell)}.json", f"holds a receipt that does not fit: {fault}"


def _numbers(items: pl.DataFrame, manifest: Manifest) -> Said:
    """Numbers outside what is possible, and unedited rows of one item that differ."""
    bounded = [metric for metric in COLUMNS if metric.low > -inf or metric.high != inf]
    for name in [each.name for each in manifest.models]:
        try:
            most = log(read_sizes(name).vocab_size) + 1e-6
        except LesionError:  # not on this machine
            most = 1e9
        rows = items.filter(pl.col("model") == name)
        for metric in bounded:
            number, high = pl.col(metric.name), most if metric.high == "ln V" else metric.high
            if beyond := rows.filter(number.is_not_nan() & ~number.is_between(metric.low, high)).height:
                yield "items", f"{beyond} rows of {name} have an {metric.name} that cannot be"
    same = items.filter((pl.col("split") == "confirm") & pl.col("role").is_in(["baseline", "placebo"]))
    spreads = [pl.col(name).fill_nan(None).max() - pl.col(name).fill_nan(None).min() for name in NUMBERS]
    gaps = same.group_by(ITEM_KEY).agg(*spreads, pl.col("correct").n_unique().alias("answers"))
    limit = DRIFT[manifest.study.dtype]
    for name in NUMBERS:
        if (apart := gaps.filter(pl.col(name) > limit).height) > 0:
            yield "items", f"{apart} items have another {name} in one unedited pass than in another"
    if (flips := gaps.filter(pl.col("answers") > 1).height) and manifest.study.dtype == "float32":
        yield "items", f"{flips} items are right in one unedited pass and wrong in another"


def _makes_itself(task: str) -> bool:
    """Whether a task's items follow from its settings alone: no file is opened and no code of others is run."""
    return task not in ("own", "gsm8k", "file")


def _questions(prompts: pl.DataFrame, manifest: Manifest) -> Said:
    """Questions that are not what the study's tasks make."""
    study, plan = manifest.study, manifest.plan
    lanes: dict[tuple[str, str, int], set[int]] = {}
    for tier, split, seed, index in prompts.select("tier", "split", "seed", "index").iter_rows():
        lanes.setdefault((tier, split, seed), set()).add(index)
    chat, wrong_tiers = study.chat is not None, set[str]()
    for (tier, split, seed), numbers in lanes.items():
        if tier not in study.tasks or not _makes_itself(study.tasks[tier].task):
            continue
        cell = Cell(stage="baseline", model="", tier=tier, split=_split(split), seed=seed)
        made = _made(study, tier, draw_of(cell, plan), numbers)
        here = prompts.filter((pl.col("tier") == tier) & (pl.col("split") == split) & (pl.col("seed") == seed))
        for row in here.iter_rows(named=True):
            names = ("answer", "wrong", "buckets") if chat else ("item_id", "prompt", "answer", "wrong", "buckets")
            wrong = [name for name in names if made.get(row["index"], {}).get(name) != row[name]]
            if wrong and tier not in wrong_tiers:
                wrong_tiers.add(tier)
                yield "prompts", f"of {tier} are not what the study's task makes: item {row['index']}, {wrong[0]}"


def _split(split: str) -> Split:
    return "confirm" if split == "confirm" else "discovery"


def _made(study: Study, tier: str, draw: Draw, numbers: set[int]) -> dict[int, dict[str, str]]:
    """What the task makes of a lane, by index."""
    try:
        items = asked_task(study.tasks[tier], study.sweep.edit).items(draw, min(numbers), max(numbers) + 1)
        return {
            item.index: {
                "item_id": item.id, "prompt": item.prompt, "answer": item.answer, "wrong": item.wrong,
                "buckets": canonical_json(dict(item.buckets)).decode(),
            }
            for item in items if item.index in numbers
        }  # fmt: skip
    except LesionError:
        return {}
