"""The list of tasks for the terminal, 80 columns."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from lesion.report.terminal.look.diagnostics import said, table


def print_tasks(console: Console, document: Mapping[str, Any]) -> None:
    """Every kind of task with its tier, what it asks and what can be set."""
    shown = table("task", "tier", "what it asks, and its settings")
    for entry in document["tasks"]:
        shown.add_row(entry["name"], entry["tier"], entry["about"])
        shown.add_row("", "", f"[{', '.join(entry['settings'])}]", style="dim")
    console.print(shown, markup=False)
    said(console, "A card with examples: lesion tasks show arithmetic high=999 format=equation")
