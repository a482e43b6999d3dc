"""The back of the paper: limitations, open questions, reproducibility, and the audit appendix."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from lesion.report.paper.cast import Cast
from lesion.report.paper.claim import SENTENCES, Claim, Register
from lesion.report.paper.kinds import KINDS
from lesion.report.paper.manuscript import (
    Block,
    Bullets,
    Entries,
    Entry,
    Grid,
    Heading,
    Line,
    Listing,
    Name,
    Paragraph,
    Section,
    Theirs,
    Words,
    Works,
    checked,
    strong,
    words,
)
from lesion.report.paper.references import WORKS
from lesion.runs.notes import Note


def limitations(cast: Cast, register: Register) -> Section:
    """How far the findings reach."""
    told = [words(claim) for run in cast.sources for claim in _all(register, run, "limits")]
    return checked(Section("limitations", (Heading(1, "Limitations"), Bullets(tuple(told)))))


def open_questions(cast: Cast, register: Register, notes: Sequence[Note]) -> Section:
    """What failed or ambiguous gates and cells leave open, and what people noted, labelled as such."""
    told = [words(strong("Open question: "), claim) for run in cast.sources
            for claim in _all(register, run, "open_questions")]  # fmt: skip
    told += [words(strong("Open question, from a note"), " (", Name(note.path.name), ", ", Theirs(note.kind), "): ",
                   Theirs(note.text)) for note in notes]  # fmt: skip
    body: Block = Bullets(tuple(told)) if told else Paragraph(words("None was left by a gate, a cell or a note."))
    return checked(Section("open-questions", (Heading(1, "Open questions"), body)))


def _all(register: Register, run: str, maker: str) -> list[Claim]:
    return [register.told(run, maker, i) for i in range(len(SENTENCES[maker](register.sources[run].record)))]


def reproducibility(cast: Cast) -> Section:
    """How each run and each number is made again."""
    commands = "\n".join(f"lesion replay runs/{run}/manifest.json --fresh" for run in cast.sources)
    said = words("Each run repeats from its manifest alone. Each number above bears the number of its claim; the"
                 " appendix says from which rows it is computed, and ", Name("lesion trace PAPER NUMBER"),
                 " computes it again and shows them.")  # fmt: skip
    return Section("reproducibility", (Heading(1, "Reproducibility"), Paragraph(said), Listing(commands)))


def references(cited: set[str]) -> Section:
    """The works that the text cites."""
    works = tuple((key, work.text) for key, work in WORKS.items() if key in cited)
    return Section("references", (Heading(1, "References"), Works(works)))


def appendix(cast: Cast, register: Register, table: pl.DataFrame) -> Section:
    """Every run of the study, then every claim with its rows."""
    every = register.of_audit("runs of this study, whatever came of them")
    head = words(
        "Runs of this study in the ledger: ", every, ". Picked for the paper: ", cast.rule, ". All are listed."
    )
    blocks: list[Block] = [Heading(1, "Audit appendix: every run"), Paragraph(head)]
    for row in table.to_dicts():
        blocks += _run(row)
    asked = queries(register.claims)
    entries = Entries(tuple(_entries(register.claims, asked)))
    blocks += [Heading(1, "Audit appendix: every number"), Paragraph(_HOW), entries]
    blocks += [Heading(1, "Audit appendix: every query"), Paragraph(_ASKED)]
    blocks += [Listing(f"-- query {number}\n{query}") for query, number in asked.items()]
    return Section("audit", tuple(blocks))


def queries(claims: Sequence[Claim]) -> dict[str, int]:
    """Every query of the claims, for rows or for counts, with its number."""
    found = dict.fromkeys(query for claim in claims for query in (claim.rows, claim.counts) if query)
    return {query: number for number, query in enumerate(found, 1)}


_HOW = words("Each claim with what it is and whence: a run, its rows (query, number, range), the query that counts"
             " them, fields of its manifest, and the formula. Queries stand at the end.")  # fmt: skip
_ASKED = words("Queries over a run's tables ", Name("items"), " and ", Name("prompts"), " give rows; queries over ",
               Name("rows"), " count these. Any SQL engine answers them; here it is polars.")  # fmt: skip


def _run(row: dict[str, object]) -> Iterable[Block]:
    names = ("started", "command", "status", "outcome", "reason", "scenario", "standing", "commit", "dirty",
             "manifest", "registration", "replay", "gates", "cpu_seconds", "gpu_seconds", "deviations")  # fmt: skip
    rows = tuple(
        (words(Words(name.replace("_", " "))), (Theirs(_said(row[name])),)) for name in names if _said(row[name])
    )
    yield Grid((Name(str(row["run"])),), ("of this run", ""), rows, (1, 6), small=True)


def _said(value: Any) -> str:
    if hasattr(value, "append"):
        return f"{len(value)}: {'; '.join(map(str, value))}" if value else "none"
    return "" if value is None else f"{value:.1f}" if isinstance(value, float) else str(value)


def _entries(claims: Sequence[Claim], asked: Mapping[str, int]) -> Iterable[Entry]:
    for claim in claims:
        where: Line = (Name(claim.run),)
        if claim.rows:
            span = f" ({claim.span})" if claim.span else ""
            where += (Theirs(f" query {asked[claim.rows]}: {claim.height:,} rows{span},"),)
        if claim.counts:
            where += (Theirs(f" counted by query {asked[claim.counts]};"),)
        if claim.fields:
            where += (Words(" "), Name(" ".join(claim.fields)))
        yield Entry(claim, (*where, Theirs(f" {KINDS[claim.kind].words}")))
