"""What a race for the top heads, and a map of all heads, show on a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from lesion.report.terminal.look.diagnostics import said, said_rounding, table

SHOWN = 20
"""Heads of a map that are shown."""
NAMED = 8
"""Heads that a line names."""
GAIN = 0.9
"""Variance ratio from which on a layer's gradients are said not to help."""


def print_race(console: Console, race: Mapping[str, Any]) -> None:
    """The top heads, what could not be told apart, and what each round did."""
    _head(console, race)
    accepted, undecided = race["accepted"], race["undecided"]
    places = race["top"] - len(accepted)
    if not undecided:
        said(console, f"The top {race['top']} heads are separated from all others (error at most {race['error']:g}).")
    else:
        said(
            console,
            f"{len(accepted)} of the top {race['top']} heads are certain (error at most {race['error']:g}). For the "
            f"other {places} places {len(undecided)} heads could not be told apart with {race['budget']:.0%} of the "
            f"passes: {_named(undecided)}. A larger --budget or more --items may separate them.",
        )
    _effects(console, [one for one in race["heads"] if one["site"] in race["chosen"]])
    _passes(console, race)
    shown = table("round", ">items", ">heads", ">accepted", ">dropped", ">passes")
    for number, one in enumerate(race["rounds"], 1):
        counts = (number, one["items"], one["heads"], len(one["accepted"]), len(one["dropped"]), one["passes"])
        shown.add_row(*(f"{count:,}" for count in counts))
    console.print(shown)
    _layers(console, race)


def print_map(console: Console, found: Mapping[str, Any]) -> None:
    """The largest effects of a map, and how much the gradients helped."""
    _head(console, found)
    _effects(console, found["heads"][:SHOWN])
    _passes(console, found)
    _layers(console, found)


def _head(console: Console, found: Mapping[str, Any]) -> None:
    done = "Patch from corrupted prompts" if found["towards"] == "corrupted" else f"Scale {found['alpha']:g}"
    said(console, f"{done}, {found['target']}, {found['items']} items, {len(found['heads'])} heads", "bold")
    said_rounding(console, found)


def _effects(console: Console, heads: Sequence[Mapping[str, Any]]) -> None:
    shown = table("head", ">gradient", ">effect", ">95 % interval", ">items", "standing")
    for one in heads:
        ends = f"{one['low']:+.4f} … {one['high']:+.4f}"
        numbers = f"{one['estimate']:+.4f}", f"{one['effect']:+.4f}", ends, f"{one['items']}"
        shown.add_row(one["site"], *numbers, one["standing"] or "")
    console.print(shown)


def _passes(console: Console, found: Mapping[str, Any]) -> None:
    full = found["items"] * len(found["heads"])
    said(
        console,
        f"Exact passes: {found['passes']:,} of the {full:,} of a full map ({found['share']:.1%}), and one gradient "
        f"pass for each of the {found['items']} items.",
    )


def _layers(console: Console, found: Mapping[str, Any]) -> None:
    """How well gradients agree with exact effects, over all layers, and where they do not help."""
    ratios = [one["variance_ratio"] for one in found["layers"]]
    r = sorted(one["correlation"] for one in found["layers"])
    middle = sorted(ratios)[len(ratios) // 2]
    said(
        console,
        f"Gradients and exact effects: r from {r[0]:.2f} to {r[-1]:.2f} by layer, median {r[len(r) // 2]:.2f}; the "
        f"correction leaves {middle:.0%} of the variance (median layer).",
    )
    useless = [f"layer {one['layer']}" for one in found["layers"] if one["variance_ratio"] >= GAIN]
    if useless:
        said(console, f"Gradients do not help in {_named(useless)}: their intervals are those of the exact effects.")


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
