"""What other people's evaluations found, for the terminal, 80 columns."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from rich.console import Console

from lesion.report.terminal.look.diagnostics import said, table


class Number(NamedTuple):
    """One number of a task."""

    task: str
    metric: str
    value: float
    error: float | None


def print_harness(console: Console, document: Mapping[str, Any]) -> None:
    """One row per task and metric, and the receipt."""
    shown = table("task", "metric", "value", "standard error")
    for task, metric, value, error in numbers(document["found"]["results"]):
        shown.add_row(task, metric, f"{value:.4f}", "" if error is None else f"{error:.4f}")
    console.print(shown, markup=False)
    for line in document["conventions"]["words"]:
        said(console, line)
    receipt = document["receipt"]
    if receipt is None:
        said(console, f"lm-eval {document['version']}, {document['model']} as it is")
        return
    acted = f"{receipt['firings']} firings in {receipt['forwards']} forward passes, {receipt['elements']} elements"
    said(console, f"lm-eval {document['version']}, {document['model']} under {document['intervention']}: {acted}")


def numbers(results: Mapping[str, Mapping[str, Any]]) -> Iterator[Number]:
    """The harness's numbers: `acc,none` beside `acc_stderr,none` becomes one row; a filter other than none is named."""
    for task, found in results.items():
        for key, value in found.items():
            metric, _, kept = key.partition(",")
            if kept and not metric.endswith("_stderr") and isinstance(value, int | float):
                error = found.get(f"{metric}_stderr,{kept}")
                name = metric if kept == "none" else f"{metric} ({kept})"
                yield Number(task, name, value, error if isinstance(error, int | float) else None)
