"""A run as it is published in a repository: all of it but the full tables, which slim ones stand for.

`rows.parquet` has what gates and verdicts read of every row, `questions.parquet` the answers and strata, `units.jsonl`
the finished units with their receipts. So `lesion verify` and `lesion stats` judge every gate again: verdicts, seeds,
ablations and specificity. The run's own seal covers the hash of the slim tables (`slim_hash`), so a changed answer
shows even where `published.json` was written anew. What is left out comes back when the manifest is replayed.
"""

from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

import polars as pl
from pydantic import ValidationError

from lesion.errors import InputError, Tampered
from lesion.identity import Document, file_hash
from lesion.outside.tables import read_table, require_columns
from lesion.runs.folder.atomic_io import whole_folder, write_bytes, write_table, write_text
from lesion.runs.folder.find import small_text
from lesion.runs.folder.run_folder import RunFolder, Unit
from lesion.runs.manifest.run import Manifest, read_manifest
from lesion.study.arms.condition_columns import with_conditions
from lesion.study.gates.evidence.paired_arms import STAGES
from lesion.study.plan import Cell, Chosen
from lesion.study.rows import ITEM_KEY, ITEMS, PROMPTS, completed, shape_of, slim_hash, slim_questions, slim_rows

NAME, ROWS, QUESTIONS, UNITS = "published.json", "rows.parquet", "questions.parquet", "units.jsonl"
LEFT_OUT = ("items/", "prompts/", "units/")
"""Folders of a run that are left out: the slim tables stand for them."""
REDRAWN = ("figures/*.png", "figures/*.pdf", "figures/*.parquet", "figures/*.vl.json", "explorer.parquet")
"""Files that are left out too: figures in other forms (SVG, CSV and query stay), and the answers that the page's list
of items is made from. `lesion figure` draws a figure again in any form; a replay brings all of them back."""
MOST_UNITS_BYTES = 1_000_000_000


class Published(Document):
    """What a published run holds and what it leaves out."""

    published: Literal[1, 2] = 2
    """Version; 1 kept whether each answer was right and nothing else, so only counts can be checked."""
    run: str
    """Name of the run folder."""
    seal: str
    """Seal of its manifest."""
    rows: str
    """SHA-256 of rows.parquet."""
    questions: str = ""
    """SHA-256 of questions.parquet; none in version 1."""
    units: str = ""
    """SHA-256 of units.jsonl; none in version 1."""
    left_out: tuple[str, ...]
    """Files of the run that are not here; their hashes stand in the manifest."""


