"""Tables of the commands on edges; 80 columns."""

from collections.abc import Mapping
from textwrap import wrap
from typing import Any

from rich.console import Console

from lesion.report.terminal.look.diagnostics import said, said_rounding, table
from lesion.report.terminal.look.set_lines import ends_of, said_left_out, span_of

SHOWN = 12
"""Edges of a kept set that the terminal shows; `--json` has all."""
METHODS = {
    "exact": "patched exactly",
    "eap": "estimated by EAP",
    "eap-ig": "estimated by EAP-IG (inputs)",
    "eap-ig-activations": "estimated by EAP-IG (activations)",
}


def print_edges(console: Console, result: Mapping[str, Any]) -> None:
    """The strongest edges, with what was estimated and what was measured."""
    said(console, f"Edges of {result['model']}: {METHODS[result['method']]}, {result['target']}", "bold")
    said(console, f"{result['of']:,} edges, {result['items']} prompt pairs")
    said(console, f"Clean {result['clean']:+.3f}, corrupted {result['corrupted']:+.3f} logits")
    estimated = any(row["estimate"] is not None for row in result["rows"])
    exact = any(row["exact"] is not None for row in result["rows"])
    columns = ["edge", *([">estimate"] if estimated else []), *([">exact", "95 % interval"] if exact else [])]
    rows = table(*columns)
    for row in result["rows"]:
        cells = [row["edge"], *([f"{row['estimate']:+.3f}"] if estimated else [])]
        if exact:
            cells += [f"{row['exact']:+.3f}", f"{row['low']:+.3f} … {row['high']:+.3f}"]
        rows.add_row(*cells)
    console.print(rows)
    said(console, "Change of the target when the edge carries the corrupted contribution")
    if result["still"]:
        said(console, f"{result['still']:,} edges have effect 0: their sender writes the same in both prompts")
    if result["recall"] is not None:
        count = len(result["rows"])
        said(console, f"Recall: {result['recall']:.2f} of the {count} strongest exact edges are listed")
    if result["out"]:
        said(console, f"Wrote {result['out']}")
    said_left_out(console, result)
    if result["floor"] is not None:
        said_rounding(console, result)


def print_faithful_edges(console: Console, result: Mapping[str, Any]) -> None:
    """The set's faithfulness, and the curve."""
    if "set" in result:
        found = result["set"]
        said(console, f"Faithfulness {found['faithfulness']:.3f} ({ends_of(found)}), {found['target']}", "bold")
        said(console, f"{len(found['edges']):,} of {found['of']:,} edges kept, {found['items']} prompt pairs")
        said(console, "The others carry the corrupted contribution")
        numbers = [f"{found[name]:+.3f}" for name in ("model", "circuit", "empty")]
        said(console, "Clean {}, this set {}, corrupted {} logits".format(*numbers))
        names = found["edges"]
        more = f" and {len(names) - SHOWN:,} more (--json)" if len(names) > SHOWN else ""
        for row in wrap(f"Kept: {' '.join(names[:SHOWN])}{more}", 80):
            said(console, row)
    for curve in result.get("curves", ()):
        _print_curve(console, curve)
    said_left_out(console, result)
    if result["floor"] is not None:
        said_rounding(console, result)


def _print_curve(console: Console, curve: Mapping[str, Any]) -> None:
    area = f"CPR {curve['cpr']:.3f}" if curve["ranking"] == "signed" else f"CMD {curve['cmd']:.3f}"
    said(console, f"{area}: best edges by {curve['ranking']} score, {curve['target']}", "bold")
    said(console, f"{curve['items']} prompt pairs; edges {METHODS[curve['method']]} on other items")
    said(console, f"Axis: share of {curve['of']:,} edges, linear")
    rows = table(">share", ">edges", ">faithfulness", "95 % interval")
    for point in curve["points"]:
        numbers = f"{point['edges']:,}", f"{point['faithfulness']:.3f}", span_of(point)
        rows.add_row(f"{point['fraction']:g}", *numbers)
    console.print(rows)
