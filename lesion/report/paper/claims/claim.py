"""A claim: one number of the paper, what it is, and the rows or fields of a run from which it is computed again.

No number gets into the text but as a claim; `manuscript.words` refuses digits. Where a run recorded a number that its
rows give as well, both are compared when the claim is made.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import polars as pl

from lesion.errors import InputError, Tampered
from lesion.identity import Document, canonical_json
from lesion.report.page.gates import timeline
from lesion.report.paper.claims.number_kinds import KINDS, Values
from lesion.report.paper.claims.row_queries import Range, select, span
from lesion.report.record import Record
from lesion.report.wording import caveats

AUDIT = "audit"
"""What a claim is computed from when it counts runs instead of rows."""
SENTENCES: dict[str, Callable[[Record], list[str]]] = {
    "open_questions": caveats.open_questions,
    "deviations": caveats.deviations,
    "limits": caveats.limits,
    "gates": lambda record: [step.reason for step in timeline(record.manifest)],
}
"""Sentences that the report makes of a run: maker -> function of its record."""
REGISTER = "claims.json"
"""The file of all claims, one a line."""
PRECISION = 1e-9
"""Largest relative difference between what a run recorded and what its rows give."""


class Claim(Document):
    """One number of the paper, or one sentence that holds numbers."""

    number: int
    """By which a reader asks for it."""
    text: str
    """As printed."""
    what: str
    """What it is."""
    run: str
    """Name of the run folder, or `audit`."""
    seal: str
    """Seal of that run's manifest."""
    status: str
    """Status of that run, or `audit`."""
    provisional: bool
    """Whether no certificate says that this run was repeated."""
    kind: str
    """How it is computed and printed: a name in `lesion.report.paper.claims.number_kinds`."""
    fields: tuple[str, ...] = ()
    """JSON pointers into the run's manifest.json; for the kind `told`: maker and place of the sentence."""
    rows: str = ""
    """SQL over the run's tables `items` and `prompts` (or over `audit`): the rows that it is computed from."""
    counts: str = ""
    """SQL over those rows, as the table `rows`: what the formula needs."""
    place: int = 0
    """Of several parts that these count, which is meant (Holm's correction needs them all)."""
    confidence: float = 0.95
    """Level of its interval, where it has one."""
    height: int = 0
    """Number of these rows."""
    span: str = ""
    """Which rows, in words."""


class Source(NamedTuple):
    """A run as claims read it."""

    record: Record
    document: Mapping[str, Any]
    """Its manifest as JSON."""
    provisional: bool

    @classmethod
    def of(cls, record: Record, *, provisional: bool) -> "Source":
        """The source of a record."""
        return cls(record, record.manifest.model_dump(mode="json"), provisional)

    def tables(self) -> dict[str, pl.DataFrame]:
        """What SQL may ask."""
        return {"items": self.record.items, "prompts": self.record.prompts}


class Computed(NamedTuple):
    """A claim computed again."""

    text: str
    recorded: Values
    """What the manifest says; empty where it says nothing."""
    rows: pl.DataFrame
    counts: dict[str, int]


def at(document: Any, pointer: str) -> Any:
    """The value at a JSON pointer (RFC 6901).

    Raises:
        InputError: when there is nothing.
    """
    value: Any = document
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        try:
            value = value[int(key) if type(value) is list else key]
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise InputError(f"the manifest has nothing at {pointer}") from error
    return value


def pointer(*parts: str | int) -> str:
    """The JSON pointer of a path.

    >>> pointer("results", "cells", "a/b|t1")
    '/results/cells/a~1b|t1'
    """
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in parts)


def clustered(source: Source, model: str, tier: str) -> bool:
    """Whether a tier's items come from templates or sets of examples, over which its intervals and p values are."""
    study = source.record.manifest.study
    buckets = [study.verdict.cluster, "prefix" if study.prefixes > 1 else None]
    here = source.record.prompts.filter(model=model, tier=tier)["buckets"]
    return here.len() > 0 and any(
        bool(here.str.contains(f"{canonical_json(bucket).decode()}:", literal=True).all())
        for bucket in buckets
        if bucket is not None
    )


def compute(
    claim: Claim, source: Source | None, tables: Mapping[str, pl.DataFrame], rows: pl.DataFrame | None = None
) -> Computed:
    """The claim once more, from rows and fields.

    Raises:
        Tampered: when rows and manifest say different things.
    """
    kind = KINDS[claim.kind]
    if claim.kind == "told":
        return Computed(_sentence(claim, source), (), pl.DataFrame(), {})
    recorded = tuple(at(source.document, each) for each in claim.fields) if source is not None else ()
    found = rows if rows is not None else select(claim.rows, **tables) if claim.rows else pl.DataFrame()
    counts = counted(select(claim.counts, rows=found)) if claim.counts else {}
    if kind.compute is None or not claim.counts:
        return Computed(kind.say(recorded), recorded, found, counts)
    values = kind.compute({**counts, "place": claim.place}, claim.confidence)
    if recorded and not all(map(_close, recorded, values)):
        raise Tampered(f"{claim.run}: its rows give {values} for {claim.what}, its manifest says {recorded}")
    return Computed(kind.say(values), recorded, found, counts)


