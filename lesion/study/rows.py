"""What a measured row and an asked question look like in a table, and how rows are hashed.

`items` hold one row per item and arm; `prompts` one row per item and model. Both are polars tables, stored as Parquet.
"""

from hashlib import sha256

import polars as pl

from lesion.identity import content_hash
from lesion.study import metric_table
from lesion.study.arms.condition_columns import COLUMNS
from lesion.study.metric_table import JUDGED

ROWS_FORMAT = max(2, *(metric.since for metric in metric_table.COLUMNS))
"""Format of the item rows that this version writes; 1 had no columns for the condition."""
KINDS: dict[type, type[pl.DataType]] = {bool: pl.Boolean, int: pl.Int64, float: pl.Float64}
"""Kind of a metric's numbers -> type of its column."""
ITEMS: dict[str, type[pl.DataType] | pl.DataType] = {
    "stage": pl.String,
    "model": pl.String,
    "tier": pl.String,
    "split": pl.String,
    "seed": pl.Int64,
    "index": pl.Int64,
    "arm": pl.String,
    "item_id": pl.String,
    **{metric.name: KINDS[metric.kind] for metric in metric_table.COLUMNS},
}
"""One row per item and arm: what the gates read. `arm` is the printable name of the condition, whose parts stand in
further columns (`shape_of`); `item_id` is the first 16 hexadecimal digits of the item's content hash. The numbers are
those of `metric_table`."""

NUMBERS = tuple(metric.name for metric in metric_table.COLUMNS if metric.kind is float)
"""Columns of `items` with a measured quantity. `kl` is null in unedited rows, and where the study sets no limit."""

TEXTS: dict[str, type[pl.DataType] | pl.DataType] = {"written": pl.String, "parsed": pl.Boolean}
"""Further columns of `items` in a decoded tier: what was written, without the end mark, and whether a number can be
read from it; null under arms that wrote nothing. Other tiers do not have them."""

PROMPTS: dict[str, type[pl.DataType] | pl.DataType] = {
    "model": pl.String,
    "tier": pl.String,
    "split": pl.String,
    "seed": pl.Int64,
    "index": pl.Int64,
    "item_id": pl.String,
    "prompt": pl.String,
    "answer": pl.String,
    "wrong": pl.String,
    "buckets": pl.String,
    "prompt_tokens": pl.Int64,
    "answer_tokens": pl.Int64,
    "prompt_hash": pl.String,
    "refused": pl.String,
}
"""One row per item and model; `buckets` is canonical JSON, `refused` says why an item was excluded, or is null."""

SLIM = ("stage", "model", "tier", "split", "seed", "index", "arm", *COLUMNS, "item_id", *JUDGED, "kl")
"""Columns of `items` that a published run keeps."""

SLIM_QUESTIONS = (
    "model", "tier", "split", "seed", "index", "item_id", "answer", "buckets", "prompt_hash", "refused",
)  # fmt: skip
"""Columns of `prompts` that a published run keeps."""

ITEM_KEY = ["model", "tier", "split", "seed", "index"]
"""What names an item; with `stage` and `arm` it names a row."""


def rows_hash(table: pl.DataFrame) -> str:
    """SHA-256 of a table's rows in canonical order, floats by their bits; the order of making is nothing to it.

    Rows are sorted by every key column that the table has, and written column by column. Columns that format 1 did not
    have are left out, so that one hash serves all formats: the arm's name says the condition, and a replay compares
    every number by itself.
    """
    keys = [name for name in ["stage", *ITEM_KEY, "arm"] if name in table.columns]
    ordered = table.sort(keys) if keys else table
    later = [*COLUMNS, *(metric.name for metric in metric_table.COLUMNS if metric.since > 1)]
    ordered = ordered.drop([name for name in later if name in ordered.columns])
    digest = sha256(f"{ordered.height} {','.join(ordered.columns)}".encode())
    for column in ordered.iter_columns():
        digest.update(column.name.encode() + b"\0")
        if column.dtype == pl.Float64:
            digest.update(column.fill_null(float("nan")).to_numpy().astype("<f8").tobytes())
        elif column.dtype == pl.Int64 or column.dtype == pl.Boolean:  # noqa: PLR1714
            digest.update(column.cast(pl.Int64).fill_null(-1).to_numpy().astype("<i8").tobytes())
        else:
            digest.update("\0".join(["" if v is None else v for v in column.to_list()]).encode())
    return digest.hexdigest()


def slim_rows(items: pl.DataFrame, *, decoded: bool) -> pl.DataFrame:
    """What gates and verdicts read of the rows: keys, rightness, the answer's log-probability and logit difference.

    Args:
        items: rows of a run.
        decoded: whether the study has decoded tiers; their texts and margins are kept then.
    """
    names = [*SLIM, *(["margin", *TEXTS] if decoded else [])]
    return items.select([name for name in names if name in items.columns])


def slim_questions(prompts: pl.DataFrame) -> pl.DataFrame:
    """What gates and verdicts read of the questions: answers and strata, without the texts of the prompts."""
    return prompts.select(SLIM_QUESTIONS)


def slim_hash(rows: pl.DataFrame, questions: pl.DataFrame) -> str:
    """One hash over slim rows and slim questions, whatever the order of their rows."""
    return content_hash([rows_hash(rows), rows_hash(questions)])


def shape_of(*, decoded: bool, rows_format: int = ROWS_FORMAT) -> dict[str, type[pl.DataType] | pl.DataType]:
    """The columns of a unit's rows, in the format in which they were written."""
    lacking = {metric.name for metric in metric_table.COLUMNS if metric.since > rows_format}
    shape = {name: kind for name, kind in {**ITEMS, **(TEXTS if decoded else {})}.items() if name not in lacking}
    if rows_format == 1:
        return shape
    place = list(shape).index("arm") + 1
    return dict([*list(shape.items())[:place], *COLUMNS.items(), *list(shape.items())[place:]])


def completed(table: pl.DataFrame, shape: dict[str, type[pl.DataType] | pl.DataType]) -> pl.DataFrame:
    """The table with every column of a shape; those that an older format or a published run lacks are null."""
    return table.with_columns(
        pl.lit(None, dtype=kind).alias(name) for name, kind in shape.items() if name not in table.columns
    )


def empty(schema: dict[str, type[pl.DataType] | pl.DataType]) -> pl.DataFrame:
    """A table of that shape without rows."""
    return pl.DataFrame(schema=schema)
