"""A run folder while it grows: finished units, atomically written, found again by the content hash of their cell.

A unit counts when `units/KEY.json` is there; its rows were on disk before. So a run that was cut off loses at most the
units in flight, and the same command, resumed, computes only what is missing.
"""

from collections.abc import Iterable, Iterator, Mapping
from math import sqrt
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from pydantic import Field, ValidationError

from lesion.errors import InputError, Tampered
from lesion.identity import Document, content_hash, file_hash
from lesion.interventions.intervention import Receipt
from lesion.outside.tables import read_table as read_shaped
from lesion.runs.folder.atomic_io import write_table, write_text
from lesion.runs.folder.clock import iso, now
from lesion.runs.folder.find import small_text
from lesion.study.arms.condition_columns import with_conditions
from lesion.study.gates.evidence.model_answers import AnyAnswer
from lesion.study.plan import Cell
from lesion.study.rows import ITEM_KEY, PROMPTS, ROWS_FORMAT, completed, empty, rows_hash, shape_of

MOST_BEGUN_BYTES = 100_000
MOST_UNIT_BYTES = 100_000_000
MOST_ROWS = 5_000_000
"""Of one unit: about a hundred times the largest that a plan makes."""


class Begun(Document):
    """What a folder says of itself from its first moment, so that the same command can resume it, and no other can."""

    study: str
    """Name of the study."""
    study_hash: str
    key: str
    """What orders the confirmation items: units of one order are never taken for those of another."""
    source_hash: str
    status: str
    command: str
    started: str
    device: str = "cpu"
    """Where models compute: what one device has begun, another does not go on with."""


def read_begun(path: Path) -> Begun:
    """What a folder says of itself.

    Raises:
        InputError: when `begun.json` is not what a run writes; nothing may be resumed, or counted, beside it.
    """
    try:
        return Begun.model_validate_json(small_text(path, MOST_BEGUN_BYTES))
    except ValidationError as error:
        raise InputError(f"{path}: not the record of a begun run; move that folder out of runs/ first") from error


class ArmReceipt(Document):
    """The receipt of one arm in one cell."""

    arm: str
    receipt: Receipt


class Result(NamedTuple):
    """What a cell gives: rows and questions, or an answer about the model."""

    items: pl.DataFrame | None
    prompts: pl.DataFrame | None
    answer: AnyAnswer | None
    receipts: tuple[ArmReceipt, ...]
    cpu_seconds: float
    engine: dict[str, Any]
    """How it was computed: hash of the weights; engine, largest difference from the reference on the sample, batches;
    where there were any, the memory limit in bytes and the passes that were cut because memory did not suffice."""
    gpu_seconds: float = 0.0


class Unit(Document):
    """The record of a finished cell."""

    cell: Cell
    rows_hash: str
    """Hash of the item rows, or of the answer."""
    file_hash: str | None
    """SHA-256 of the item rows' file."""
    answer: AnyAnswer | None
    receipts: tuple[ArmReceipt, ...]
    cpu_seconds: float
    engine: dict[str, Any]
    gpu_seconds: float = 0.0
    rows_format: int = Field(default=1, ge=1, le=ROWS_FORMAT, exclude_if=lambda number: number == 1)
    """Format of its rows: which columns the table has."""
    finished: str = Field(default="", exclude_if=lambda time: not time)
    """When it was put on disk, UTC, ISO 8601; empty in runs from before this was kept."""


def read_unit(path: Path) -> Unit:
    """A finished unit.

    Raises:
        Tampered: when the file is not what a run writes.
    """
    try:
        return Unit.model_validate_json(small_text(path, MOST_UNIT_BYTES))
    except (ValidationError, InputError) as error:
        raise Tampered(f"{path}: not a unit of a run any more") from error


def read_table(path: Path, shape: Mapping[str, Any]) -> pl.DataFrame:
    """A table of a run; columns, their kinds and the number of rows are looked at before the rows are.

    Raises:
        Tampered: when it is not what a run writes.
    """
    try:
        return read_shaped(path, MOST_ROWS, shape)
    except InputError as error:
        raise Tampered(str(error)) from error


