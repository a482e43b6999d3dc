"""What the terminal shows of costs: the forecast of a study, and the sums over all runs."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

PROGRAMS = 0.7
"""What a worker with a tiny model holds: Python, torch and transformers (GiB; the peak of a finished run's workers)."""

MANY = 100_000
"""Items per seed from which on a plan warns."""
FEWER = (
    "Discovery may find that fewer do. Else widen verdict.margin or verdict.effect, or judge a continuous outcome "
    "(claims.outcome)."
)


def print_outlook(console: Console, document: Mapping[str, Any]) -> None:
    """Stages, pools, budget and assumptions of a forecast."""
    table = _table("stage", "cells", "items", "rows", "GFLOP", "MB", "minutes")
    for row in (*document["stages"], document["total"]):
        table.add_row(
            row["stage"], f"{row['cells']:,}", f"{row['items']:,}", f"{row['rows']:,}", f"{row['flop'] / 1e9:,.0f}",
            f"{row['bytes'] / 1e6:.1f}", f"{row['minutes']:.2f}",
        )  # fmt: skip
    console.print(table)
    table = _table("workers", "minutes", "worker hours", "busy")
    for row in document["scaling"]:
        table.add_row(
            f"{row['workers']:,}", f"{row['minutes']:.2f}", f"{row['worker_hours']:.3f}", f"{100 * row['busy']:.0f} %"
        )
    console.print(table)
    console.print(
        "Predicted, without the second look; twice the workers of the last line save less than a tenth more.",
        soft_wrap=not console.is_terminal,
    )
    for tier, pool in document["pools"].items():
        enough = "enough" if pool["enough"] else "NOT ENOUGH"
        held = f"{pool['holds']:,}" if pool["holds"] < 10**9 else "over 10^9"
        console.print(f"{tier}: {pool['needs']:,} items per seed for all looks, a seed holds {held}: {enough}")
        if pool["needs"] > MANY:
            console.print(f"{tier}: that is very many. {FEWER}", style="yellow")
    for text in document["foreseen"]:
        console.print(text, markup=False, soft_wrap=not console.is_terminal)
    for name, model in document["models"].items():
        console.print(_memory(name, model["weight_bytes"]), markup=False, soft_wrap=not console.is_terminal)
    for name, line in document["budget"].items():
        fits = "fits" if line["fits"] else "DOES NOT FIT"
        console.print(f"{name}: {line['expected']:.3f} expected of {line['limit']:g}: {fits}")
    for text in document["assumptions"]:
        console.print(f"- {text}", markup=False, soft_wrap=not console.is_terminal)


def _memory(model: str, weight_bytes: int) -> str:
    """What a worker holds before its first pass."""
    held = weight_bytes / 2**30
    return (
        f"{model}: each worker holds about {PROGRAMS + held:.1f} GiB ({held:.2f} of weights in float32), and the"
        " activations of a pass."
    )


def print_sums(console: Console, found: Mapping[str, Mapping[str, float]]) -> None:
    """Hours by kind of run."""
    table = _table("runs", "number", "CPU hours", "GPU hours", "wall hours")
    for kind in sorted(found, key=lambda each: each == "all"):
        line = found[kind]
        hours = (f"{line[name]:.3f}" for name in ("cpu_hours", "gpu_hours", "wall_hours"))
        table.add_row(kind, f"{line['runs']:,.0f}", *hours)
    console.print(table if found else "No runs yet.")


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table
