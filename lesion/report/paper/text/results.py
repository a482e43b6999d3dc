"""The results: gates, verdicts, baseline and figures; every number a claim."""

from collections.abc import Iterable

from lesion.report.figures.figures import Figure
from lesion.report.figures.palette import VERDICT_SIGNS
from lesion.report.paper.claims.cells import Cell, pieces
from lesion.report.paper.claims.claim import Claim, Register, Source, pointer
from lesion.report.paper.claims.row_queries import unedited
from lesion.report.paper.manuscript import (
    Block,
    Bullets,
    Grid,
    Heading,
    Line,
    Name,
    Paragraph,
    Picture,
    Section,
    checked,
    strong,
    words,
)
from lesion.report.paper.select_runs import Cast
from lesion.report.paper.text.replication import replicated
from lesion.report.wording.checks import Failed, edit_name, factors, loud_sets
from lesion.report.wording.words import model_name, unit_of

LEADING = ("verdicts", "specificity", "accuracy", "replication")
"""Figures that stand among the results; the others stand in the appendix."""


def results(
    cast: Cast, register: Register, cells: dict[str, list[Cell]], drawn: dict[str, tuple[Figure, ...]]
) -> Section:
    """What came out, run by run."""
    blocks: list[Block] = [Heading(1, "Results")]
    for run, source in cast.sources.items():
        status = source.record.manifest.status
        blocks.append(Paragraph(words("Run ", Name(run), ", ", strong(status), ".")))
        blocks += [*_gates(register, run, source), *_verdicts(source, cells[run]), *replicated(register, source)]
        blocks += [_picture(run, figure) for figure in drawn[run] if figure.name in LEADING]
    return checked(Section("results", tuple(blocks)))


def tables(
    cast: Cast, register: Register, cells: dict[str, list[Cell]], drawn: dict[str, tuple[Figure, ...]]
) -> Section:
    """The first appendix: baseline, seeds, kinds of items, and the other figures."""
    blocks: list[Block] = [Heading(1, "Appendix: baseline, seeds and kinds of items")]
    for run, source in cast.sources.items():
        blocks += [*_baseline(register, run, source), *_loud(register, run, source), *_pieces(register, cells[run])]
        blocks += [_picture(run, figure, small=True) for figure in drawn[run] if figure.name not in LEADING]
    return checked(Section("tables", tuple(blocks)))


def _picture(run: str, figure: Figure, *, small: bool = False) -> Picture:
    return Picture(f"{run}/{figure.name}", figure.title, figure.reading, small)


def _gates(register: Register, run: str, source: Source) -> Iterable[Block]:
    lines: list[Line] = []
    for place, gate in enumerate(source.record.manifest.gates):
        lines.append(words(strong(f"{gate.stage}: {gate.outcome}. "), register.told(run, "gates", place)))
    yield Paragraph(words(strong("Gates, in order.")))
    yield Bullets(tuple(lines))
    ending = register.of_field(run, "text", "why the run ended", "ending", "reason")
    yield Paragraph(words(strong("Ending: "), ending, "."))


def _verdicts(source: Source, cells: list[Cell]) -> Iterable[Block]:
    if not cells:
        yield Paragraph(words(strong("No verdict was reached"), ", because there was no confirmation."))
        return
    if source.record.manifest.study.claims is not None:
        yield _claimed(source, cells)
        return
    columns = ("where", "edit", "verdict", "accuracy, %", "change, points (interval)", "items", "gained / lost",
               "Holm p", "random sets", "apart from them", "Holm p")  # fmt: skip
    rows = tuple(_row(cell) for cell in cells)
    caption = words("Verdicts on the confirmation items. Intervals are Tango's, or over templates where items come from"
                    " templates; random sets are matched by layer. The last columns compare target and random"
                    " sets.")  # fmt: skip
    yield Grid(caption, columns, rows, (1.5, 1.3, 1.2, 0.9, 1.5, 0.8, 0.9, 0.9, 0.8, 1.5, 0.9), small=True)


def _row(cell: Cell) -> tuple[Line, ...]:
    verdict = cell.finding.verdict
    tags = f" ({', '.join(verdict.tags)})" if verdict.tags else ""
    return (
        cell.where(), words(cell.edit), words(f"{VERDICT_SIGNS[verdict.verdict]} {verdict.verdict}{tags}"),
        *map(_or_dash, (cell.accuracies, cell.change, cell.items, cell.moved, cell.p, cell.control, cell.contrast,
                        cell.contrast_p)),
    )  # fmt: skip


