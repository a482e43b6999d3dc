"""Holm's correction as claims: every p value of a family from its rows, not only as the run recorded it.

A cell is corrected over the members that were judged at its look, on the rows of that look, for a family whose size
never shrinks. Where items come from templates p is by template, which SQL does not give: there the run's record stands.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from lesion.report.findings import Finding
from lesion.report.paper.claims.claim import Claim, Register, Source, clustered, pointer
from lesion.report.paper.claims.row_queries import Member, Range, corrected, parts
from lesion.study.arms.condition import Role
from lesion.study.plan import Chosen


def of_verdict(register: Register, source: Source, finding: Finding, what: str, rows: Range) -> Claim:
    """The Holm p of a cell's own change."""
    path = ("results", "cells", finding.chosen.id, "p_holm")
    return _claim(register, source, finding, what, rows, path, "verdicts", None)


def of_contrast(register: Register, source: Source, finding: Finding, what: str, rows: Range) -> Claim:
    """The Holm p of a target against its matched random sets."""
    path = ("results", "specific", finding.chosen.id, "p_holm")
    return _claim(register, source, finding, what, rows, path, "specific", "control")


def of_stratum(register: Register, source: Source, finding: Finding, number: int, what: str, rows: Range) -> Claim:
    """The Holm p of one kind of item, over all kinds of the cell."""
    chosen, run = finding.chosen, source.record.manifest.run
    path = ("results", "cells", chosen.id, "strata", number, "p_holm")
    fields = (pointer(*path),)
    if source.record.manifest.study.continuous or clustered(source, chosen.model, chosen.tier):
        return register.of_fields(run, "p", what, fields, rows)
    names = [part.name for part in finding.verdict.strata]
    return register.of_rows(run, "holm", what, parts(chosen.model, chosen.tier, chosen.arm, names, number), fields)


def _claim(
    register: Register, source: Source, finding: Finding, what: str, rows: Range, path: tuple[str | int, ...],
    evidence: str, against: Role | None,
) -> Claim:  # fmt: skip
    run, plan, look = source.record.manifest.run, source.record.manifest.plan, finding.verdict.look
    judged = [chosen for chosen in plan.family if chosen.id in _judged(source, look, evidence)]
    fields = (pointer(*path),)
    if source.record.manifest.study.continuous:
        return register.of_fields(run, "p", what, fields, rows)
    if not _own(judged, finding) or any(clustered(source, each.model, each.tier) for each in judged):
        return register.of_fields(run, "p", what, fields, rows)
    members = [_member(each, look, against) for each in judged]
    own = next(place for place, each in enumerate(judged) if each.id == finding.chosen.id)
    return register.of_rows(run, "holm", what, corrected(members, own, len(plan.family)), fields)


def _own(judged: Sequence[Chosen], finding: Finding) -> bool:
    return any(each.id == finding.chosen.id for each in judged)


def _judged(source: Source, look: int, evidence: str) -> Mapping[str, Any]:
    """The members that had a p value at this look, by what the gate saw."""
    seen: Mapping[str, Any] = {}
    for gate in source.document["gates"]:
        if gate["stage"] == "confirm" and gate["evidence"].get("look") == look:
            seen = gate["evidence"].get(evidence, {})
    return {name: each for name, each in seen.items() if each.get("p") is not None}


def _member(chosen: Chosen, look: int, against: Role | None) -> Member:
    other = "baseline" if against is None else chosen.condition(against).name
    return Member(chosen.model, chosen.tier, chosen.arm, other, look * chosen.items)
