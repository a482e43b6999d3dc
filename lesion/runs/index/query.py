"""SQL over the rows of all runs: `select arm, avg(correct) from items group by arm`.

Tables: `items` (a row per question and arm), `prompts` (a row per question), `receipts`, and `runs` (the ledger); each
has the column `run`. polars reads the Parquet files lazily, so a query touches only the columns that it names.
"""

from pathlib import Path
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from lesion.errors import InputError
from lesion.runs.index.ledger import known
from lesion.study.arms.condition_columns import COLUMNS, older_columns
from lesion.study.rows import PROMPTS, empty, shape_of

MOST_TEXT = 20_000
FILES = {
    "items": ("items/*.parquet", "rows.parquet"),
    "prompts": ("prompts/*.parquet", "questions.parquet"),
    "receipts": ("receipts.parquet",),
}
"""Where the rows of a table lie in a run folder, and in a published one."""
SHAPES: dict[str, Any] = {"items": shape_of(decoded=True), "prompts": PROMPTS, "receipts": {}}


def query(home: Path, sql: str) -> pl.DataFrame:
    """The answer to one `select` over all finished runs of this home.

    Raises:
        InputError: for what is no select over these tables, naming what there is.
    """
    if not sql.strip().lower().startswith(("select", "with", "show", "describe")) or len(sql) > MOST_TEXT:
        raise InputError(f"a query begins with select, and holds at most {MOST_TEXT:,} characters; {_tables()}")
    entries = known(home)
    frames = {name: _scan(home, name, [entry.run for entry in entries]) for name in FILES}
    listed = [{**entry._asdict(), "tags": " ".join(entry.tags)} for entry in entries]
    frames["runs"] = pl.LazyFrame(listed, infer_schema_length=None)
    try:
        return pl.SQLContext(frames, eager=False).execute(sql).collect()
    except (PolarsError, OSError, ValueError, TypeError) as error:
        said = " ".join(str(error).split())[:300]
        raise InputError(f"the query cannot be answered: {said}; {_tables()}") from error


def _scan(home: Path, table: str, runs: list[str]) -> pl.LazyFrame:
    """One table of all runs, with the name of the run in front."""
    parts = [part for where in FILES[table] if (part := _scan_files(home, table, runs, where)) is not None]
    return pl.concat(parts, how="diagonal") if parts else empty({"run": pl.String, **SHAPES[table]}).lazy()


def _scan_files(home: Path, table: str, runs: list[str], where: str) -> pl.LazyFrame | None:
    """The rows of a table from all files of one kind; nothing where there is no such file."""
    found = [path for run in runs for path in sorted((home / "runs" / run).glob(where))]
    inside = [path for path in found if path.resolve().is_relative_to((home / "runs").resolve())]
    if not inside:
        return None
    depth = 1 + where.count("/")
    run = pl.col("run").str.replace_all("\\", "/", literal=True).str.split("/").list.get(-1 - depth)
    shape: Any = {"schema": SHAPES[table], "missing_columns": "insert"} if SHAPES[table] else {}
    rows = pl.scan_parquet(inside, include_file_paths="run", hive_partitioning=False, glob=False, **shape)
    if table == "items":  # rows of earlier formats have only the arm's name
        older = zip(COLUMNS, older_columns(), strict=True)
        rows = rows.with_columns(
            pl.when(pl.col("role").is_null()).then(made).otherwise(pl.col(name)).alias(name) for name, made in older
        )
    return rows.with_columns(run).select("run", pl.all().exclude("run"))


def _tables() -> str:
    names = {name: ", ".join(shape) for name, shape in SHAPES.items() if shape}
    return f"tables: items ({names['items']}), prompts ({names['prompts']}), receipts, runs; each has run, too"
