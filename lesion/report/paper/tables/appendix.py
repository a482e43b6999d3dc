"""The supplement's tables: every run of the study, and every formula by name."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from lesion.report.paper.claims.claim import Claim
from lesion.report.paper.claims.number_kinds import KINDS
from lesion.report.paper.manuscript import Name, Theirs, Words, words
from lesion.report.paper.text.sections import Table

_WIDTHS = (1, 6)
_FACTS = ("started", "command", "status", "outcome", "reason", "scenario", "standing", "commit", "dirty", "manifest",
          "study_hash", "registration", "replay", "gates", "cpu_seconds", "gpu_seconds", "deviations")  # fmt: skip


def audited_runs(table: pl.DataFrame) -> list[tuple[str, Table]]:
    """Every run of the study, and what the audit says of it."""
    return [(str(row["run"]), _facts(row)) for row in table.to_dicts()]


def runs_table(table: pl.DataFrame) -> Table:
    """Every run of the study in a line: for the paper itself."""
    columns = ("run", "status", "outcome", "standing", "repeated")
    names = ("status", "outcome", "standing", "replay")
    rows = tuple(
        (words(Name(str(row["run"]))), *((Theirs(str(row[name]) or "–"),) for name in names))
        for row in table.to_dicts()
    )
    return Table(columns, rows, (2.6, 1, 0.9, 1.6, 1.6), small=True)


def _facts(row: dict[str, object]) -> Table:
    shown = [(name, _value(row[name])) for name in _FACTS]
    rows = tuple((words(Words(name.replace("_", " "))), (Theirs(value),)) for name, value in shown if value)
    return Table(("of this run", ""), rows, _WIDTHS, small=True)


def _value(value: Any) -> str:
    if hasattr(value, "append"):
        return f"{len(value)}: {'; '.join(map(str, value))}" if value else "none"
    return "" if value is None else f"{value:.1f}" if isinstance(value, float) else str(value)


def formulas(claims: Sequence[Claim]) -> Table:
    """The formulas of the claims, by name."""
    kinds = dict.fromkeys(claim.kind for claim in claims)
    rows = tuple(((Theirs(kind),), (Theirs(KINDS[kind].words),)) for kind in kinds)
    return Table(("formula", "in words"), rows, _WIDTHS, small=True)
