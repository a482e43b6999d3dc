"""The front of the paper: title, abstract, the question and how it was preregistered."""

from collections.abc import Iterable

from lesion.report.figures.marks import unit_words
from lesion.report.paper.claims.cells import Cell
from lesion.report.paper.claims.claim import SENTENCES, Register, Source, pointer
from lesion.report.paper.manuscript import (
    Block,
    Bullets,
    Heading,
    Line,
    Name,
    Paragraph,
    Section,
    Strong,
    Theirs,
    checked,
    joined,
    strong,
    words,
)
from lesion.report.paper.select_runs import Cast
from lesion.report.paper.text.replication import in_short
from lesion.report.paper.text.terms import failed, gate_words, models, target, warned
from lesion.report.record import own, positive_control
from lesion.report.wording.ablations import ABLATIONS, differing
from lesion.report.wording.words import MEANINGS, model_name
from lesion.study.stages.stage_table import STAGES

SHORT = 16
"""Digits of a hash in a sentence; the audit appendix has it whole."""
NAMED = 8
"""So many cells the abstract names one by one; of more it counts verdicts and names each model's largest change."""


def badge(cast: Cast) -> Line:
    """How far the paper may be believed, in a line."""
    statuses = sorted({source.record.manifest.status for source in cast.sources.values()})
    said = " and ".join(statuses).upper()
    ended = [source for source in cast.sources.values() if source.record.manifest.outcome == "stopped"]
    told = [said, *(["STOPPED BEFORE ITS END"] if ended else [])]
    if any(source.provisional for source in cast.sources.values()):
        told.append("provisional: not yet repeated in a fresh environment")
    return words(" · ".join(told))


def abstract(cast: Cast, register: Register, cells: dict[str, list[Cell]]) -> Section:
    """The verdict, plainly; numbers of confirmatory runs alone."""
    told: list[Line] = []
    for run, source in cast.sources.items():
        if source.record.manifest.status == "confirmatory":
            told += _confirmatory(register, source, cells[run])
        else:
            told += _exploratory(source)
        told += _gates(source)
    if any(source.provisional for source in cast.sources.values()):
        told.append(
            words("All numbers marked p are ", strong("provisional"), ": no certificate says yet that their run was"
                  " repeated from its manifest in a fresh environment.")
        )  # fmt: skip
    return checked(Section("abstract", (Heading(1, "Abstract"), Paragraph(joined(told, " ", " ")))))


def _confirmatory(register: Register, source: Source, cells: list[Cell]) -> Iterable[Line]:
    manifest = source.record.manifest
    yield words("We report a preregistered study of interventions on ", models(source), ".")
    if manifest.outcome == "stopped":
        yield words(strong("The run stopped before its end"), ", so it has no scenario.")
    else:
        yield words("By the preregistered rule its scenario is ", Strong(str(manifest.results.scenario)), ".")
    cells = _own_cells(source, cells)
    if not source.record.findings:
        yield words("No verdict was reached.")
    elif len(cells) <= NAMED:
        yield from _each(register, source, cells)
    else:
        yield from _most(register, source, cells)
    yield from _control(source)
    yield from in_short(register, source)


def _each(register: Register, source: Source, cells: list[Cell]) -> Iterable[Line]:
    """Cells by verdict, each with its change."""
    for kind, meaning in MEANINGS.items():
        here = [cell for cell in cells if cell.finding.verdict.verdict == kind]
        if here:
            yield words(strong(kind), f" ({meaning}): ", joined([_cell(register, source, cell) for cell in here], "; ",
                                                                "; "), ".")  # fmt: skip


def _cell(register: Register, source: Source, cell: Cell) -> Line:
    chosen = cell.finding.chosen
    who = target(register, source, chosen.model, licensed=cell.finding.licensed)
    return words(cell.edit, " ", who, " of ", Name(model_name(chosen.model)), *_outcome(cell))


def _did(register: Register, source: Source, cell: Cell) -> Line:
    """The same where the sentence has named the model."""
    who = target(register, source, cell.finding.chosen.model, licensed=cell.finding.licensed)
    return words(cell.edit, " ", who, *_outcome(cell))


def _outcome(cell: Cell) -> Line:
    size = words(", ", cell.change, f" {_unit(cell)}") if cell.change else words()
    return words(" on ", Name(cell.finding.chosen.tier), size, *_apart(cell), *_own(cell))


def _unit(cell: Cell) -> str:
    return "nats" if cell.change is not None and cell.change.kind == "nats" else "points"


def _apart(cell: Cell) -> Line:
    """What the other ablations say where they disagree."""
    if not cell.finding.dependent:
        return ()
    names = differing(cell.finding)
    said = [words(f"{name} ", claim) for name, claim in zip(ABLATIONS, cell.ablations, strict=False)
            if name in names and claim is not None]  # fmt: skip
    return words(" (the other ablations disagree", *((": ", joined(said)) if said else ()), ")")


def _own(cell: Cell) -> Line:
    """Whether the effect is the target's own."""
    rank = cell.finding.rank
    if rank is None or rank.status == "not asked":
        return ()
    if cell.rank is None or rank.status == "not evaluable":
        return words(" (specificity is not evaluable)")
    return words(f" ({rank.status}: rank ", cell.rank, ")")


def _own_cells(source: Source, cells: list[Cell]) -> list[Cell]:
    """The study's own cells; the positive control is told as a control (format 2)."""
    kept = {finding.chosen.id for finding in own(source.record)}
    return [cell for cell in cells if cell.finding.chosen.id in kept]