def counted(table: pl.DataFrame) -> dict[str, int]:
    """The one row of a query's answer; where it has a row for each `cell`, all of them, each name with its cell.

    >>> counted(pl.DataFrame({"cell": [0, 1], "lost": [3, 4]}))
    {'lost_0': 3, 'lost_1': 4}
    """
    if "cell" not in table.columns:
        return table.row(0, named=True)
    rows = table.to_dicts()
    return {f"{name}_{row['cell']}": row[name] for row in rows for name in row if name != "cell"}


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=PRECISION, abs_tol=PRECISION)


def _sentence(claim: Claim, source: Source | None) -> str:
    maker, place = claim.fields
    if source is None or maker not in SENTENCES:
        raise InputError(f"claim {claim.number} is a sentence of no run")
    said = SENTENCES[maker](source.record)
    if claim.text in said:
        return claim.text
    if int(place) >= len(said):
        raise InputError(
            f"claim {claim.number}: this version of lesion does not write the sentence '{claim.text[:80]}…';"
            " trace it with the version that wrote the paper, which its manifest names"
        )
    return said[int(place)]


def place_of(claim: Claim) -> str:
    """Where a claim stands in the register beside the paper: a line for each, after the opening bracket."""
    return f"{REGISTER}#L{claim.number + 1}"


class Register:
    """All claims of a paper, numbered in the order in which the text makes them; the same claim has one number."""

    def __init__(self, sources: Mapping[str, Source], audit: pl.DataFrame) -> None:
        self.sources, self.audit_table = sources, audit
        self.claims: list[Claim] = []
        self._numbers: dict[tuple[object, ...], Claim] = {}
        self._frames: dict[tuple[str, str], pl.DataFrame] = {}

    def of_rows(
        self, run: str, kind: str, what: str, chosen: Range, fields: tuple[str, ...] = (), confidence: float = 0.95
    ) -> Claim:
        """A number from rows, held against the fields in which the run recorded it."""
        return self._add(run, kind, what, fields, chosen, confidence)

    def of_field(self, run: str, kind: str, what: str, *path: str | int) -> Claim:
        """A number that the manifest alone holds, at this path."""
        return self._add(run, kind, what, (pointer(*path),), None, 0.95)

    def of_fields(self, run: str, kind: str, what: str, fields: tuple[str, ...], chosen: Range) -> Claim:
        """Numbers that the run recorded, with the rows that it judged."""
        return self._add(run, kind, what, fields, chosen, 0.95)

    def of_listed(self, run: str, kind: str, what: str, fields: tuple[str, ...]) -> Claim:
        """How many fields of the manifest these are, each by its pointer."""
        return self._add(run, kind, what, fields, None, 0.95)

    def of_recorded(self, run: str, kind: str, what: str, fields: tuple[str, ...]) -> Claim:
        """Several fields of the manifest that are one number, with its interval."""
        return self._add(run, kind, what, fields, None, 0.95)

    def told(self, run: str, maker: str, place: int) -> Claim:
        """A sentence that the report makes of the run."""
        return self._add(run, "told", maker.replace("_", " "), (maker, str(place)), None, 0.95)

    def of_audit(self, what: str, where: str = "") -> Claim:
        """How many runs of the audit table meet a condition."""
        rows = f"SELECT run FROM audit{f' WHERE {where}' if where else ''} ORDER BY run"
        return self._add(AUDIT, "runs", what, (), Range(rows, "SELECT COUNT(*) AS n FROM rows"), 0.95)

    def _add(
        self, run: str, kind: str, what: str, fields: tuple[str, ...], chosen: Range | None, confidence: float
    ) -> Claim:
        rows, counts = (chosen.rows, chosen.counts) if chosen else ("", "")
        place = chosen.place if chosen else 0
        key = (run, kind, fields, rows, counts, place, confidence)
        if key in self._numbers:
            return self._numbers[key]
        source = self.sources.get(run)
        draft = Claim(
            number=len(self.claims) + 1, text="", what=what, run=run,
            seal=source.record.manifest.seal if source else "",
            status=source.record.manifest.status if source else AUDIT,
            provisional=source.provisional if source else False,
            kind=kind, fields=fields, rows=rows, counts=counts, place=place, confidence=confidence,
        )  # fmt: skip
        found = self._frame(run, rows, source)
        done = compute(draft, source, {}, found)
        made = draft.model_copy(update={"text": done.text, "height": found.height, "span": span(found)})
        self.claims.append(made)
        self._numbers[key] = made
        return made

    def _frame(self, run: str, rows: str, source: Source | None) -> pl.DataFrame:
        """The rows of a query, asked once."""
        if not rows:
            return pl.DataFrame()
        if (run, rows) not in self._frames:
            tables = source.tables() if source else {AUDIT: self.audit_table}
            self._frames[run, rows] = select(rows, **tables)
        return self._frames[run, rows]
