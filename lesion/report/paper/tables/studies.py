"""The tables of methods, results and the supplement, without captions; every number a claim."""

from collections.abc import Sequence

from lesion.report.figures.parts.palette import VERDICT_SIGNS
from lesion.report.paper.claims.cells import Cell, pieces
from lesion.report.paper.claims.claim import Claim
from lesion.report.paper.claims.row_queries import unedited
from lesion.report.paper.manuscript import Line, Name, Theirs, joined, words
from lesion.report.paper.tables.example import example
from lesion.report.paper.text.run_view import RunView
from lesion.report.paper.text.sections import Table
from lesion.report.wording.checks import Failed, edit_name, factors, loud_sets
from lesion.report.wording.words import model_name
from lesion.runs.manifest.run import DatasetFacts

_SHORT = 12
"""Digits of a hash in a table; whole ones stand in claims.json and in the manifests."""
_EXAMPLE = 60
"""Characters of a prompt's end that are shown."""


def models_table(runs: Sequence[RunView]) -> Table:
    """Models by revision and hash, each once."""
    columns = ("model", "family", "numbers", "revision", "weights (hash)", "tokenizer (hash)")
    rows = {
        (model.name, model.weights_hash): (
            words(Name(model_name(model.name))), words(Name(model.family)), words(Name(model.dtype)),
            words(Name(model.revision[:_SHORT] or "local")), words(Name(model.weights_hash[:_SHORT])),
            words(Name(model.tokenizer_hash[:_SHORT])),
        )
        for run in runs for model in run.manifest.models
    }  # fmt: skip
    return Table(columns, tuple(rows.values()))


def registrations_table(runs: Sequence[RunView]) -> Table:
    """Studies with their questions, and when each was registered."""
    rows = tuple(
        (words(Name(run.study.name)), (Theirs(run.study.question),), *_registered(run), words(Name(run.name)))
        for run in runs
    )
    return Table(("study", "question", "registration", "day", "run"), rows, (0.7, 2.4, 0.6, 0.6, 1.4), small=True)


def _registered(run: RunView) -> tuple[Line, Line]:
    """Number in the chain and day; a dash where the study was not registered."""
    if run.manifest.registration is None:
        return words("none"), words("–")
    number = run.number("number", "registration: number in the chain", "registration", "number")
    return words(number), words(run.number("day", "registration: day", "registration", "time"))


def tasks_table(runs: Sequence[RunView]) -> Table:
    """Tiers with an example and their numbers of items; of which study, where there are several."""
    columns = ("tier in the rows", "task", "example", "items", "data (hash)")
    rows = [row for run in runs for row in _tasks(run)]
    widths = (0.6, 1.1, 1.5, 2, 0)
    if len(runs) == 1:
        return Table(columns, tuple(rows), widths, small=True)
    whose = [words(Name(run.study.name)) for run in runs for _ in run.study.tasks]
    beside = tuple((study, *row) for study, row in zip(whose, rows, strict=True))
    return Table(("study", *columns), beside, (0.8, *widths), small=True)


def _tasks(run: RunView) -> list[tuple[Line, ...]]:
    rows: list[tuple[Line, ...]] = []
    for tier in run.study.tasks:
        what = run.number("task", f"{tier}: task", "study", "tasks", tier)
        facts = [(i, fact) for i, fact in enumerate(run.manifest.datasets) if fact.tier == tier]
        items = joined(_item_counts(run, tier, facts), "; ", "; ")
        hashes = joined([words(Name(fact.dataset_hash[:_SHORT])) for _, fact in facts[:1]])
        rows.append((words(Name(tier)), words(what), (Theirs(example(run, tier)[-_EXAMPLE:], "code"),), items, hashes))
    return rows


def _item_counts(run: RunView, tier: str, facts: list[tuple[int, DatasetFacts]]) -> list[Line]:
    """Items by split, a number for each seed; models with equal numbers stand together, by claims of the first."""
    by_model: dict[str, list[tuple[int, DatasetFacts]]] = {}
    for place, fact in facts:
        by_model.setdefault(fact.model, []).append((place, fact))
    groups: dict[tuple[tuple[str, int, int], ...], list[str]] = {}
    for model, here in by_model.items():
        groups.setdefault(tuple((fact.split, fact.seed, fact.items) for _, fact in here), []).append(model)
    lines: list[Line] = []
    for models in groups.values():
        splits: dict[str, list[Line]] = {}
        for place, fact in by_model[models[0]]:
            what = f"{model_name(fact.model)}, {tier}: items of {fact.split}, seed {fact.seed}"
            number = words(run.number("number", what, "datasets", place, "items"))
            splits.setdefault(fact.split, []).append(number)
        counts = [words(f"{split} ", joined(numbers, ", ", ", ")) for split, numbers in splits.items()]
        lines.append(words(_whose(models, len(groups), len(by_model)), joined(counts, "; ", "; ")))
    return lines


