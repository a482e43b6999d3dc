"""The replication on other models among the results: every number a claim of its own rows or fields."""

from collections.abc import Iterable

from lesion.report.figures.palette import VERDICT_SIGNS
from lesion.report.paper.claims.cells import about_of, edit_claim
from lesion.report.paper.claims.claim import Claim, Register, Source, clustered, pointer
from lesion.report.paper.claims.row_queries import paired
from lesion.report.paper.manuscript import Block, Grid, Line, Name, Paragraph, joined, strong, words
from lesion.report.wording.replication import found
from lesion.report.wording.words import model_name
from lesion.stats.specificity.rank import RankSpecificity
from lesion.study.plan import Chosen
from lesion.study.results import ReplicatedConfiguration, ReplicationResults

RESULTS = ("results", "replication")
ANSWERS = {
    "replicated": "is replicated: every other model gives the same verdict",
    "partly replicated": "is partly replicated: some of the other models give the same verdict",
    "not replicated": "is not replicated: no other model gives the same verdict",
    "contradicted": "is contradicted: another model gives the opposite verdict",
    None: "was not tried on another model",
}


def replicated(register: Register, source: Source) -> Iterable[Block]:
    """What was tried on other models and what came of it; nothing where the study has no replication."""
    told = found(source.record)
    if told is None:
        return
    yield Paragraph(words(strong("On other models. "), *sentences(register, source, told)))
    yield _pooled(register, source, told)
    yield _cells(register, source, told)


def sentences(register: Register, source: Source, told: ReplicationResults) -> Iterable[Line]:
    """Each configuration with its answer, a sentence each."""
    for place, each in enumerate(told.configurations):
        edit = _edit(register, source, place, each)
        yield words(edit, " on ", Name(each.tier), f" ({each.why}) ", ANSWERS[each.answer], ". ")
    for model in told.unmapped:
        yield words("Nothing in ", Name(model_name(model)), " stands for the target. ")


def _edit(register: Register, source: Source, place: int, each: ReplicatedConfiguration) -> Claim:
    manifest = source.record.manifest
    run = manifest.run
    number, first = next((i, chosen) for i, chosen in enumerate(manifest.plan.family) if chosen.id == each.source)
    if first.ablation is not None:
        about = f"replication, {each.tier}, {first.ablation}: cell of the source"
        return register.of_field(run, "edit", about, "plan", "family", number, "ablation")
    about = f"replication, {each.tier}, ×{each.alpha:g}: factor"
    return register.of_field(run, "factor", about, *RESULTS, "configurations", place, "alpha")


def _pooled(register: Register, source: Source, told: ReplicationResults) -> Grid:
    run = source.record.manifest.run
    rows: list[tuple[Line, ...]] = []
    for place, each in enumerate(told.configurations):
        if each.pooled is None:
            continue
        about = f"replication, {each.tier}, ×{each.alpha:g}"
        path = (*RESULTS, "configurations", place, "pooled")
        ends = tuple(pointer(*path, name) for name in ("delta", "low", "high"))
        rows.append((
            words(_edit(register, source, place, each), ", ", Name(each.tier)),
            words(register.of_field(run, "number", f"{about}: models", *path, "models")),
            words(register.of_recorded(run, "interval", f"{about}: random-effects mean", ends)),
            words(register.of_field(run, "statistic", f"{about}: Cochran's Q", *path, "q")),
            words(register.of_field(run, "p", f"{about}: p of Q", *path, "p")),
            words(register.of_field(run, "whole percent", f"{about}: I squared", *path, "i_squared")),
            words(register.of_field(run, "spread", f"{about}: tau", *path, "tau")),
        ))  # fmt: skip
    caption = words("Each configuration over the models: DerSimonian and Laird's random-effects mean, Cochran's Q and I"
                    " squared. With so few models Q has little power, and tau is hardly known.")  # fmt: skip
    columns = ("edit", "models", "mean, points (interval)", "Q", "p", "I squared, %", "tau, points")
    return Grid(caption, columns, tuple(rows), (1.6, 0.7, 1.7, 0.8, 0.8, 0.9, 0.8), small=True)


def _cells(register: Register, source: Source, told: ReplicationResults) -> Grid:
    replicas = [(i, each) for i, each in enumerate(source.record.manifest.plan.replicas) if each.id in told.cells]
    rows = tuple(_cell(register, source, place, each, told) for place, each in replicas)
    caption = words("Verdicts on the other models' confirmation items; Holm runs over all of these cells.")
    columns = ("where", "edit", "verdict", "change, points (interval)", "items", "Holm p", "apart from random sets")
    return Grid(caption, columns, rows, (1.5, 1.2, 1.2, 1.6, 0.8, 0.8, 1.6), small=True)


def _cell(register: Register, source: Source, place: int, member: Chosen, told: ReplicationResults) -> tuple[Line, ...]:
    run, model, tier, cell = source.record.manifest.run, member.model, member.tier, told.cells[member.id]
    about, path = f"replication, {about_of(member)}", (*RESULTS, "cells", member.id)
    edit = edit_claim(register, run, about, member, "plan", "replicas", place)
    verdict = words(f"{VERDICT_SIGNS[cell.verdict]} {cell.verdict}")
    where = words(Name(model_name(model)), ", ", Name(tier))
    if cell.delta is None:
        return where, words(edit), verdict, *(words("–"),) * 4
    chosen = paired(model, tier, member.arm, stage="replicate")
    ends = tuple(pointer(*path, end) for end in ("delta", "ci_low", "ci_high"))
    what = f"{about}: change in accuracy"
    continuous = source.record.manifest.study.continuous
    change = (
        register.of_fields(run, "nats" if continuous else "interval", what, ends, chosen)
        if continuous or clustered(source, model, tier)
        else register.of_rows(run, "change", what, chosen, ends, cell.confidence)
    )
    return (
        where, words(edit), verdict, words(change),
        words(register.of_rows(run, "items", f"{about}: items", chosen, (pointer(*path, "n"),))),
        words(register.of_fields(run, "p", f"{about}: Holm p", (pointer(*path, "p_holm"),), chosen)),
        _apart(register, run, about, member, told),
    )  # fmt: skip


def _apart(register: Register, run: str, about: str, member: Chosen, told: ReplicationResults) -> Line:
    name, against = member.id, told.specific.get(member.id)
    if against is None:
        return words("no random sets")
    if isinstance(against, RankSpecificity):
        fields = tuple(pointer(*RESULTS, "specific", name, each) for each in ("rank", "p", "sets"))
        rank = register.of_recorded(run, "rank", f"{about}: rank among matched sets", fields)
        return words(f"{against.status}: ", rank)
    arms = member.arm, member.condition("control").name
    rows = paired(member.model, member.tier, *arms, stage="replicate")
    ends = tuple(pointer(*RESULTS, "specific", name, end) for end in ("delta", "ci_low", "ci_high"))
    claim = register.of_fields(run, "interval", f"{about}: target against matched random sets", ends, rows)
    return words("yes: " if against.holds else "no: ", claim)


def in_short(register: Register, source: Source) -> Iterable[Line]:
    """For the abstract: which configurations hold on other models, without their sizes."""
    told = found(source.record)
    if told is None:
        return
    for answer, said in ANSWERS.items():
        here = [(i, each) for i, each in enumerate(told.configurations) if each.answer == answer]
        if here:
            places = joined([words(_edit(register, source, i, each), " on ", Name(each.tier)) for i, each in here])
            yield words("On other models, ", places, f" {said}." if len(here) == 1 else f" each {said}.")
