"""The audit appendix: every run of the study, every number with its rows and fields, every formula and every query."""

from collections.abc import Iterable, Mapping, Sequence
from os.path import commonpath
from typing import Any

import polars as pl

from lesion.report.paper.claims.claim import AUDIT, Claim, Register
from lesion.report.paper.claims.number_kinds import KINDS
from lesion.report.paper.manuscript import (
    Block,
    Bullets,
    Entries,
    Entry,
    Grid,
    Heading,
    Line,
    Listings,
    Name,
    Paragraph,
    Section,
    Theirs,
    Words,
    words,
)
from lesion.report.paper.select_runs import Cast

_HOW = words("Each claim with what it is and whence it comes: the query for its rows, their number and range, the query"
             " that counts them, fields of the manifest, and the name of its formula. Runs, formulas and queries follow"
             " the table.")  # fmt: skip
_ASKED = words("Queries over a run's tables ", Name("items"), " and ", Name("prompts"), " give rows; queries over ",
               Name("rows"), " count these. Any SQL engine answers them; here it is polars.")  # fmt: skip


def appendix(cast: Cast, register: Register, table: pl.DataFrame) -> Section:
    """Every run of the study, then every claim with its rows, then formulas and queries."""
    every = register.of_audit("runs of this study, whatever came of them")
    head = words(
        "Runs of this study in the ledger: ", every, ". Picked for the paper: ", cast.rule, ". All are listed."
    )
    blocks: list[Block] = [Heading(1, "Audit appendix: every run"), Paragraph(head)]
    for row in table.to_dicts():
        blocks += _run(row)
    claims, asked = register.claims, queries(register.claims)
    runs = {run: f"run {number}" for number, run in enumerate(cast.sources, 1)}
    blocks += [Heading(1, "Audit appendix: every number"), Paragraph(_HOW)]
    blocks += [Bullets(tuple((Name(short), Words(": "), Name(run)) for run, short in runs.items()))]
    blocks += [Entries(tuple(_entries(claims, asked, runs))), *_formulas(claims)]
    blocks += [Heading(1, "Audit appendix: every query"), Paragraph(_ASKED)]
    blocks.append(Listings(tuple(f"-- query {number}\n{query}" for query, number in asked.items())))
    return Section("audit", tuple(blocks))


def queries(claims: Sequence[Claim]) -> dict[str, int]:
    """Every query of the claims, for rows or for counts, with its number."""
    found = dict.fromkeys(query for claim in claims for query in (claim.rows, claim.counts) if query)
    return {query: number for number, query in enumerate(found, 1)}


def pointers(fields: Sequence[str]) -> str:
    """Pointers into one manifest, what they share said once.

    >>> pointers(("/results/cells/a/delta", "/results/cells/a/ci_low")), pointers(("/cost/wall_seconds",))
    ('/results/cells/a/{delta, ci_low}', '/cost/wall_seconds')
    """
    shared = commonpath(fields) if len(fields) > 1 else "/"
    if shared == "/":
        return " ".join(fields)
    return f"{shared}/{{{', '.join(field.removeprefix(f'{shared}/') for field in fields)}}}"


def _run(row: dict[str, object]) -> Iterable[Block]:
    names = ("started", "command", "status", "outcome", "reason", "scenario", "standing", "commit", "dirty",
             "manifest", "study_hash", "registration", "replay", "gates", "cpu_seconds", "gpu_seconds",
             "deviations")  # fmt: skip
    rows = tuple(
        (words(Words(name.replace("_", " "))), (Theirs(_said(row[name])),)) for name in names if _said(row[name])
    )
    yield Grid((Name(str(row["run"])),), ("of this run", ""), rows, (1, 6), small=True)


def _said(value: Any) -> str:
    if hasattr(value, "append"):
        return f"{len(value)}: {'; '.join(map(str, value))}" if value else "none"
    return "" if value is None else f"{value:.1f}" if isinstance(value, float) else str(value)


def _entries(claims: Sequence[Claim], asked: Mapping[str, int], runs: Mapping[str, str]) -> Iterable[Entry]:
    for claim in claims:
        said = [runs.get(claim.run, claim.run)] if len(runs) > 1 or claim.run == AUDIT else []
        if claim.rows:
            span = f" ({claim.span})" if claim.span else ""
            counted = f", counted by query {asked[claim.counts]}" if claim.counts else ""
            said.append(f"query {asked[claim.rows]}: {claim.height:,} rows{span}{counted}")
        where: Line = (Theirs(f"{'; '.join(said)}; " if said else ""),)
        if claim.fields:
            where += (Name(pointers(claim.fields)), Words("; "))
        yield Entry(claim, (*where, Theirs(claim.kind)))


def _formulas(claims: Sequence[Claim]) -> Iterable[Block]:
    kinds = dict.fromkeys(claim.kind for claim in claims)
    rows = tuple(((Theirs(kind),), (Theirs(KINDS[kind].words),)) for kind in kinds)
    caption = words("Formulas by name; their code is lesion/report/paper/claims/number_kinds.py.")
    yield Grid(caption, ("formula", "in words"), rows, (1, 6), small=True)