def _whose(models: list[str], groups: int, every: int) -> Line:
    """Whose numbers these are; nobody is named where there is one model."""
    if groups == 1:
        return words("each model: " if every > 1 else "")
    return words(joined([words(Name(model_name(model))) for model in models]), ": ")


def changes_table(run: RunView) -> Table:
    """Verdicts of a study of format 1."""
    columns = ("where", "edit", "verdict", "accuracy, %", "change, points (interval)", "items", "gained / lost",
               "Holm p", "random sets", "apart from them", "Holm p")  # fmt: skip
    rows = tuple(
        (
            *_cell(cell),
            *map(or_dash, (cell.accuracies, cell.change, cell.items, cell.moved, cell.p, cell.control, cell.contrast,
                           cell.contrast_p)),
        )
        for cell in run.cells
    )  # fmt: skip
    return Table(columns, rows, (1.5, 1.3, 1.2, 0.9, 1.5, 0.8, 0.9, 0.9, 0.8, 1.5, 0.9), small=True)


def verdicts_table(runs: Sequence[RunView]) -> Table:
    """Verdicts of studies of format 2 for the paper: the tests by name, all ablations side by side."""
    runs = [run for run in runs if run.study.claims and run.cells]
    several, units = len(runs) > 1, {run.unit for run in runs}
    ablated = any(cell.ablations and cell.finding.primary for run in runs for cell in run.cells)
    changes = ("zero", "mean", "resample") if ablated else ("change",)
    columns = ("task", "edit", "verdict", *changes, "rank among sets", "unedited", "items")
    rows = tuple(
        (
            *((_whose_cell(run, units),) if several else ()),
            run.where(cell), _edit(run, cell), _short_verdict(cell), *_changes(cell, ablated=ablated),
            or_dash(cell.rank), or_dash(cell.baseline), or_dash(cell.items),
        )
        for run in runs for cell in run.cells
    )  # fmt: skip
    widths = (1.2, 1.2, 1.2, *(1.4,) * len(changes), 1.0, 0.9, 0.7)
    if several:
        return Table(("study", *columns), rows, (2.2, *widths), small=True)
    return Table(columns, rows, widths, small=True)


def _whose_cell(run: RunView, units: set[str]) -> Line:
    """Study and models, and the unit where the studies' units differ."""
    return words(Name(run.study.name), ", ", run.models, f", {run.unit}" if len(units) > 1 else "")


def gates_table(runs: Sequence[RunView]) -> Table:
    """What each run is, which gates it passed, and why it ended."""
    rows = tuple(
        (
            words(Name(run.study.name)), words(run.manifest.status), words(_gates(run)),
            words(run.number("text", "why the run ended", "ending", "reason")),
        )
        for run in runs
    )  # fmt: skip
    return Table(("study", "status", "gates, in order", "ending"), rows, (0.8, 0.8, 2.0, 1.4), small=True)


def _gates(run: RunView) -> str:
    return ", ".join(f"{gate.stage} {gate.outcome}" for gate in run.manifest.gates)


def _edit(run: RunView, cell: Cell) -> Line:
    """What is done; to which target, where the study has several."""
    return words(cell.edit, " ", run.whom(cell)) if run.targets > 1 else words(cell.edit)


def _changes(cell: Cell, *, ablated: bool) -> tuple[Line, ...]:
    """Changes under the three ablations; where a factor scales the target, its change in the first column."""
    if not ablated:
        return (or_dash(cell.change),)
    if cell.finding.primary is None:
        return or_dash(cell.change), words(""), words("")
    return tuple(map(or_dash, cell.ablations or (None,) * 3))


def _short_verdict(cell: Cell) -> Line:
    verdict = cell.finding.verdict
    apart = " (ablations disagree)" if cell.finding.dependent else ""
    primary = f", by {cell.finding.primary}" if cell.finding.primary else ""
    return words(f"{VERDICT_SIGNS[verdict.verdict]} {verdict.verdict}{primary}{apart}")