def _claimed(source: Source, cells: list[Cell]) -> Grid:
    """All ablations side by side; format 2."""
    unit = unit_of(source.record.manifest.study).name
    columns = ("where", "edit", "verdict", f"change, {unit} (interval)", "zero", "mean", "resample", "baseline",
               "chance", "items", "Holm p", "rank among sets")  # fmt: skip
    rows = tuple(_claimed_row(cell) for cell in cells)
    caption = words("Verdicts on the confirmation items. The edit names the ablation that decides; the others are"
                    " judged by the same rule. Intervals are over templates or example sets where a tier has them, else"
                    " Tango's. The rank is that of the target among its matched sets, on the same items.")  # fmt: skip
    return Grid(caption, columns, rows, (1.3, 1.2, 1.2, 1.4, 1.3, 1.3, 1.3, 0.7, 0.6, 0.6, 0.7, 1.2), small=True)


def _claimed_row(cell: Cell) -> tuple[Line, ...]:
    verdict, rank = cell.finding.verdict, cell.finding.rank
    tags = f" ({', '.join(verdict.tags)})" if verdict.tags else ""
    status = words("–") if rank is None or cell.rank is None else words(f"{rank.status.capitalize()}: ", cell.rank)
    return (
        cell.where(), words(cell.edit), words(f"{VERDICT_SIGNS[verdict.verdict]} {verdict.verdict}{tags}"),
        *map(_or_dash, (cell.change, *(cell.ablations or (None,) * 3), cell.baseline, cell.chance, cell.items, cell.p)),
        status,
    )  # fmt: skip


def _or_dash(claim: Claim | None) -> Line:
    return words(claim) if claim else words("–")


def _baseline(register: Register, run: str, source: Source) -> Iterable[Block]:
    gates = source.record.manifest.gates
    last = max((i for i, gate in enumerate(gates) if gate.stage == "baseline"), default=None)
    if last is None:
        return
    cells = source.document["gates"][last]["evidence"].get("cells", {})
    rows: list[tuple[Line, ...]] = []
    for name, cell in cells.items():
        model, _, tier = name.rpartition("|")
        path = ("gates", last, "evidence", "cells", name)
        for seed in range(len(cell["accuracies"])):
            about, chosen = f"{model_name(model)}, {tier}, baseline, seed {seed}", unedited(model, tier, seed)
            rows.append((
                words(Name(model_name(model)), ", ", Name(tier)), words(Name(f"seed {seed}")),
                words(register.of_rows(run, "accuracy", f"{about}: accuracy", chosen)),
                words(register.of_rows(run, "items", f"{about}: items", chosen, (pointer(*path, "n"),))),
                words(register.of_field(run, "spread", f"{model_name(model)}, {tier}: spread over seeds",
                                        *path, "spread")),
                words(cell["outcome"]),
            ))  # fmt: skip
    columns = ("where", "seed", "accuracy, % (interval)", "items", "spread, points", "gate")
    yield Grid(words("The unedited model by seed, with Wilson's interval."), columns, tuple(rows), small=True)


def _loud(register: Register, run: str, source: Source) -> Iterable[Block]:
    """The matched random sets that were loud on discovery items, where a sentence cannot hold them."""
    sets = loud_sets(source.record.manifest)
    columns = factors(sets)
    rows = tuple(
        (words(Name(model_name(each.model)), ", ", Name(each.tier)), words(Name(each.name)),
         *(_or_dash(_loudness(register, run, each.by_factor.get(alpha))) for alpha in columns))
        for each in sets
    )  # fmt: skip
    if rows:
        caption = words("Loud random sets: change in accuracy on discovery items where it is the margin or more, in"
                        " points, with its interval; by factor. Where a dash stands the set was not shown to be"
                        " loud.")  # fmt: skip
        heads = ("where", "set", *map(edit_name, columns))
        yield Grid(caption, heads, rows, (1.5, 0.9, *(1.0,) * len(columns)), small=True)


def _loudness(register: Register, run: str, failed: Failed | None) -> Claim | None:
    if failed is None:
        return None
    path = ("gates", failed.gate, "evidence", "checks", failed.check, "said")
    return register.of_field(run, "moved by", f"{failed.about}: change on discovery items", *path)


def _pieces(register: Register, cells: list[Cell]) -> Iterable[Block]:
    rows = tuple(
        (cell.where(), words(cell.edit), words(Name(piece.name)), words(piece.items), words(piece.change),
         _or_dash(piece.p))
        for cell in cells if cell.change for piece in pieces(register, cell)
    )  # fmt: skip
    if rows:
        columns = ("where", "edit", "part", "items", "change, points (interval)", "Holm p")
        yield Grid(words("Changes by seed and by kind of item."), columns, rows, small=True)
