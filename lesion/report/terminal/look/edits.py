"""Tables of the commands that edit cell by cell: patching grids, staged ablations, dose-response curves; 80 columns."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from lesion.report.terminal.look.diagnostics import said, said_rounding, table

SHOWN = 24
"""Rows of a grid that the terminal shows; `--json` has all."""


def print_grid(console: Console, grid: Mapping[str, Any]) -> None:
    """The cells that move the target most, with intervals and the share of the way to the twin."""
    end = f"; path to {grid['to'] or 'the logits'}" if grid["path"] else ""
    ways = {"noising": "corrupted into clean (noising)", "denoising": "clean into corrupted (denoising)"}
    way = ways[grid.get("direction", "noising")]
    said(console, f"Patching {way}, {grid['target']}, {grid['items']} items{end}", "bold")
    unaligned = f", {grid['without_twin']} items have no corrupted prompt that aligns" if grid["without_twin"] else ""
    said(console, f"Patching everything: {grid['whole']:+.3f}{unaligned}{_refused(grid)}")
    cells = sorted(grid["cells"], key=lambda cell: -abs(cell["change"]))
    shown = table("site", "at", ">change", "95 % interval", ">share of the way")
    for cell in cells[:SHOWN]:
        share = "-" if cell["share"] is None else f"{cell['share']:.3f}"
        ends = f"{cell['low']:+.3f} … {cell['high']:+.3f}"
        shown.add_row(cell["site"], cell["positions"], f"{cell['change']:+.3f}", ends, share)
    console.print(shown)
    if len(cells) > SHOWN:
        said(console, f"and {len(cells) - SHOWN} cells that move it less; --json gives all {len(cells)}")
    said_rounding(console, grid)


def print_curve(console: Console, result: Mapping[str, Any]) -> None:
    """Stage by stage: what was added, accuracy and logit difference, beside the range of the random orders."""
    curve, others = result["curve"], result["random"]
    by = f" by {result['by']}" if result["by"] else ""
    ordered = f"in the order of {curve['order']}{by}" if curve["order"] != "random" else "in a random order"
    said(console, f"Cumulative: {curve['ablation']}, {ordered}{_refused(result)}", "bold")
    shown = table(">sites", "added", ">accuracy", "change, 95 %", ">logit diff", ">log-prob", ">random orders")
    for place, stage in enumerate(curve["stages"]):
        numbers = [_number(stage[name]) for name in ("accuracy", "logit_diff", "answer_logprob")]
        change = f"{stage['low']:+.3f} … {stage['high']:+.3f}" if stage["sites"] else ""
        chance = _spread([other["stages"][place]["accuracy"] for other in others])
        shown.add_row(str(stage["sites"]), stage["added"] or "none", numbers[0], change, *numbers[1:], chance)
    console.print(shown)
    said_rounding(console, result)


def print_response(console: Console, response: Mapping[str, Any]) -> None:
    """By strength: the change of the target, and that of a random vector of the same norm."""
    said(console, f"Steering at {response['site']} @{response['positions']}, {response['items']} items", "bold")
    source = response["file"] if "file" in response else f"'{response['shown']}' minus '{response['other']}'"
    said(console, f"Vector: {source}, norm {response['norm']:.3g}")
    if response["seen"]:
        said(console, f"{response['seen']} items are left out: the vector was made from them")
    shown = table(
        ">dose", ">share of the stream", f">change of {response['target']}", "95 % interval", ">random vector"
    )
    for dose in response["doses"]:
        ends = f"{dose['low']:+.3f} … {dose['high']:+.3f}"
        numbers = (f"{dose['relative']:.2f}", f"{dose['change']:+.3f}", ends, f"{dose['random']:+.3f}")
        shown.add_row(f"{dose['coefficient']:g}", *numbers)
    console.print(shown)
    said_rounding(console, response)


def _number(value: float | None) -> str:
    return "unscored" if value is None else f"{value:.3f}"


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "-"
    return f"{min(values):.3f} … {max(values):.3f}"


def _refused(result: Mapping[str, Any]) -> str:
    lost = ", ".join(f"{reason} {count}" for reason, count in result["refused"].items())
    return f"; not asked: {lost}" if lost else ""
