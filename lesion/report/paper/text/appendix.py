"""The audit appendix: every run of the study, every number with its rows and fields, every formula and every query."""

from collections.abc import Mapping, Sequence
from os.path import commonpath
from typing import Any

import polars as pl

from lesion.report.paper.claims.claim import AUDIT, Claim
from lesion.report.paper.claims.number_kinds import KINDS
from lesion.report.paper.manuscript import Entries, Entry, Line, Listings, Name, Theirs, Words, words
from lesion.report.paper.text.sections import Table

_WIDTHS = (1, 6)
_FACTS = ("started", "command", "status", "outcome", "reason", "scenario", "standing", "commit", "dirty", "manifest",
          "study_hash", "registration", "replay", "gates", "cpu_seconds", "gpu_seconds", "deviations")  # fmt: skip


def audited_runs(table: pl.DataFrame) -> list[tuple[str, Table]]:
    """Every run of the study, and what the audit says of it."""
    return [(str(row["run"]), _facts(row)) for row in table.to_dicts()]


def _facts(row: dict[str, object]) -> Table:
    shown = [(name, _value(row[name])) for name in _FACTS]
    rows = tuple((words(Words(name.replace("_", " "))), (Theirs(value),)) for name, value in shown if value)
    return Table(("of this run", ""), rows, _WIDTHS, small=True)


def _value(value: Any) -> str:
    if hasattr(value, "append"):
        return f"{len(value)}: {'; '.join(map(str, value))}" if value else "none"
    return "" if value is None else f"{value:.1f}" if isinstance(value, float) else str(value)


def queries(claims: Sequence[Claim]) -> dict[str, int]:
    """Every query of the claims, for rows or for counts, with its number."""
    distinct = dict.fromkeys(query for claim in claims for query in (claim.rows, claim.counts) if query)
    return {query: number for number, query in enumerate(distinct, 1)}


def pointers(fields: Sequence[str]) -> str:
    """Pointers into one manifest, what they share said once.

    >>> pointers(("/results/cells/a/delta", "/results/cells/a/ci_low")), pointers(("/cost/wall_seconds",))
    ('/results/cells/a/{delta, ci_low}', '/cost/wall_seconds')
    """
    shared = commonpath(fields) if len(fields) > 1 else "/"
    if shared == "/":
        return " ".join(fields)
    return f"{shared}/{{{', '.join(field.removeprefix(f'{shared}/') for field in fields)}}}"


def entries(claims: Sequence[Claim], runs: Mapping[str, str]) -> Entries:
    """Each claim with what it is computed from.

    Args:
        claims: of the paper.
        runs: name of a run -> how it is called in the table.
    """
    asked = queries(claims)
    return Entries(tuple(Entry(claim, _origin(claim, asked, runs)) for claim in claims))


def _origin(claim: Claim, asked: Mapping[str, int], runs: Mapping[str, str]) -> Line:
    parts = [runs.get(claim.run, claim.run)] if len(runs) > 1 or claim.run == AUDIT else []
    if claim.rows:
        span = f" ({claim.span})" if claim.span else ""
        counted = f", counted by query {asked[claim.counts]}" if claim.counts else ""
        parts.append(f"query {asked[claim.rows]}: {claim.height:,} rows{span}{counted}")
    where: Line = (Theirs(f"{'; '.join(parts)}; " if parts else ""),)
    if claim.fields:
        where += (Name(pointers(claim.fields)), Words("; "))
    return (*where, Theirs(claim.kind))


def formulas(claims: Sequence[Claim]) -> Table:
    """The formulas of the claims, by name."""
    kinds = dict.fromkeys(claim.kind for claim in claims)
    rows = tuple(((Theirs(kind),), (Theirs(KINDS[kind].words),)) for kind in kinds)
    return Table(("formula", "in words"), rows, _WIDTHS, small=True)


def listings(claims: Sequence[Claim]) -> Listings:
    """Every query with its number."""
    return Listings(tuple(f"-- query {number}\n{query}" for query, number in queries(claims).items()))
