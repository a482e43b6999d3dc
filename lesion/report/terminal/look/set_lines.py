"""Lines that the tables of kept sets share, of nodes and of edges."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from lesion.report.terminal.look.diagnostics import said


def span_of(numbers: Mapping[str, Any]) -> str:
    """An interval in a table; `none` where there is none."""
    return "none" if numbers["low"] is None else f"{numbers['low']:+.3f} … {numbers['high']:+.3f}"


def ends_of(numbers: Mapping[str, Any]) -> str:
    """An interval in a sentence, or why there is none."""
    if numbers["low"] is None:
        return "no interval: the way may be 0"
    return f"95 % interval {numbers['low']:.3f} to {numbers['high']:.3f}"


def said_left_out(console: Console, result: Mapping[str, Any]) -> None:
    """Which items were not asked, which tokens all prompts share, and which items have no aligned corrupted prompt."""
    lost = ", ".join(f"{reason} {count}" for reason, count in result["refused"].items())
    if lost:
        said(console, f"Not asked: {lost}")
    said_shared(console, result)
    if result["without_twin"]:
        said(console, f"Left out: {result['without_twin']} items whose corrupted prompt does not align")


def said_shared(console: Console, result: Mapping[str, Any]) -> None:
    """How many tokens at the beginning are the same in all prompts, so that nothing is replaced there."""
    if result["shared"]:
        said(console, f"The first {result['shared']} tokens are the same in all prompts: nothing is replaced there.")