def _most(register: Register, source: Source, cells: list[Cell]) -> Iterable[Line]:
    """How many cells had which verdict, and each model's largest change."""
    run = source.record.manifest.run
    told: list[Line] = []
    for kind in MEANINGS:
        fields = [pointer("results", "cells", cell.finding.chosen.id, "verdict") for cell in cells
                  if cell.finding.verdict.verdict == kind]  # fmt: skip
        if fields:
            number = register.of_listed(run, "entries", f"cells with the verdict {kind}", tuple(fields))
            told.append(words(strong(kind), " in ", number))
    every = [pointer("results", "cells", cell.finding.chosen.id, "verdict") for cell in cells]
    family = (
        register.of_field(run, "many", "cells of the family", "plan", "family")
        if len(cells) == len(source.record.findings)
        else register.of_listed(run, "entries", "cells without the positive control", tuple(every))
    )
    yield words("Of its ", family, " cells, all of which stand in the results: ", joined(told), ".")
    for model in source.record.manifest.study.models:
        here = [cell for cell in cells if cell.finding.chosen.model == model]
        if here:
            largest = max(here, key=lambda cell: abs(cell.finding.verdict.delta or 0.0))
            said = f" ({largest.finding.verdict.verdict})."
            yield words("The largest change in ", Name(model_name(model)), ": ", _did(register, source, largest), said)


def _control(source: Source) -> Iterable[Line]:
    control = positive_control(source.record.manifest)
    if control is None:
        yield words(f"The study has no positive control, so no claim says what kind of {unit_words(source.record)} the"
                    " target are.")  # fmt: skip
        return
    named = {held: [words(Name(model_name(model))) for model, holds in control.holds.items() if holds is held]
             for held in (True, False)}  # fmt: skip
    if named[True]:
        yield words("The positive control holds for ", joined(named[True]), ".")
    if named[False]:
        yield words(strong("The positive control fails"), " for ", joined(named[False]), ": zeroing the target on ",
                    Name(control.tier), " was not shown to be Harm.")  # fmt: skip


def _exploratory(source: Source) -> Iterable[Line]:
    manifest = source.record.manifest
    yield words(strong("There is no confirmatory result."), " What follows is an exploratory run on ",
                models(source), ":")  # fmt: skip
    if manifest.registration is None:
        yield words("the study was not registered before its data, so its numbers suggest and do not confirm.")
    else:
        yield words("the study is registered, but this run does not confirm it, for reasons given under deviations.")
    yield words("Its numbers stand in the results and none of them here, because they may not be quoted as findings.")


def _gates(source: Source) -> Iterable[Line]:
    """Which gates failed, or that none did."""
    fallen, manifest = failed(source), source.record.manifest
    for gate in fallen:
        said = "failed" if gate.outcome == "Fail" else "was not passed"
        yield words(strong(f"{gate_words(gate).capitalize()} {said}"), f", {STAGES[gate.stage].consequence}.")
    if manifest.outcome == "stopped" and not fallen:
        yield words("No gate failed; the run ended for another reason, given in the results.")
    elif not fallen:
        yield words("Every gate passed.")
    if names := warned(source):
        yield words(f"Checks that failed without stopping the run: {', '.join(names)}; see the deviations.")


def question(cast: Cast, register: Register) -> Section:
    """What was asked, and what was fixed before the data."""
    blocks: list[Block] = [Heading(1, "Question and preregistration")]
    for run, source in cast.sources.items():
        blocks += _asked(run, source)
        blocks += _registered(register, run, source)
        told = [register.told(run, "deviations", i) for i in range(_deviations(source))]
        if told:
            blocks += [Paragraph(words(strong("Deviations and amendments."))), Bullets(tuple(map(words, told)))]
        else:
            blocks.append(Paragraph(words("No deviation and no amendment is recorded.")))
    if cast.drifted:
        said = "; ".join(cast.drifted)
        blocks.append(Paragraph(words(strong("The study file given is not what was run: "), Theirs(said))))
    return checked(Section("question", tuple(blocks)))


def _deviations(source: Source) -> int:
    return len(SENTENCES["deviations"](source.record))


def _asked(run: str, source: Source) -> Iterable[Block]:
    study = source.record.manifest.study
    yield Paragraph(words(strong("Question"), " (study ", Name(study.name), ", run ", Name(run), "): ",
                          Theirs(study.question)))  # fmt: skip
    if study.hypotheses:
        yield Paragraph(words(strong("Hypotheses"), ", as written before the data:"))
        yield Bullets(tuple((Theirs(each),) for each in study.hypotheses))


def _registered(register: Register, run: str, source: Source) -> Iterable[Block]:
    manifest = source.record.manifest
    if manifest.registration is None:
        yield Paragraph(words(strong("The study was not registered before its data."), " Its study hash"
                              " begins ", Name(manifest.study_hash[:SHORT]), "."))  # fmt: skip
        return
    number = register.of_field(run, "number", "registration: number in the chain", "registration", "number")
    day = register.of_field(run, "day", "registration: day", "registration", "time")
    before = manifest.registration.previous
    chain = (
        words("It is the first of its chain.")
        if before is None
        else words("The one before it: ", Name(before[:SHORT]), "….")
    )
    said = words("The study was registered as number ", number, " of its chain on ", day, ", hash ",
                 Name(manifest.registration.hash()[:SHORT]), "…. ", chain, " That hash orders the confirmation's items,"
                 " so nobody can have seen them before.")  # fmt: skip
    yield Paragraph(said)
    elsewhere = manifest.registration.seen_elsewhere or "not asked (registered before this was required)"
    yield Paragraph(words(strong("Seen elsewhere, by the registrant: "), Theirs(elsewhere)))