def ablations_table(run: RunView) -> Table:
    """Verdicts of a study of format 2, all ablations side by side."""
    columns = ("where", "edit", "verdict", f"change, {run.unit} (interval)", "zero", "mean", "resample", "baseline",
               "chance", "items", "Holm p", "rank among sets")  # fmt: skip
    rows = tuple(
        (
            *_cell(cell),
            *map(or_dash, (cell.change, *(cell.ablations or (None,) * 3), cell.baseline, cell.chance, cell.items,
                           cell.p)),
            _rank(cell),
        )
        for cell in run.cells
    )  # fmt: skip
    return Table(columns, rows, (1.3, 1.2, 1.2, 1.3, 1.2, 1.2, 1.2, 0.9, 0.8, 0.7, 0.7, 1.2), small=True)


def _cell(cell: Cell) -> tuple[Line, ...]:
    """Where, what was done, and the verdict."""
    verdict = cell.finding.verdict
    tags = f" ({', '.join(verdict.tags)})" if verdict.tags else ""
    return cell.where(), words(cell.edit), words(f"{VERDICT_SIGNS[verdict.verdict]} {verdict.verdict}{tags}")


def _rank(cell: Cell) -> Line:
    rank = cell.finding.rank
    return words("–") if rank is None or cell.rank is None else words(f"{rank.status.capitalize()}: ", cell.rank)


def or_dash(claim: Claim | None) -> Line:
    """The claim, or a dash where there is none."""
    return words(claim) if claim else words("–")


def baseline_table(run: RunView) -> Table:
    """The unedited model by seed."""
    spread, unit = ("spread in nats", "nats") if run.manifest.study.continuous else ("spread", "points")
    columns = ("where", "seed", "accuracy, % (interval)", "items", f"spread, {unit}", "gate")
    last = max((i for i, gate in enumerate(run.manifest.gates) if gate.stage == "baseline"), default=None)
    if last is None:
        return Table(columns, ())
    rows: list[tuple[Line, ...]] = []
    for name, cell in run.source.document["gates"][last]["evidence"].get("cells", {}).items():
        model, _, tier = name.rpartition("|")
        path = ("gates", last, "evidence", "cells", name)
        for seed in range(len(cell["accuracies"])):
            about, queried = f"{model_name(model)}, {tier}, baseline, seed {seed}", unedited(model, tier, seed)
            rows.append((
                words(Name(model_name(model)), ", ", Name(tier)), words(Name(f"seed {seed}")),
                words(run.register.of_rows(run.name, "accuracy", f"{about}: accuracy", queried)),
                words(run.register.of_rows(run.name, "items", f"{about}: items", queried)),  # the gate takes the fewest
                words(run.number(spread, f"{model_name(model)}, {tier}: spread over seeds", *path, "spread")),
                words(cell["outcome"]),
            ))  # fmt: skip
    return Table(columns, tuple(rows), small=True)


def loud_sets_table(run: RunView) -> Table:
    """The matched random sets that were loud on discovery items, where a sentence cannot hold them."""
    sets = loud_sets(run.manifest)
    by_factor = factors(sets)
    rows = tuple(
        (words(Name(model_name(each.model)), ", ", Name(each.tier)), words(Name(each.name)),
         *(or_dash(_loudness(run, each.by_factor.get(alpha))) for alpha in by_factor))
        for each in sets
    )  # fmt: skip
    columns = ("where", "set", *map(edit_name, by_factor))
    return Table(columns, rows, (1.5, 0.9, *(1.0,) * len(by_factor)), small=True)


def _loudness(run: RunView, failed: Failed | None) -> Claim | None:
    if failed is None:
        return None
    path = ("gates", failed.gate, "evidence", "checks", failed.check, "said")
    return run.number("moved by", f"{failed.about}: change on discovery items", *path)


def parts_table(run: RunView) -> Table:
    """Changes by seed and by kind of item."""
    columns = ("where", "edit", "part", "items", f"change, {run.unit} (interval)", "Holm p")
    rows = tuple(
        (cell.where(), words(cell.edit), words(Name(piece.name)), words(piece.items), words(piece.change),
         or_dash(piece.p))
        for cell in run.cells if cell.change for piece in pieces(run.register, cell)
    )  # fmt: skip
    return Table(columns, rows, small=True)