class PublishedRun(RunFolder):
    """A published run, read as if its units were there; columns that it does not keep are null."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        lines = small_text(path / UNITS, MOST_UNITS_BYTES).splitlines()
        try:
            self._units = {unit.cell.hash()[:24]: unit for unit in map(Unit.model_validate_json, lines)}
            self._rows, self._questions = (
                _whole(path / ROWS, shape_of(decoded=False)),
                _whole(path / QUESTIONS, PROMPTS),
            )
        except (ValidationError, pl.exceptions.PolarsError) as error:
            raise Tampered(f"{path}: not a published run any more") from error

    def unit(self, cell: Cell) -> Unit | None:
        """The finished unit of a cell, or nothing."""
        return self._units.get(self.key(cell))

    def units(self) -> Iterator[Unit]:
        """Every finished unit, in the order of their names."""
        return iter([self._units[key] for key in sorted(self._units)])

    def items(self) -> pl.DataFrame:
        """The rows of every unit, in canonical order."""
        return self.items_of(self.units())

    def items_of(self, units: Iterable[Unit]) -> pl.DataFrame:
        """The rows of some units, in canonical order."""
        keys = {self.key(unit.cell) for unit in units}
        numbers = [number for number, key in enumerate(sorted(self._units)) if key in keys]
        return self._rows.filter(pl.col("unit").is_in(numbers)).drop("unit").sort(["stage", *ITEM_KEY, "arm"])

    def prompts(self) -> pl.DataFrame:
        """Every question once, in canonical order."""
        return self._questions.sort(ITEM_KEY)

    def prompts_of(self, units: Iterable[Unit]) -> pl.DataFrame:
        """The questions of some units, each once, in canonical order."""
        cells = [unit.cell for unit in units if unit.file_hash]
        asked = {(c.model, c.tier, c.split, c.seed, c.start, c.stop) for c in cells}
        lane = ["model", "tier", "split", "seed"]
        shape = {name: PROMPTS[name] for name in lane} | {"first": pl.Int64(), "last": pl.Int64()}
        blocks = pl.DataFrame(sorted(asked), schema=shape, orient="row")
        within = (pl.col("index") >= pl.col("first")) & (pl.col("index") < pl.col("last"))
        found = self._questions.join(blocks, on=lane, how="inner").filter(within)
        return found.select(self._questions.columns).unique(ITEM_KEY).sort(ITEM_KEY)


def _whole(path: Path, shape: dict[str, type[pl.DataType] | pl.DataType]) -> pl.DataFrame:
    """A slim table with every column of the full one; those that were not kept are null."""
    table = _slim(path, "unit" if "arm" in shape else "")
    table = with_conditions(table) if "arm" in shape else table
    return completed(table, shape)


def _slim(path: Path, more: str) -> pl.DataFrame:
    """A slim table with the columns that it must have; the column `more`, where that is named, too.

    Raises:
        Tampered: when it is no such table.
    """
    kept = (
        slim_rows(pl.DataFrame(schema=ITEMS), decoded=False) if more else slim_questions(pl.DataFrame(schema=PROMPTS))
    )
    shape = dict(kept.schema) | ({more: pl.Int32()} if more else {})
    try:
        return require_columns(read_table(path), path, shape)
    except InputError as error:
        raise Tampered(str(error)) from error


def is_published(folder: Path) -> bool:
    """Whether this folder is a published run."""
    return (folder / NAME).is_file()


def open_rows(folder: Path) -> RunFolder:
    """The rows of a run: its own folder, or a published one that keeps enough of them.

    Raises:
        InputError: when the rows are not there.
    """
    if (folder / "units").is_dir():
        return RunFolder(folder)
    if is_published(folder):
        if not (folder / UNITS).is_file():
            raise InputError(
                f"{folder}: was published before publications kept strata and units, so its statistics cannot be "
                "computed here; replay its manifest"
            )
        return PublishedRun(folder)
    raise InputError(f"{folder}: its rows are not here; statistics are computed from them, not from the manifest")


def is_left_out(name: str) -> bool:
    """Whether a published run goes without this file of the run."""
    return name.startswith(LEFT_OUT) or any(fnmatch(name, pattern) for pattern in REDRAWN)


def publish(run: Path, out: Path) -> Path:
    """Copy an intact run into a folder of its name below `out`, slim; its certificate, if any, stands beside it.

    Raises:
        InputError: when the folder exists already, or its rows are not here.
        DiskError: when it cannot be written; nothing half-made is left.
    """
    manifest = read_manifest(run)
    if not (run / "units").is_dir():
        raise InputError(f"{run}: its rows are not here; a run is published from its own folder")
    if (out / manifest.run).exists():
        raise InputError(f"{out / manifest.run} exists; a published run is never written over")
    source = RunFolder(run)
    units = list(source.units())

    def fill(folder: Path, _: str) -> None:
        for name in (*manifest.files, "manifest.json"):
            if not is_left_out(name):
                write_bytes(folder / name, (run / name).read_bytes())
        write_table(folder / ROWS, _numbered(source, units, decoded=bool(manifest.study.decoded)))
        write_table(folder / QUESTIONS, slim_questions(source.prompts()))
        write_text(folder / UNITS, "".join(f"{unit.model_dump_json()}\n" for unit in units))
        document = Published(
            run=manifest.run,
            seal=manifest.seal,
            rows=file_hash(folder / ROWS),
            questions=file_hash(folder / QUESTIONS),
            units=file_hash(folder / UNITS),
            left_out=tuple(sorted(filter(is_left_out, manifest.files))),
        )
        write_text(folder / NAME, document.model_dump_json(indent=1) + "\n")

    made = whole_folder(out, manifest.run, fill)
    certificate = run.with_name(f"{run.resolve().name}.certificate.json")
    if certificate.is_file():
        write_bytes(out / certificate.name, certificate.read_bytes())
    return made


def _numbered(source: RunFolder, units: list[Unit], *, decoded: bool) -> pl.DataFrame:
    """The slim rows of every unit, with the unit's number in the order of their names."""
    order = {
        source.key(unit.cell): number for number, unit in enumerate(sorted(units, key=lambda u: source.key(u.cell)))
    }
    tables = [
        slim_rows(source.rows_of(unit), decoded=decoded).with_columns(
            pl.lit(order[source.key(unit.cell)], dtype=pl.Int32).alias("unit")
        )
        for unit in units
        if unit.file_hash
    ]
    empty = slim_rows(pl.DataFrame(schema=shape_of(decoded=decoded)), decoded=decoded).with_columns(
        pl.lit(0, dtype=pl.Int32).alias("unit")
    )
    return pl.concat([empty, *tables], how="diagonal").sort(["stage", *ITEM_KEY, "arm"])


