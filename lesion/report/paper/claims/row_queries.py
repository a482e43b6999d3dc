"""Row ranges: the SQL that names the rows behind a number, and the SQL that counts them.

The tables are a run's own: `items` (a row per question and arm) and `prompts` (a row per question). Counts are whole
numbers, so any SQL engine gives the same; formulas stand in kinds.py.
"""

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from lesion.identity import canonical_json
from lesion.report.paired_join import PAIRED

_PAIRED = f"""SELECT e.seed, e."index", e.item_id, b.correct AS before, e.correct AS after
{PAIRED}"""
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
    place: int = 0
    """Of several parts that are counted, the one that is meant."""


_AMONG = """
JOIN items AS o ON e.stage = o.stage AND e.model = o.model AND e.tier = o.tier AND e.split = o.split
  AND e.seed = o.seed AND e."index" = o."index\""""


def paired(
    model: str, tier: str, arm: str, against: str = "baseline", part: str = "", *, stage: str = "confirm",
    among: str = "",
) -> Range:  # fmt: skip
    """Confirmation rows of one arm, each with the same item's row of another arm.

    Args:
        model: as the study names it.
        tier: likewise.
        arm: such as `target@0`.
        against: the other arm.
        part: `seed N` or `BUCKET=LEVEL`: only these items.
        stage: `confirm`, or `replicate` for the other models.
        among: only items that this arm has as well; resampling leaves out an item without a reference.
    """
    _, equals, _ = part.partition("=")
    where = [
        f"e.stage = {_quoted(stage)}", f"e.model = {_quoted(model)}", f"e.tier = {_quoted(tier)}",
        f"e.arm = {_quoted(arm)}", f"b.arm = {_quoted(against)}",
    ]  # fmt: skip
    if equals:
        where.append(f"p.buckets LIKE {_bucket(part)}")
    elif part:
        where.append(f"e.seed = {int(part.removeprefix('seed '))}")
    if among:
        where.append(f"o.arm = {_quoted(among)}")
    joined = _PAIRED + (_ASKED if equals else "") + (_AMONG if among else "")
    return Range(f'{joined}\nWHERE {" AND ".join(where)}\nORDER BY e.seed, e."index"', PAIRED_COUNTS)


class Member(NamedTuple):
    """One member of a family at a look."""

    model: str
    tier: str
    arm: str
    against: str
    """The arm that it is paired with."""
    below: int
    """Items of each seed at that look: those whose number is below."""

    def where(self) -> str:
        """Its rows, as an SQL condition."""
        return (
            f"e.model = {_quoted(self.model)} AND e.tier = {_quoted(self.tier)} AND e.arm = {_quoted(self.arm)}"
            f' AND b.arm = {_quoted(self.against)} AND e."index" < {self.below}'
        )


def corrected(members: Sequence[Member], own: int, size: int) -> Range:
    """Confirmation rows of all members that a look judged, for Holm's correction of one of them.

    Args:
        members: those that the look judged.
        own: place of the one that is meant.
        size: members of the family, with those that are not judged at this look.
    """
    each = "\n".join(f"  WHEN {member.where()} THEN {place}" for place, member in enumerate(members))
    others = ", ".join(_quoted(arm) for arm in sorted({member.against for member in members}))
    rows = f"""SELECT * FROM (
SELECT CASE
{each} END AS cell, {_PAIRED.removeprefix("SELECT ")}
WHERE e.stage = 'confirm' AND e.role = 'target' AND b.arm IN ({others})
) AS judged
WHERE cell IS NOT NULL
ORDER BY cell, seed, "index\""""
    counts = f"""SELECT cell, {size} AS family, SUM(CASE WHEN after AND NOT before THEN 1 ELSE 0 END) AS gained,
  SUM(CASE WHEN before AND NOT after THEN 1 ELSE 0 END) AS lost
FROM rows
GROUP BY cell
ORDER BY cell"""
    return Range(rows, counts, own)


def parts(model: str, tier: str, arm: str, names: Sequence[str], own: int) -> Range:
    """Confirmation rows of one cell with their buckets, for Holm's correction over its kinds of items.

    Args:
        model: as the study names it.
        tier: likewise.
        arm: of the target.
        names: every kind, as `BUCKET=LEVEL`.
        own: place of the one that is meant.
    """
    where = f"e.model = {_quoted(model)} AND e.tier = {_quoted(tier)} AND e.arm = {_quoted(arm)}"
    joined = _PAIRED.replace("b.correct AS before", "p.buckets, b.correct AS before") + _ASKED
    rows = f"""{joined}
WHERE e.stage = 'confirm' AND {where} AND b.arm = 'baseline'
ORDER BY e.seed, e."index\""""
    return Range(rows, _tests([f"buckets LIKE {_bucket(name)}" for name in names]), own)


def _tests(conditions: Sequence[str]) -> str:
    """Gained and lost of every part, all of which are corrected for."""
    moved = (("gained", "after AND NOT before"), ("lost", "before AND NOT after"))
    sums = [
        f"SUM(CASE WHEN {condition} AND {which} THEN 1 ELSE 0 END) AS {name}_{place}"
        for place, condition in enumerate(conditions)
        for name, which in moved
    ]
    return f"SELECT {len(conditions)} AS family,\n  " + ",\n  ".join(sums) + "\nFROM rows"


def _bucket(part: str) -> str:
    """A pattern for the buckets of items of one kind, `BUCKET=LEVEL`."""
    bucket, _, level = part.partition("=")
    return _quoted(f"%{canonical_json(bucket).decode()}:{canonical_json(level).decode()}%")


def ranked(model: str, tier: str, arms: Sequence[str]) -> Range:
    """Rows of the target and of its matched sets on the same items, counted set by set; place 0 is the target.

    Args:
        model: as the study names it.
        tier: likewise.
        arms: that of the target, then those of the sets that count, in the order of the recorded effects.
    """
    cells = "\n".join(f"  WHEN e.arm = {_quoted(arm)} THEN {place}" for place, arm in enumerate(arms))
    where = (
        f"e.stage = 'specificity' AND e.model = {_quoted(model)} AND e.tier = {_quoted(tier)} AND b.arm = 'baseline'"
    )
    rows = f"""SELECT * FROM (
SELECT CASE
{cells} END AS cell, {_PAIRED.removeprefix("SELECT ")}
WHERE {where}
) AS judged
WHERE cell IS NOT NULL
ORDER BY cell, seed, "index\""""
    counts = """SELECT cell, COUNT(*) AS n, SUM(CASE WHEN after AND NOT before THEN 1 ELSE 0 END) AS gained,
  SUM(CASE WHEN before AND NOT after THEN 1 ELSE 0 END) AS lost
FROM rows
GROUP BY cell
ORDER BY cell"""
    return Range(rows, counts)


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
