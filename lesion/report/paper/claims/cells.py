"""The claims about one cell of the family: each number from its rows, held against what the run recorded."""

from typing import NamedTuple

from lesion.report.findings import Finding
from lesion.report.paper.claims.claim import Claim, Register, Source, clustered, pointer
from lesion.report.paper.claims.holm import of_contrast, of_stratum, of_verdict
from lesion.report.paper.claims.row_queries import Range, paired, ranked
from lesion.report.paper.manuscript import Line, Name, words
from lesion.report.wording.words import model_name, outcome_words
from lesion.stats.verdict.ablation_agreement import ABLATIONS
from lesion.stats.verdict.cell_verdict import Part
from lesion.study.plan import Chosen, pair_name

RESULTS = ("results", "cells")


class Cell(NamedTuple):
    """A cell and its claims; nothing where a cell is Invalid and has no numbers."""

    run: str
    finding: Finding
    edit: Claim
    """The factor, as a verb."""
    items: Claim | None
    accuracies: Claim | None
    moved: Claim | None
    change: Claim | None
    p: Claim | None
    control: Claim | None
    contrast: Claim | None
    contrast_p: Claim | None
    ablations: tuple[Claim | None, ...] = ()
    """Zero, mean and resample, each with its interval; format 2."""
    chance: Claim | None = None
    baseline: Claim | None = None
    rank: Claim | None = None

    @property
    def model(self) -> str:
        """The model by name."""
        return model_name(self.finding.chosen.model)

    def where(self) -> Line:
        """Model and tier."""
        return words(Name(model_name(self.finding.chosen.model)), ", ", Name(self.finding.chosen.tier))


def cells(register: Register, run: str) -> list[Cell]:
    """Every cell of the run's family, in its order."""
    source = register.sources[run]
    return [_cell(register, source, number) for number in range(len(source.record.findings))]


def _cell(register: Register, source: Source, number: int) -> Cell:
    run, finding = source.record.manifest.run, source.record.findings[number]
    chosen, verdict, study = finding.chosen, finding.verdict, source.record.manifest.study
    continuous = study.continuous
    place = next(i for i, each in enumerate(source.record.manifest.plan.family) if each.id == chosen.id)
    about = about_of(chosen)
    edit = edit_claim(register, run, about, chosen, "plan", "family", place)
    if verdict.delta is None:
        return Cell(run, finding, edit, None, None, None, None, None, None, None, None)
    chosen_rows = paired(chosen.model, chosen.tier, chosen.arm)

    def recorded(*names: str) -> tuple[str, ...]:
        return tuple(pointer(*RESULTS, chosen.id, name) for name in names)

    control, contrast, contrast_p = _against(register, source, finding, about)
    beside = _claimed(register, source, finding, about)
    return Cell(
        run, finding, edit,
        register.of_rows(run, "items", f"{about}: items", chosen_rows, recorded("n")),
        register.of_rows(run, "accuracies", f"{about}: accuracy before and under the edit", chosen_rows,
                         () if continuous else recorded("baseline_accuracy", "edited_accuracy")),
        register.of_rows(run, "moved", f"{about}: items gained and lost", chosen_rows,
                         () if continuous else recorded("gained", "lost")),
        change(register, source, chosen, f"{about}: change in {outcome_words(study)}", chosen_rows,
               (*RESULTS, chosen.id), ("delta", "ci_low", "ci_high"), verdict.confidence),
        of_verdict(register, source, finding, f"{about}: Holm p", chosen_rows),
        control, contrast, contrast_p, *beside,
    )  # fmt: skip


def about_of(chosen: Chosen) -> str:
    """What a claim about a cell is about."""
    return f"{model_name(chosen.model)}, {chosen.tier}, {chosen.short}"


def edit_claim(register: Register, run: str, about: str, chosen: Chosen, *place: str | int) -> Claim:
    """What was done, as a verb, from the member's place in the plan."""
    if chosen.exchange is not None:
        return register.of_field(run, "edit", f"{about}: edit", *place, "exchange")
    if chosen.ablation is not None:
        return register.of_field(run, "edit", f"{about}: ablation", *place, "ablation")
    return register.of_field(run, "factor", f"{about}: factor", *place, "alpha")


