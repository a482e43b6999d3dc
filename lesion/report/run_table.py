"""The verdicts of a run in the terminal, 80 columns wide: one line per cell, one more for each other ablation."""

from typing import Any

from rich.table import Table

from lesion.report.words import Unit, level, p_value, unit_of
from lesion.runs.manifest import Manifest
from lesion.stats.agreement import ABLATIONS


def verdict_table(manifest: Manifest) -> Table:
    """Every cell of the run."""
    cells: Any = manifest.results["cells"]
    return _first(manifest, cells) if manifest.study.claims is None else _claimed(manifest, cells)


def _table(*columns: tuple[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, side in columns:
        table.add_column(name, justify="right" if side == "right" else "left", overflow="fold")
    return table


def _first(manifest: Manifest, cells: dict[str, Any]) -> Table:
    """A run of format 1."""
    table = _table(
        ("tier", "left"), ("alpha", "right"), ("verdict", "left"), ("change, points", "right"), ("n", "right")
    )
    for name, cell in cells.items():
        _, edit = _place(name)
        table.add_row(
            _where(manifest, name), edit, _word(cell), _change(cell, unit_of(manifest.study)), f"{cell['n']:,}"
        )
    return table


def _claimed(manifest: Manifest, cells: dict[str, Any]) -> Table:
    """All ablations, one below the other; the primary one first, with a star."""
    unit = unit_of(manifest.study)
    table = _table(
        ("tier", "left"), ("edit", "left"), ("verdict", "left"), (f"change, {unit.name}", "right"), ("n", "right"),
        ("among sets", "left"),
    )  # fmt: skip
    ablations: Any = manifest.results.get("ablations", {})
    ranks: Any = manifest.results.get("specific", {})
    for name, cell in cells.items():
        _, edit = _place(name)
        primary = edit in ABLATIONS
        table.add_row(
            _where(manifest, name), f"{edit} *" if primary else f"x{edit}", _word(cell), _change(cell, unit),
            f"{cell['n']:,}", _rank(ranks.get(name)),
        )  # fmt: skip
        beside = ablations.get(name, {})
        for other in ABLATIONS if primary else ():
            if other != edit:
                found = beside.get(other)
                row = (
                    ("not run", "-", "-") if found is None else (_word(found), _change(found, unit), f"{found['n']:,}")
                )
                table.add_row("", other, *row, "", style="dim")
    return table


def notes_below(manifest: Manifest) -> list[str]:
    """What the table's marks mean, and what stands beside it."""
    if manifest.study.claims is None:
        return []
    cells: Any = manifest.results["cells"]
    told = ["* primary ablation: it decides; the same rule gives the others their verdict."] if any(
        _place(name)[1] in ABLATIONS for name in cells) else []  # fmt: skip
    if apart := [name for name, cell in cells.items() if "ablation_dependent" in cell["tags"]]:
        where = ", ".join(dict.fromkeys(_where(manifest, name) for name in apart))
        told.append(f"The ablations disagree on {where}: nothing is said about what the target does there.")
    if any(_word(cell).endswith("!") for cell in cells.values()):
        told.append("! a tag limits what the verdict says; the report names it.")
    chance: Any = manifest.results.get("chance", {})
    base = {name.rsplit("|", 1)[0]: cell["baseline_accuracy"] for name, cell in cells.items()}
    said = [
        f"{_where(manifest, f'{name}|')} {level(base[name], manifest.study)} ({level(chance[name], manifest.study)})"
        for name in base
        if name in chance
    ]
    return [*told, *([f"Baseline (chance): {', '.join(said)}"] if said else [])]


def _place(name: str) -> tuple[str, str]:
    """Tier and edit of a cell `model|tier|target@edit`."""
    _, tier, arm = name.rsplit("|", 2)
    return tier, arm.removeprefix("target@")


def _where(manifest: Manifest, name: str) -> str:
    model, tier, _ = name.rsplit("|", 2)
    return f"{model} {tier}" if len(manifest.study.models) > 1 else tier


def _word(cell: dict[str, Any]) -> str:
    """The verdict; a mark where a tag limits what may be said. A full baseline limits no Harm."""
    free = {"negligible+", "negligible-", "material", *(["ceiling"] if cell["verdict"] == "Harm" else [])}
    return cell["verdict"] + ("" if cell["verdict"] == "Invalid" or not set(cell["tags"]) - free else " !")


def _change(cell: dict[str, Any], unit: Unit) -> str:
    if cell["delta"] is None:
        return "-"
    return f"{_plain(unit, cell['delta'])} [{_plain(unit, cell['ci_low'])}, {_plain(unit, cell['ci_high'])}]"


def _plain(unit: Unit, value: float) -> str:
    return f"{unit.factor * value:+.{unit.digits}f}"


def _rank(rank: dict[str, Any] | None) -> str:
    if rank is None or rank["status"] == "not asked":
        return ""
    if rank["status"] == "not evaluable":
        return "NOT EVALUABLE"
    said = "specific" if rank["status"] == "specific" else "no"
    return f"{said}, {rank['rank']}/{rank['sets'] + 1} p {p_value(rank['p_holm'])}"
