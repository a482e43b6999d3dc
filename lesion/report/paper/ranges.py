"""Row ranges: the SQL that names the rows behind a number, and the SQL that counts them.

The tables are a run's own: `items` (a row per question and arm) and `prompts` (a row per question). Counts are whole
numbers, so any SQL engine gives the same; formulas stand in kinds.py.
"""

from typing import NamedTuple

import polars as pl

from lesion.identity import canonical_json

_PAIRED = """SELECT e.seed, e."index", e.item_id, b.correct AS before, e.correct AS after
FROM items AS e
JOIN items AS b ON e.stage = b.stage AND e.model = b.model AND e.tier = b.tier AND e.split = b.split
  AND e.seed = b.seed AND e."index" = b."index\""""
_ASKED = """
JOIN prompts AS p ON e.model = p.model AND e.tier = p.tier AND e.split = p.split AND e.seed = p.seed
  AND e."index" = p."index\""""
PAIRED_COUNTS = """SELECT COUNT(*) AS n,
  SUM(CASE WHEN after AND NOT before THEN 1 ELSE 0 END) AS gained,
  SUM(CASE WHEN before AND NOT after THEN 1 ELSE 0 END) AS lost,
  SUM(CASE WHEN before THEN 1 ELSE 0 END) AS before, SUM(CASE WHEN after THEN 1 ELSE 0 END) AS after
FROM rows"""
SINGLE_COUNTS = "SELECT COUNT(*) AS n, SUM(CASE WHEN after THEN 1 ELSE 0 END) AS after FROM rows"


class Range(NamedTuple):
    """Rows, and what is counted in them."""

    rows: str
    counts: str


def paired(model: str, tier: str, arm: str, against: str = "baseline", part: str = "") -> Range:
    """Confirmation rows of one arm, each with the same item's row of another arm.

    Args:
        model: as the study names it.
        tier: likewise.
        arm: such as `target@0`.
        against: the other arm.
        part: `seed N` or `BUCKET=LEVEL`: only these items.
    """
    bucket, equals, level = part.partition("=")
    where = [
        "e.stage = 'confirm'", f"e.model = {_quoted(model)}", f"e.tier = {_quoted(tier)}", f"e.arm = {_quoted(arm)}",
        f"b.arm = {_quoted(against)}",
    ]  # fmt: skip
    if equals:
        name, told = canonical_json(bucket).decode(), canonical_json(level).decode()
        where.append(f"p.buckets LIKE {_quoted(f'%{name}:{told}%')}")
    elif part:
        where.append(f"e.seed = {int(part.removeprefix('seed '))}")
    joined = _PAIRED + (_ASKED if equals else "")
    return Range(f'{joined}\nWHERE {" AND ".join(where)}\nORDER BY e.seed, e."index"', PAIRED_COUNTS)


def unedited(model: str, tier: str, seed: int) -> Range:
    """Rows of the baseline stage."""
    where = f"model = {_quoted(model)} AND tier = {_quoted(tier)} AND seed = {seed}"
    return Range(
        f"SELECT seed, \"index\", item_id, correct AS after\nFROM items\nWHERE stage = 'baseline' AND arm = 'baseline'"
        f' AND {where}\nORDER BY seed, "index"',
        SINGLE_COUNTS,
    )


def _quoted(text: str) -> str:
    """An SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def select(query: str, **tables: pl.DataFrame) -> pl.DataFrame:
    """The answer to a query over tables in memory."""
    return pl.SQLContext(tables, eager=True).execute(query)


def span(rows: pl.DataFrame) -> str:
    """Which rows these are: `seeds 0-2, items 0-2,047`."""
    if not rows.height or "index" not in rows.columns:
        return ""
    said: list[str] = []
    for column, name in (("seed", "seed"), ("index", "item")):
        ends = rows.select(pl.col(column).min().alias("low"), pl.col(column).max().alias("high")).row(0)
        said.append(f"{name} {ends[0]:,}" if ends[0] == ends[1] else f"{name}s {ends[0]:,}–{ends[1]:,}")
    return ", ".join(said)