def _claimed(
    register: Register, source: Source, finding: Finding, about: str
) -> tuple[tuple[Claim | None, ...], Claim | None, Claim | None, Claim | None]:
    """All ablations, chance, the baseline and the target's rank; nothing of a run of format 1."""
    manifest, chosen = source.record.manifest, finding.chosen
    if manifest.study.claims is None:
        return (), None, None, None
    run, continuous = manifest.run, manifest.study.continuous
    told: list[Claim | None] = []
    for name in ABLATIONS:
        found = finding.ablations.get(name)
        if found is None or found.delta is None:
            told.append(None)
            continue
        among = "" if name == chosen.ablation else chosen.arm
        rows = paired(chosen.model, chosen.tier, chosen.condition(edit=name).name, among=among)
        path = ("results", "ablations", chosen.id, name)
        what = f"{about}: change under {name} ablation"
        told.append(
            change(register, source, chosen, what, rows, path, ("delta", "ci_low", "ci_high"), found.confidence)
        )
    kind = "nats of one model" if continuous else "level"
    tier = pair_name(chosen.model, chosen.tier)
    chance = base = rank = None
    if finding.chance is not None:
        chance = register.of_field(run, kind, f"{about}: chance", "results", "chance", tier)
    base = register.of_field(run, kind, f"{about}: baseline", *RESULTS, chosen.id, "baseline_accuracy")
    if finding.rank is not None and finding.rank.effects and finding.rank.status != "not asked":
        fields = tuple(pointer("results", "specific", chosen.id, name) for name in ("rank", "p", "sets"))
        sets = [chosen.condition("set", number).name for number in set_numbers(source, finding)]
        rows = ranked(chosen.model, chosen.tier, [chosen.arm, *sets])
        what = f"{about}: rank among matched sets"
        if continuous:
            rank = register.of_fields(run, "rank in nats", what, fields, rows)
        else:
            rank = register.of_rows(run, "rank", what, fields=fields, chosen=rows)
    return tuple(told), chance, base, rank


def set_numbers(source: Source, finding: Finding) -> list[int]:
    """Numbers of the sets that count; those that changed nothing are left out of the rank."""
    inert: set[int] = set()
    for gate in source.document["gates"]:
        if gate["stage"] == "specificity":
            inert |= set(gate["evidence"].get("inert", {}).get(finding.chosen.id, ()))
    many = 0 if finding.rank is None else len(finding.rank.effects) + len(inert)
    return [number for number in range(many) if number not in inert]


def change(
    register: Register, source: Source, member: Chosen, what: str, chosen: Range, path: tuple[str | int, ...],
    names: tuple[str, ...], confidence: float,
) -> Claim:  # fmt: skip
    """A paired change with its interval: Tango's from the rows, or over templates as the run recorded it."""
    run, fields = source.record.manifest.run, tuple(pointer(*path, name) for name in names)
    if source.record.manifest.study.continuous:
        return register.of_fields(run, "nats", what, fields, chosen)
    if clustered(source, member.model, member.tier):
        return register.of_fields(run, "interval", what, fields, chosen)
    return register.of_rows(run, "change", what, chosen, fields, confidence)


def _against(register: Register, source: Source, finding: Finding, about: str) -> tuple[Claim | None, ...]:
    """The random set's own change, the target's distance from it, and that distance's Holm p."""
    run, chosen = source.record.manifest.run, finding.chosen
    if finding.specific is None:
        return None, None, None
    arms = chosen.arm, chosen.condition("control").name
    path = ("results", "specific", chosen.id)
    rows = paired(chosen.model, chosen.tier, *arms)
    return (
        register.of_rows(run, "difference", f"{about}: change under matched random sets",
                         paired(chosen.model, chosen.tier, arms[1])),
        change(register, source, chosen, f"{about}: target against matched random sets", rows, path,
               ("delta", "ci_low", "ci_high"), finding.verdict.confidence),
        of_contrast(register, source, finding, f"{about}: Holm p against matched random sets", rows),
    )  # fmt: skip


class Piece(NamedTuple):
    """A seed or a kind of item within a cell."""

    name: str
    items: Claim
    change: Claim
    p: Claim | None


def pieces(register: Register, cell: Cell) -> list[Piece]:
    """The cell by seed and by kind of item."""
    verdict = cell.finding.verdict
    parts = [("seeds", number, part) for number, part in enumerate(verdict.seeds)]
    parts += [("strata", number, part) for number, part in enumerate(verdict.strata)]
    return [_piece(register, cell, *each) for each in parts]


def _piece(register: Register, cell: Cell, kind: str, number: int, part: Part) -> Piece:
    chosen, source = cell.finding.chosen, register.sources[cell.run]
    name = f"seed {part.name}" if kind == "seeds" else part.name
    about = f"{about_of(chosen)}, {name}"
    path = (*RESULTS, chosen.id, kind, number)
    rows = paired(chosen.model, chosen.tier, chosen.arm, part=name)
    items = register.of_rows(cell.run, "items", f"{about}: items", rows, (pointer(*path, "n"),))
    what = f"{about}: change in {outcome_words(source.record.manifest.study)}"
    moved = change(register, source, chosen, what, rows, path, ("delta", "low", "high"), 0.95)
    p = None
    if kind == "strata":
        p = of_stratum(register, source, cell.finding, number, f"{about}: Holm p", rows)
    return Piece(name, items, moved, p)
