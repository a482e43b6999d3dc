"""Parquet from outside: columns and rows are looked at in the footer, before any row is read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from lesion.errors import InputError
from lesion.outside.files import require_regular

MOST_ROWS = 5_000_000
MOST_BYTES = 2_000_000_000


def read_table(path: Path, most: int = MOST_ROWS, shape: Mapping[str, Any] | None = None) -> pl.DataFrame:
    """A table of at most `most` rows.

    Args:
        path: the file.
        most: rows.
        shape: columns and their kinds, exactly; None where the caller takes what there is.

    Raises:
        InputError: when it is no Parquet file, has other columns, or more rows.
    """
    require_regular(path, MOST_BYTES)
    try:
        lazy = pl.scan_parquet(path, glob=False, hive_partitioning=False)
        found = dict(lazy.collect_schema())
        if shape is not None and found != dict(shape):
            raise InputError(f"{path}: has other columns than a run writes: {_listed(found)}; {_allowed(shape)}")
        rows = lazy.select(pl.len()).collect().item()
        if rows > most:
            raise InputError(f"{path}: holds {rows:,} rows; at most {most:,} are read; give a smaller table")
        return lazy.collect()
    except (PolarsError, OSError, ValueError) as error:
        said = (str(error).splitlines() or [""])[0][:200]
        raise InputError(f"{path}: cannot be read as a Parquet table ({said}); mend or replace the file") from error


def require_columns(table: pl.DataFrame, path: Path, shape: Mapping[str, Any]) -> pl.DataFrame:
    """A table that has these columns, of these kinds; it may have others.

    Raises:
        InputError: when one is missing or of another kind.
    """
    found = dict(table.schema)
    if wrong := [name for name, kind in shape.items() if found.get(name) != kind]:
        raise InputError(f"{path}: lacks the column {wrong[0]}, or has it of another kind; {_allowed(shape)}")
    return table


def _listed(found: Mapping[str, Any]) -> str:
    names = list(found)
    return ", ".join(name[:40] for name in names[:8]) + (", …" if len(names) > 8 else "")


def _allowed(shape: Mapping[str, Any]) -> str:
    return f"needed: {', '.join(shape)}"
