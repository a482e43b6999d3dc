"""The replication on other models among the results: every number a claim of its own rows or fields."""

from lesion.report.figures.parts.palette import VERDICT_SIGNS
from lesion.report.paper.claims.cells import about_of, edit_claim
from lesion.report.paper.claims.claim import Claim, clustered, pointer
from lesion.report.paper.claims.row_queries import paired
from lesion.report.paper.manuscript import Line, Name, words
from lesion.report.paper.text.run_view import RunView
from lesion.report.paper.text.sections import Table
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


def replication_sentences(run: RunView) -> list[tuple[Claim, str, str, str]]:
    """Each configuration: what was done, on which tier, why it was chosen, and the answer."""
    configurations = run.replication.configurations if run.replication else ()
    return [(_edit(run, i, each), each.tier, each.why, ANSWERS[each.answer]) for i, each in enumerate(configurations)]


def replication_answers(run: RunView) -> list[tuple[str, list[Line]]]:
    """For the abstract: each answer, and the configurations that have it, without their sizes."""
    configurations = run.replication.configurations if run.replication else ()
    by_answer = [
        (words_of, [words(_edit(run, i, each), " on ", Name(each.tier)) for i, each in enumerate(configurations)
                    if each.answer == answer])
        for answer, words_of in ANSWERS.items()
    ]  # fmt: skip
    return [each for each in by_answer if each[1]]


def _edit(run: RunView, place: int, each: ReplicatedConfiguration) -> Claim:
    number, first = next((i, cell) for i, cell in enumerate(run.manifest.plan.family) if cell.id == each.source)
    if first.ablation is not None:
        about = f"replication, {each.tier}, {first.ablation}: cell of the source"
        return run.number("edit", about, "plan", "family", number, "ablation")
    about = f"replication, {each.tier}, ×{each.alpha:g}: factor"
    return run.number("factor", about, *RESULTS, "configurations", place, "alpha")


def pooled_table(run: RunView) -> Table:
    """Each configuration over the models."""
    rows: list[tuple[Line, ...]] = []
    for place, each in enumerate(run.replication.configurations if run.replication else ()):
        if each.pooled is None:
            continue
        about = f"replication, {each.tier}, ×{each.alpha:g}"
        path = (*RESULTS, "configurations", place, "pooled")
        ends = tuple(pointer(*path, name) for name in ("delta", "low", "high"))
        rows.append((
            words(_edit(run, place, each), ", ", Name(each.tier)),
            words(run.number("number", f"{about}: models", *path, "models")),
            words(run.register.of_recorded(run.name, "interval", f"{about}: random-effects mean", ends)),
            words(run.number("statistic", f"{about}: Cochran's Q", *path, "q")),
            words(run.number("p", f"{about}: p of Q", *path, "p")),
            words(run.number("whole percent", f"{about}: I squared", *path, "i_squared")),
            words(run.number("spread", f"{about}: tau", *path, "tau")),
        ))  # fmt: skip
    columns = ("edit", "models", "mean, points (interval)", "Q", "p", "I squared, %", "tau, points")
    return Table(columns, tuple(rows), (1.6, 0.7, 1.7, 0.8, 0.8, 0.9, 0.8), small=True)


def replicas_table(run: RunView) -> Table:
    """Verdicts on the other models."""
    results = run.replication
    rows = tuple(
        _replica(run, place, each, results)
        for place, each in enumerate(run.manifest.plan.replicas)
        if results is not None and each.id in results.cells
    )
    columns = ("where", "edit", "verdict", "change, points (interval)", "items", "Holm p", "apart from random sets")
    return Table(columns, rows, (1.5, 1.2, 1.2, 1.6, 0.8, 0.8, 1.6), small=True)


def _replica(run: RunView, place: int, member: Chosen, results: ReplicationResults) -> tuple[Line, ...]:
    model, tier, cell = member.model, member.tier, results.cells[member.id]
    about, path = f"replication, {about_of(member)}", (*RESULTS, "cells", member.id)
    edit = edit_claim(run.register, run.name, about, member, "plan", "replicas", place)
    verdict = words(f"{VERDICT_SIGNS[cell.verdict]} {cell.verdict}")
    where = words(Name(model_name(model)), ", ", Name(tier))
    if cell.delta is None:
        return where, words(edit), verdict, *(words("–"),) * 4
    rows = paired(model, tier, member.arm, stage="replicate")
    ends = tuple(pointer(*path, end) for end in ("delta", "ci_low", "ci_high"))
    what = f"{about}: change in accuracy"
    continuous = run.study.continuous
    change = (
        run.register.of_fields(run.name, "nats" if continuous else "interval", what, ends, rows)
        if continuous or clustered(run.source, model, tier)
        else run.register.of_rows(run.name, "change", what, rows, ends, cell.confidence)
    )
    return (
        where, words(edit), verdict, words(change),
        words(run.register.of_rows(run.name, "items", f"{about}: items", rows, (pointer(*path, "n"),))),
        words(run.register.of_fields(run.name, "p", f"{about}: Holm p", (pointer(*path, "p_holm"),), rows)),
        _against_sets(run, about, member, results),
    )  # fmt: skip


def _against_sets(run: RunView, about: str, member: Chosen, results: ReplicationResults) -> Line:
    """The target's rank among its matched sets, or its distance from one."""
    name, against = member.id, results.specific.get(member.id)
    if against is None:
        return words("no random sets")
    if isinstance(against, RankSpecificity):
        fields = tuple(pointer(*RESULTS, "specific", name, each) for each in ("rank", "p", "sets"))
        rank = run.register.of_recorded(run.name, "rank", f"{about}: rank among matched sets", fields)
        return words(f"{against.status}: ", rank)
    arms = member.arm, member.condition("control").name
    rows = paired(member.model, member.tier, *arms, stage="replicate")
    ends = tuple(pointer(*RESULTS, "specific", name, end) for end in ("delta", "ci_low", "ci_high"))
    claim = run.register.of_fields(run.name, "interval", f"{about}: target against matched random sets", ends, rows)
    return words("yes: " if against.holds else "no: ", claim)
