"""The verdicts of a run in the terminal, 80 columns wide: one line per cell, one more for each other ablation."""

from rich.table import Table

from lesion.report.wording.evidence import overlap
from lesion.report.wording.evidence.dissociations import shown
from lesion.report.wording.words import Unit, level, p_value, unit_of
from lesion.runs.manifest.run import Manifest
from lesion.stats.specificity.rank import RankSpecificity
from lesion.stats.verdict.ablation_agreement import ABLATIONS
from lesion.stats.verdict.cell_verdict import CellVerdict
from lesion.study.plan import Chosen, pair_name


def verdict_table(manifest: Manifest) -> Table:
    """Every cell of the run."""
    return _first(manifest) if manifest.study.claims is None else _claimed(manifest)


def _cells(manifest: Manifest) -> list[tuple[Chosen, CellVerdict]]:
    """Every cell that was judged, in the family's order."""
    cells = manifest.results.cells
    return [(chosen, cells[chosen.id]) for chosen in manifest.plan.family if chosen.id in cells]


def _table(*columns: tuple[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, side in columns:
        table.add_column(name, justify="right" if side == "right" else "left", overflow="fold")
    return table


def _first(manifest: Manifest) -> Table:
    """A run of format 1."""
    table = _table(
        ("tier", "left"), ("alpha", "right"), ("verdict", "left"), ("change, points", "right"), ("n", "right")
    )
    for chosen, cell in _cells(manifest):
        change = _change(cell, unit_of(manifest.study))
        table.add_row(_where(manifest, chosen), chosen.edit, _word(cell), change, f"{cell.n:,}")
    return table


def _claimed(manifest: Manifest) -> Table:
    """All ablations, one below the other; the primary one first, with a star."""
    unit = unit_of(manifest.study)
    table = _table(
        ("tier", "left"), ("edit", "left"), ("verdict", "left"), (f"change, {unit.name}", "right"), ("n", "right"),
        ("among sets", "left"),
    )  # fmt: skip
    results = manifest.results
    for chosen, cell in _cells(manifest):
        primary = chosen.ablation is not None
        table.add_row(
            _where(manifest, chosen), f"{chosen.short} *" if primary else chosen.short.replace("×", "x"), _word(cell),
            _change(cell, unit), f"{cell.n:,}", _rank(results.ranks.get(chosen.id)),
        )  # fmt: skip
        beside = results.ablations.get(chosen.id, {})
        for other in ABLATIONS if primary else ():
            if other != chosen.ablation:
                found = beside.get(other)
                row = ("not run", "-", "-") if found is None else (_word(found), _change(found, unit), f"{found.n:,}")
                table.add_row("", other, *row, "", style="dim")
    return table


def notes_below(manifest: Manifest) -> list[str]:
    """What the table's marks mean, and what stands beside it."""
    if manifest.study.claims is None:
        return []
    cells = _cells(manifest)
    told = ["* primary ablation: it decides; the same rule gives the others their verdict."] if any(
        chosen.ablation is not None for chosen, _ in cells) else []  # fmt: skip
    if apart := [chosen for chosen, cell in cells if "ablation_dependent" in cell.tags]:
        where = ", ".join(dict.fromkeys(_where(manifest, chosen) for chosen in apart))
        told.append(f"The ablations disagree on {where}: nothing is said about what the target does there.")
    beside = [each for chosen, _ in cells for each in manifest.results.ablations.get(chosen.id, {}).values()]
    if any(_word(cell).endswith("!") for cell in (*(cell for _, cell in cells), *beside)):
        told.append("! a tag limits what the verdict says; the report names it.")
    chance, study = manifest.results.chance, manifest.study
    base = {
        _where(manifest, chosen): (cell.baseline_accuracy, chance[pair])
        for chosen, cell in cells
        if (pair := pair_name(chosen.model, chosen.tier)) in chance
    }
    said = [f"{where} {level(own, study)} ({level(guess, study)})" for where, (own, guess) in base.items()]
    ranks = [manifest.results.ranks.get(chosen.id) for chosen, _ in cells]
    if any(rank is not None and rank.status in ("specific", "not specific") for rank in ranks):
        told.append("among sets: rank among random sets and the target itself; no: not specific.")
    told += [
        f"Function-vector overlap, {f'{model} {name}'.rstrip()}: {shared}"
        for model, name, _ in manifest.plan.aims()
        if cells and (shared := overlap.cell(manifest, model, name)) not in ("–", "all")
    ]
    asked = [f"{each.found.verdict}: {each.found.name}." for each in shown(manifest)]
    return [*asked, *told, *([f"Baseline (chance): {', '.join(said)}"] if said else [])]


def _where(manifest: Manifest, chosen: Chosen) -> str:
    return f"{chosen.model} {chosen.tier}" if len(manifest.study.models) > 1 else chosen.tier


def _word(cell: CellVerdict) -> str:
    """The verdict; a mark where a tag limits what may be said. A full baseline limits no Harm."""
    free = {"negligible+", "negligible-", "material", *(["ceiling"] if cell.verdict == "Harm" else [])}
    return cell.verdict + ("" if cell.verdict == "Invalid" or not set(cell.tags) - free else " !")


def _change(cell: CellVerdict, unit: Unit) -> str:
    if cell.delta is None or cell.ci_low is None or cell.ci_high is None:
        return "-"
    return f"{_plain(unit, cell.delta)} [{_plain(unit, cell.ci_low)}, {_plain(unit, cell.ci_high)}]"


def _plain(unit: Unit, value: float) -> str:
    return f"{unit.factor * value:+.{unit.digits}f}"


def _rank(rank: RankSpecificity | None) -> str:
    if rank is None or rank.status == "not asked":
        return ""
    if rank.status == "not evaluable":
        return "NOT EVALUABLE"
    said = "specific" if rank.status == "specific" else "no"
    return f"{said}, {rank.rank}/{rank.sets + 1} p {p_value(rank.p_holm)}"
