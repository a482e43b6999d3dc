"""Tables of the commands on sets of nodes: one kept and all others replaced, or two ablated together; 80 columns."""

from collections.abc import Mapping
from textwrap import wrap
from typing import Any

from rich.console import Console

from lesion.report.terminal.look.diagnostics import said, said_rounding, table
from lesion.report.terminal.look.set_lines import ends_of, said_left_out, said_shared, span_of

SHOWN = 24
"""Nodes of a set that the terminal shows; `--json` has all."""


def print_faithful(console: Console, result: Mapping[str, Any]) -> None:
    """The set's faithfulness and what was asked about it; the search; the curve."""
    if "set" in result:
        _print_set(console, result["set"], result.get("pruning"))
    for curve in result.get("curves", ()):
        _print_curve(console, curve)
    said_left_out(console, result)
    said_rounding(console, result)


def _print_set(console: Console, found: Mapping[str, Any], pruning: Mapping[str, Any] | None) -> None:
    said(console, f"Faithfulness {found['faithfulness']:.3f} ({ends_of(found)}), {found['target']}", "bold")
    said(console, f"{len(found['nodes'])} of {found['of']} nodes kept, {found['items']} items")
    said(console, f"The others get: {found['ablation']}")
    numbers = [f"{found[name]:+.3f}" for name in ("model", "circuit", "empty")]
    said(console, "Model {}, this set {}, nothing kept {} logits".format(*numbers))
    if pruning is not None:
        said(console, f"Found by pruning on other items, f {pruning['faithfulness']:.3f} there")
        said(console, f"A node taken out cost at most {pruning['tolerance']:g}; {pruning['sets']} sets tried")
    falls = sorted(found["minimality"], key=lambda effect: -effect["fall"])
    if falls:
        rows = table("node", ">fall of f without it", "95 % interval")
        for effect in falls[:SHOWN]:
            rows.add_row(effect["node"], f"{effect['fall']:+.3f}", span_of(effect))
        console.print(rows)
        if len(falls) > SHOWN:
            said(console, f"and {len(falls) - SHOWN} nodes that cost less; --json gives all")
    else:
        names = found["nodes"]
        more = f" and {len(names) - SHOWN} more (--json)" if len(names) > SHOWN else ""
        for row in wrap(f"Kept: {' '.join(names[:SHOWN]) or 'nothing'}{more}", 80):
            said(console, row)
    if found["completeness"]:
        gaps = [abs(subset["circuit"] - subset["model"]) for subset in found["completeness"]]
        said(console, f"Completeness: {len(gaps)} random subsets taken out of set and model")
        said(console, f"Difference of f: {sum(gaps) / len(gaps):.3f} on average, {max(gaps):.3f} at most")


def _print_curve(console: Console, curve: Mapping[str, Any]) -> None:
    area = f"CPR {curve['cpr']:.3f}" if curve["ranking"] == "signed" else f"CMD {curve['cmd']:.3f}"
    said(console, f"{area}: best nodes by {curve['ranking']} single effect, {curve['target']}", "bold")
    said(console, f"{curve['items']} items; the others get: {curve['ablation']}")
    said(console, f"Axis: share of {curve['of']} heads and MLPs, linear")
    rows = table(">share", ">nodes", ">faithfulness", "95 % interval")
    for point in curve["points"]:
        rows.add_row(f"{point['fraction']:g}", str(point["nodes"]), f"{point['faithfulness']:.3f}", span_of(point))
    console.print(rows)


def print_pairs(console: Console, result: Mapping[str, Any]) -> None:
    """Every node alone, the pairs with the strongest interaction, and all together."""
    said(console, f"Pairs of {len(result['singles'])} nodes ({result['chosen']}), {result['target']}", "bold")
    said(console, f"Ablation: {result['ablation']}; {result['items']} items")
    alone = table("node", ">harm alone", "95 % interval")
    for single in sorted(result["singles"], key=lambda harm: -harm["harm"]):
        ends = f"{single['low']:+.3f} … {single['high']:+.3f}"
        alone.add_row(single["nodes"][0], f"{single['harm']:+.3f}", ends)
    console.print(alone)
    rows = table("pair", ">joint harm", ">beyond the sum", "95 % interval", ">p", "")
    for pair in result["pairs"][:SHOWN]:
        ends = f"{pair['low']:+.3f} … {pair['high']:+.3f}"
        told = "" if pair["kind"] == "not told apart" else pair["kind"]
        numbers = (
            f"{pair['joint']:+.3f}",
            f"{pair['interaction']:+.3f}",
            ends,
            "<.001" if pair["p"] < 0.001 else f"{pair['p']:.3f}",
        )
        rows.add_row("+".join(pair["nodes"]), *numbers, told)
    console.print(rows)
    ends = f"{result['excess_low']:+.3f} … {result['excess_high']:+.3f}"
    said(console, f"All {len(result['singles'])} together: harm {result['together']['harm']:+.3f}")
    said(console, f"Beyond the sum of each alone: {result['excess']:+.3f} ({ends})")
    said_shared(console, result)
    said(console, "Super-additive: beyond the sum, like backups. Sub-additive: like one path.")
    said_rounding(console, result)
