"""A run folder while it grows: finished units, atomically written, found again by the content hash of their cell.

A unit counts when `units/KEY.json` is there; its rows were on disk before. So a run that was cut off loses at most the
units in flight, and the same command, resumed, computes only what is missing.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from lesion.errors import Tampered
from lesion.identity import Document, content_hash, file_hash
from lesion.interventions.intervention import Receipt
from lesion.runs.durable import write_table, write_text
from lesion.study.plan import Cell
from lesion.study.rows import ITEM_KEY, ITEMS, PROMPTS, empty, rows_hash


class Begun(Document):
    """What an unfinished folder says of itself, so that the same command can resume it, and no other can."""

    study: str
    """Name of the study."""
    study_hash: str
    key: str
    """What orders the confirmation items: units of one order are never taken for those of another."""
    source_hash: str
    status: str
    command: str
    started: str


class ArmReceipt(Document):
    """The receipt of one arm in one cell."""

    arm: str
    receipt: Receipt


class Result(NamedTuple):
    """What a cell gives: rows and questions, or an answer about the model."""

    items: pl.DataFrame | None
    prompts: pl.DataFrame | None
    answer: dict[str, Any] | None
    receipts: tuple[ArmReceipt, ...]
    cpu_seconds: float
    engine: dict[str, Any]
    """How it was computed: engine, largest difference from the reference on the sample, batches; where there were any,
    the memory limit in bytes and the passes that were cut because memory did not suffice."""
    gpu_seconds: float = 0.0


class Unit(Document):
    """The record of a finished cell."""

    cell: Cell
    rows_hash: str
    """Hash of the item rows, or of the answer."""
    file_hash: str | None
    """SHA-256 of the item rows' file."""
    answer: dict[str, Any] | None
    receipts: tuple[ArmReceipt, ...]
    cpu_seconds: float
    engine: dict[str, Any]
    gpu_seconds: float = 0.0


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
        unit = Unit.model_validate_json(path.read_text(encoding="utf-8"))
        rows = self._rows_path(cell)
        if unit.file_hash is not None and (not rows.exists() or file_hash(rows) != unit.file_hash):
            raise Tampered(f"{rows}: its rows are not those that the run wrote")
        return unit

    def append(self, cell: Cell, result: Result) -> Unit:
        """Put a finished cell on disk: rows and questions first, the unit last."""
        digest, written = content_hash(result.answer), None
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
        )
        write_text(self.path / "units" / f"{self.key(cell)}.json", unit.model_dump_json(indent=1) + "\n")
        return unit

    def units(self) -> Iterator[Unit]:
        """Every finished unit, in the order of their names."""
        for path in sorted((self.path / "units").glob("*.json")):
            yield Unit.model_validate_json(path.read_text(encoding="utf-8"))

    def items(self) -> pl.DataFrame:
        """The rows of every finished unit, in canonical order."""
        tables = [pl.read_parquet(self._rows_path(unit.cell)) for unit in self.units() if unit.file_hash]
        return pl.concat([empty(ITEMS), *tables]).sort(["stage", *ITEM_KEY, "arm"])

    def prompts(self) -> pl.DataFrame:
        """Every question once, in canonical order."""
        paths = sorted((self.path / "prompts").glob("*.parquet"))
        return pl.concat([empty(PROMPTS), *map(pl.read_parquet, paths)]).sort(ITEM_KEY)

    def prompts_of(self, units: Iterable[Unit]) -> pl.DataFrame:
        """The questions of some units, each once, in canonical order."""
        paths = sorted({self._prompts_path(unit.cell) for unit in units if unit.file_hash})
        return pl.concat([empty(PROMPTS), *map(pl.read_parquet, paths)]).sort(ITEM_KEY)

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