class RunFolder:
    """The units of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def key(self, cell: Cell) -> str:
        """The unit's name: 24 digits of the content hash of its cell."""
        return cell.hash()[:24]

    def unit(self, cell: Cell) -> Unit | None:
        """The finished unit of a cell, or nothing.

        Raises:
            Tampered: when its rows are not those that were written.
        """
        path = self.path / "units" / f"{self.key(cell)}.json"
        if not path.exists():
            return None
        unit = read_unit(path)
        rows = self._rows_path(cell)
        if unit.file_hash is not None and (not rows.exists() or file_hash(rows) != unit.file_hash):
            raise Tampered(f"{rows}: its rows are not those that the run wrote")
        return unit

    def append(self, cell: Cell, result: Result) -> Unit:
        """Put a finished cell on disk: rows and questions first, the unit last."""
        digest = result.answer.recorded_hash() if result.answer is not None else content_hash(None)
        written = None
        if result.items is not None and result.prompts is not None:
            write_table(self._rows_path(cell), result.items)
            write_table(self._prompts_path(cell), result.prompts)
            digest, written = rows_hash(result.items), file_hash(self._rows_path(cell))
        unit = Unit(
            cell=cell,
            rows_hash=digest,
            file_hash=written,
            answer=result.answer,
            receipts=result.receipts,
            cpu_seconds=result.cpu_seconds,
            engine=result.engine,
            gpu_seconds=result.gpu_seconds,
            rows_format=ROWS_FORMAT,
            finished=iso(now()),
        )
        write_text(self.path / "units" / f"{self.key(cell)}.json", unit.model_dump_json(indent=1) + "\n")
        return unit

    def units(self) -> Iterator[Unit]:
        """Every finished unit, in the order of their names."""
        for path in sorted((self.path / "units").glob("*.json")):
            yield read_unit(path)

    def items(self) -> pl.DataFrame:
        """The rows of every finished unit, in canonical order."""
        return self.items_of(self.units())

    def items_of(self, units: Iterable[Unit]) -> pl.DataFrame:
        """The rows of some units, in canonical order."""
        tables = [self.rows_of(unit) for unit in units if unit.file_hash]
        return pl.concat([empty(shape_of(decoded=False)), *tables], how="diagonal").sort(["stage", *ITEM_KEY, "arm"])

    def rows_of(self, unit: Unit) -> pl.DataFrame:
        """The rows of a unit that measured items; columns that an older format lacks are filled in.

        Raises:
            Tampered: when they are not what a run writes.
        """
        path, shape = self._rows_path(unit.cell), shape_of(decoded=unit.cell.decoded, rows_format=unit.rows_format)
        try:
            whole = shape_of(decoded=unit.cell.decoded)
            return completed(with_conditions(read_table(path, shape)), whole).select(list(whole))
        except InputError as error:
            raise Tampered(f"{path}: {error}") from error

    def prompts(self) -> pl.DataFrame:
        """Every question once, in canonical order."""
        paths = sorted((self.path / "prompts").glob("*.parquet"))
        return self._once(paths)

    def prompts_of(self, units: Iterable[Unit]) -> pl.DataFrame:
        """The questions of some units, each once, in canonical order."""
        return self._once(sorted({self._prompts_path(unit.cell) for unit in units if unit.file_hash}))

    def _once(self, paths: Iterable[Path]) -> pl.DataFrame:
        """Every question of some tables once: matched sets are measured on the first items of a block."""
        tables = (read_table(path, PROMPTS) for path in paths)
        return pl.concat([empty(PROMPTS), *tables]).unique(maintain_order=True).sort(ITEM_KEY)

    def changed(self, stage: str) -> dict[tuple[str, str, str], float]:
        """How much every arm of a stage changed, by its receipts: (model, tier, arm) -> norm over all units."""
        squares: dict[tuple[str, str, str], float] = {}
        for unit in self.units():
            if unit.cell.stage == stage:
                for each in unit.receipts:
                    key = unit.cell.model, unit.cell.tier, each.arm
                    squares[key] = squares.get(key, 0.0) + each.receipt.l2_change**2
        return {key: sqrt(square) for key, square in squares.items()}

    def files(self, leave_out: frozenset[str] = frozenset({"manifest.json"})) -> Mapping[str, str]:
        """Path within the folder -> SHA-256 of every file but those left out and hidden ones."""
        found = (path for path in sorted(self.path.rglob("*")) if path.is_file() and not path.name.startswith("."))
        names = ((path.relative_to(self.path).as_posix(), path) for path in found)
        return {name: file_hash(path) for name, path in names if name not in leave_out}

    def _rows_path(self, cell: Cell) -> Path:
        return self.path / "items" / f"{self.key(cell)}.parquet"

    def _prompts_path(self, cell: Cell) -> Path:
        """Named by the questions alone, so that stages that ask the same items share the file."""
        asked = [cell.model, cell.tier, cell.split, cell.seed, cell.start, cell.stop]
        return self.path / "prompts" / f"{content_hash(asked)[:24]}.parquet"
