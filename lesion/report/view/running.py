"""A run that is not finished: which stage it is in, how fast it goes, the time left of the stage, and its rows so far.

What the run's log tells of a stage, and the units that are on disk, are all that is read. Outcomes of confirmation
items stay hidden until the run has ended, so that nobody stops a run because of what it shows.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import polars as pl
from pydantic import BaseModel, ValidationError

from lesion.errors import LesionError
from lesion.outside.files import read_text
from lesion.report.view.home import is_held
from lesion.report.wording.words import model_name, percent
from lesion.runs.execute.logs import LIMIT_BYTES
from lesion.runs.folder.clock import now
from lesion.runs.folder.find import small_text
from lesion.runs.folder.run_folder import Begun, RunFolder, read_begun, read_unit
from lesion.study.format.load import parse_document
from lesion.study.stages.stage_table import STAGES
from lesion.study.study import Study

OPEN_STAGES = ("baseline", "discovery")
"""Stages whose accuracy is shown before the run has ended."""
_KEY = ["model", "tier", "role", "edit", "amount"]


class Event(BaseModel):
    """A line of the log that tells of a stage that begins, or of its gate; other lines are passed over."""

    time: datetime
    stage: str = ""
    gate: str = ""
    attempt: int = 0
    cells: int = 0
    done: int = 0
    """Cells of the stage that were on disk when it began."""
    units: int = 0
    """Units of the whole run at that moment."""
    outcome: str = ""
    reason: str = ""


class StageNow(NamedTuple):
    """The stage that a run is in."""

    name: str
    attempt: int
    cells: int
    done: int
    per_minute: float | None
    """Cells a minute since the stage began; None before the first."""
    seconds_left: float | None
    """Of this stage, at that rate."""


class RowsSoFar(NamedTuple):
    """The rows of one stage, model, tier and condition."""

    stage: str
    model: str
    tier: str
    condition: str
    rows: int
    accuracy: str
    """A word where it is not shown yet."""


class Running(NamedTuple):
    """An unfinished run."""

    run: str
    begun: Begun
    running: bool
    """Whether a process on this machine holds it."""
    question: str
    stage: StageNow | None
    """None before the first stage, and while the report is being written."""
    gates: tuple[Event, ...]
    units: int
    cpu_seconds: float
    budget: str
    """Processor hours spent and the limit; empty where the study cannot be read."""
    last: str
    """When the last unit was finished; empty before the first."""
    rows: tuple[RowsSoFar, ...]


class _Counted(NamedTuple):
    """A unit in numbers."""

    stage: str
    finished: str
    cpu_seconds: float
    rows: tuple[tuple[str, str, str, int, int], ...]
    """Model, tier, condition, rows, right answers."""


def running(home: Path, folder: Path) -> Running:
    """An unfinished run, as it stands now.

    Raises:
        InputError: when the folder is no begun run.
        Tampered: when a unit is not what a run writes.
    """
    begun, held = read_begun(folder / "begun.json"), is_held(folder)
    events = tuple(_events(home, folder))
    units = [_counted(folder, path.name, path.stat().st_mtime_ns) for path in sorted((folder / "units").glob("*.json"))]
    study, spent = _study(folder), sum(unit.cpu_seconds for unit in units)
    return Running(
        run=folder.name,
        begun=begun,
        running=held,
        question="" if study is None else study.question,
        stage=_stage(events, len(units), now()) if held else None,
        gates=tuple(_shown(event) for event in _last_told(event for event in events if event.gate)),
        units=len(units),
        cpu_seconds=spent,
        budget="" if study is None else f"{spent / 3600:.2f} of {study.budget.cpu_hours:g} processor hours",
        last=max((unit.finished for unit in units), default=""),
        rows=tuple(_rows(units)),
    )


def _last_told(gates: Iterable[Event]) -> Iterable[Event]:
    """Every gate once: a run that goes on after an interruption tells the earlier ones again."""
    return {(gate.gate, gate.attempt): gate for gate in gates}.values()


def _shown(gate: Event) -> Event:
    """A gate, without its reason where that tells what confirmation items showed."""
    stage = next((row for row in STAGES.values() if row.name == gate.gate), None)
    hidden = stage is None or (stage.split == "confirm" and gate.gate not in OPEN_STAGES)
    return gate.model_copy(update={"reason": ""}) if hidden else gate


def _events(home: Path, folder: Path) -> Iterator[Event]:
    """What the log of a run tells of its stages; nothing where there is no log."""
    parts = folder.name.split("_", 2)
    path = home / "logs" / "_".join(parts[:2]) / f"{parts[-1]}.jsonl"
    if not path.is_file():
        return
    for line in read_text(path, 2 * LIMIT_BYTES).splitlines():
        try:
            event = Event.model_validate_json(line)
        except ValidationError:  # half written, or of another kind
            continue
        if event.time.tzinfo is not None and (event.stage or event.gate):
            yield event


def _stage(events: Sequence[Event], units: int, moment: datetime) -> StageNow | None:
    """The stage that began last, if its gate has not judged it yet."""
    if not events or events[-1].gate:
        return None
    event = events[-1]
    fresh = max(0, units - event.units)
    done = min(event.cells, event.done + fresh)
    minutes = (moment - event.time) / timedelta(minutes=1)
    rate = fresh / minutes if fresh and minutes > 0 else None
    left = None if rate is None else 60 * (event.cells - done) / rate
    return StageNow(event.stage, event.attempt, event.cells, done, rate, left)


@lru_cache(maxsize=50_000)
def _counted(folder: Path, name: str, changed: int) -> _Counted:  # noqa: ARG001  (it tells a changed file)
    """A unit, read once: it never changes."""
    unit = read_unit(folder / "units" / name)
    rows: tuple[tuple[str, str, str, int, int], ...] = ()
    if unit.file_hash:
        table = RunFolder(folder).rows_of(unit).group_by(_KEY, maintain_order=True)
        counts = table.agg(pl.len().alias("rows"), pl.col("correct").sum().alias("right"))
        rows = tuple((model, tier, _condition(*how), count, right) for model, tier, *how, count, right in counts.rows())
    return _Counted(unit.cell.stage, unit.finished, unit.cpu_seconds, rows)


def _condition(role: str, edit: str, amount: float | None) -> str:
    """`target resample`, `target ×1.5` or `baseline`."""
    how = f"×{amount:g}" if amount is not None else edit
    return role if how == "none" else f"{role} {how}"


def _rows(units: Sequence[_Counted]) -> Iterator[RowsSoFar]:
    totals: dict[tuple[str, str, str, str], tuple[int, int]] = {}
    for unit in sorted(units, key=lambda unit: unit.finished):
        for model, tier, condition, rows, right in unit.rows:
            key = unit.stage, model_name(model), tier, condition
            before = totals.get(key, (0, 0))
            totals[key] = before[0] + rows, before[1] + right
    for (stage, model, tier, condition), (rows, right) in totals.items():
        accuracy = percent(right / rows) if stage in OPEN_STAGES else "hidden until the end"
        yield RowsSoFar(stage, model, tier, condition, rows, accuracy)


@lru_cache(maxsize=16)
def _parsed(text: str) -> Study | None:
    try:
        return parse_document(text, "study.yaml", Study)
    except LesionError:
        return None


def _study(folder: Path) -> Study | None:
    """The study of an unfinished run; None where its file cannot be read."""
    try:
        return _parsed(small_text(folder / "study.yaml"))
    except LesionError:
        return None