def published_faults(folder: Path, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """What is not as it was sealed or counted: file or cell, and the fault. Judging the gates again is `recount`'s."""
    try:
        told = Published.model_validate_json(small_text(folder / NAME))
    except (ValidationError, InputError):
        yield NAME, "is not a description of a published run"
        return
    if (told.run, told.seal) != (manifest.run, manifest.seal):
        yield NAME, "is of another run"
    yield from _file_faults(folder, manifest, told)
    parts = (
        {ROWS: told.rows} if told.published == 1 else {ROWS: told.rows, QUESTIONS: told.questions, UNITS: told.units}
    )
    broken = [name for name, digest in parts.items() if not _is(folder / name, digest)]
    for name in broken:
        yield name, "is missing or differs"
    if not broken:
        rows = _slim(folder / ROWS, "unit") if told.published > 1 else read_table(folder / ROWS)
        yield from _count_faults(rows, manifest)
        if told.published > 1:
            yield from _sealed_faults(folder, rows, manifest)


def _is(path: Path, digest: str) -> bool:
    return path.is_file() and not path.is_symlink() and file_hash(path) == digest


def _sealed_faults(folder: Path, rows: pl.DataFrame, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """What the run's own seal says of slim tables and units."""
    digest = slim_hash(rows.drop("unit"), _slim(folder / QUESTIONS, ""))
    if digest != manifest.slim_hash:
        yield ROWS, "and the questions do not give the slim_hash that the run sealed"
    units = list(PublishedRun(folder).units())
    sealed = {fact.key: fact.rows_hash for fact in manifest.units}
    if {unit.cell.hash()[:24]: unit.rows_hash for unit in units} != sealed:
        yield UNITS, "are not those that the manifest lists"
    for unit in units:
        if unit.file_hash is None and unit.answer is not None and unit.answer.recorded_hash() != unit.rows_hash:
            yield UNITS, f"tell another answer of {unit.cell.model} in stage {unit.cell.stage} than was sealed"


def _file_faults(folder: Path, manifest: Manifest, told: Published) -> Iterator[tuple[str, str]]:
    here = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() or path.is_symlink()}
    for name, digest in manifest.files.items():
        if name not in here and name in told.left_out and is_left_out(name):
            continue
        if name not in here:
            yield name, "is missing"
        elif (folder / name).is_symlink() or file_hash(folder / name) != digest:
            yield name, "differs"
    for name in sorted(here - {*manifest.files, "manifest.json", NAME, ROWS, QUESTIONS, UNITS, ".lock"}):
        yield name, "was added"


def _count_faults(rows: pl.DataFrame, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Verdicts whose n, gained and lost the slim rows do not give."""
    if manifest.study.lesion != 1:
        return  # judged again as a whole
    cells = manifest.results.every_cell()
    for chosen in manifest.plan.members():
        cell = cells.get(chosen.id)
        if cell is None or cell.verdict == "Invalid":
            continue
        if _counts(rows, chosen) != (cell.n, cell.gained, cell.lost):
            yield chosen.id, "has other counts than its rows give"


def _counts(rows: pl.DataFrame, chosen: Chosen) -> tuple[int, int, int]:
    """Items, gained and lost of a cell against the baseline of the same stage."""
    arm, pair = chosen.arm, (pl.col("model") == chosen.model) & (pl.col("tier") == chosen.tier)
    here = rows.filter(pair & pl.col("stage").is_in(STAGES))
    base = here.filter(pl.col("arm") == "baseline").select("stage", *ITEM_KEY, pl.col("correct").alias("before"))
    both = here.filter(pl.col("arm") == arm).join(base, on=["stage", *ITEM_KEY], how="inner")
    return both.height, int((both["correct"] & ~both["before"]).sum()), int((both["before"] & ~both["correct"]).sum())
