"""The command that measures speed: bench."""

# ruff: noqa: PLC0415  (commands import what they need)

import platform
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from lesion.cli.app import Json, app, tell
from lesion.cli.common import completion
from lesion.cli.common.recorded import recorded

Work = Annotated[
    Literal["W1", "W2", "W3", "R1"],
    typer.Option(
        help="Workload. W1: heads of a GPT-2-small shape; W2: heads of a small model; W3: neurons of W1's model; R1:"
        " heads of a model of about a billion parameters, on 64 prompts."
    ),
]


@app.command()
@recorded("bench")
def bench(
    family: Annotated[
        str, typer.Option(help="Architecture, with random weights.", autocompletion=completion.families)
    ] = "gpt2",
    work: Work = "W1",
    positions: Annotated[Literal["all", "last"], typer.Option(help="Positions of the interventions.")] = "all",
    shared: Annotated[int | None, typer.Option(min=0, max=55, help="Number of shared prompt tokens, of 56.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer interventions and one repeat.")] = False,
    repeats: Annotated[int, typer.Option(min=1, max=99, help="Number of repeats.")] = 3,
    growth: Annotated[
        bool, typer.Option("--growth", help="Measure instead how time and memory grow with the work.")
    ] = False,
    tune: Annotated[
        bool, typer.Option("--tune", help="Check instead whether the kernel rule suits this processor.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Time the batched engine against a plain loop and an optimised loop, and compare results."""
    if tune:
        from lesion.engine.bench.growth import tune as measure_kernels

        return _tell(measure_kernels(work).model_dump(mode="json"), as_json)
    if growth:
        from lesion.engine.bench.growth import growth as measure_growth

        share = {"W1": 36, "W2": 4 if quick else 1, "W3": 16, "R1": 128}[work]
        return _tell(
            measure_growth(family, work, share=share, repeats=1 if quick else repeats).model_dump(mode="json"), as_json
        )
    from lesion.engine.bench.bench import bench as measure

    share = {"W1": 12, "W2": 2, "W3": 8, "R1": 64}[work] if quick else 1
    timing = measure(
        family,
        work,
        positions=positions,
        shared=shared,
        share=share,
        loops=3 if quick else 6,
        repeats=1 if quick else repeats,
    )
    return _tell(timing.model_dump(mode="json"), as_json)


def _tell(document: dict[str, Any], as_json: bool) -> int:
    """The document with the machine's facts, as JSON or as a table of names and values."""
    from lesion.runs.manifest.environment import processor

    document |= {"processor": processor(), "system": f"{platform.system()} {platform.machine()}"}
    tell(document, as_json, _print)
    return 0


def _print(console: Console, document: dict[str, Any]) -> None:
    table = Table(show_header=False)
    for name, value in document.items():
        table.add_row(name, f"{value:.4g}" if isinstance(value, float) else str(value))
    console.print(table)
