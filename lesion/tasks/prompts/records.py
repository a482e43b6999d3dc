"""A file of prompts as plain records: CSV, JSON lines or Parquet, each record with its place in the file."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lesion.errors import InputError, nearest
from lesion.outside.documents import kind_of, read_lines
from lesion.outside.rows import read_csv
from lesion.tasks.config import PromptFileConfig

MOST_BYTES = 100_000_000
MOST_ROWS = 200_000
KNOWN = ("prompt", "answer", "corrupted_prompt", "wrong_answer", "group", "roles", "corrupted_roles")
IDS = ("correct_idx", "incorrect_idx")
"""Answers as token ids, in files that were made for edge attribution patching (EAP)."""
EAP = {"clean": "prompt", "corrupted": "corrupted_prompt"}
"""Names of such files -> ours."""
NEEDED = "a file of prompts needs the columns prompt and answer, or clean, corrupted, correct_idx and incorrect_idx"


class Record(NamedTuple):
    """One record, its columns under our names."""

    cells: Mapping[str, Any]
    where: str
    """`pairs.csv, line 7`; for Parquet a row."""

    def text(self, name: str) -> str:
        """The text of a column; empty where the record has none.

        Raises:
            InputError: when it holds something else than text.
        """
        value = self.cells.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise InputError(f"{self.where}: {name} must be text, found {kind_of(value)}; write it in quotes")
        return value


def read_records(config: PromptFileConfig, path: Path) -> list[Record]:
    """All records of a file, at most `MOST_ROWS`.

    Raises:
        InputError: when the file is none of the kinds, lacks a column, has one that is not known, or holds no record.
    """
    found: list[Record] = []
    names: Mapping[str, str] | None = None
    columns: tuple[str, ...] | None = None
    for cells, where in _cells(path):
        if tuple(cells) != columns:
            header = f"{path}, line 1" if path.suffix.lower() == ".csv" else where
            names, columns = _names(config, tuple(cells), header), tuple(cells)
        assert names is not None
        found.append(Record({ours: cells[theirs] for ours, theirs in names.items()}, where))
        if len(found) > MOST_ROWS:
            raise InputError(f"{path}: holds more than {MOST_ROWS:,} prompts; give a smaller file")
    if not found:
        raise InputError(f"{path}: holds no prompt; {NEEDED}")
    return found


def _cells(path: Path) -> Iterator[tuple[Mapping[str, Any], str]]:
    kind = path.suffix.lower()
    if kind == ".csv":
        for cells, number in read_csv(path, MOST_BYTES):
            yield {name: cell for name, cell in cells.items() if name}, f"{path}, line {number}"
    elif kind in (".jsonl", ".ndjson"):
        for value, number in read_lines(path, MOST_BYTES):
            where = f"{path}, line {number}"
            if not isinstance(value, dict):
                raise InputError(f"{where}: must be a JSON object with prompt and answer, not {kind_of(value)}")
            yield value, where  # pyright: ignore[reportUnknownVariableType]
    elif kind == ".parquet":
        from lesion.outside.tables import read_table  # noqa: PLC0415  (polars, for Parquet alone)

        for number, cells in enumerate(read_table(path, MOST_ROWS).iter_rows(named=True), 1):
            yield cells, f"{path}, row {number}"
    else:
        raise InputError(
            f"{path}: its name must end with .csv, .jsonl or .parquet"
            + ("; write one JSON object a line and call it .jsonl" if kind == ".json" else "")
        )


def _names(config: PromptFileConfig, columns: tuple[str, ...], where: str) -> dict[str, str]:
    """Our name -> the file's, for the columns that are read."""
    known = (*KNOWN, *IDS, *config.strata)
    if config.columns:
        pairs = [spelled.partition(":") for spelled in config.columns]
        wanted = {ours: theirs or ours for ours, _, theirs in pairs}
        if wrong := next((ours for ours in wanted if ours not in known), None):
            raise InputError(f"columns: '{wrong[:40]}' is no column of prompts; {nearest(wrong, known)}")
        if lacking := next((theirs for theirs in wanted.values() if theirs not in columns), None):
            raise InputError(f"{where}: has no column '{lacking[:40]}'; {nearest(lacking, columns)}")
    else:
        eap = any(name in columns for name in IDS) or ("clean" in columns and "prompt" not in columns)
        wanted = {EAP.get(name, name) if eap else name: name for name in columns}
        if wrong := next((name for name in wanted if name not in known), None):
            raise InputError(
                f"{where}: the column '{wrong[:40]}' is not known; {nearest(wrong, KNOWN)}; `columns` names those that "
                "are read, and `strata` further ones"
            )
    lacking = [name for name in ("prompt", *config.strata) if name not in wanted]
    if "answer" not in wanted and IDS[0] not in wanted:
        lacking.append("answer")
    if lacking:
        raise InputError(f"{where}: has no {' and no '.join(lacking)}; {NEEDED}")
    for text, ids in zip(("answer", "wrong_answer"), IDS, strict=True):
        if {text, ids} <= {*wanted}:
            raise InputError(f"{where}: gives both {text} and {ids}; keep one of them")
    return wanted
