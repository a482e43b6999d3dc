"""Commands about the rule and its numbers: calibrate, power and stats."""

# ruff: noqa: PLC0415  (commands import what they need)

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from lesion.cli.app import SCREEN, Json, RunPath, StudyFile, app, say, tell
from lesion.cli.common.recorded import recorded, wrote
from lesion.errors import LesionError, NotReproduced


@app.command()
@recorded("calibrate", outputs=("picture",))
def calibrate(
    quick: Annotated[bool, typer.Option("--quick", help="Use a smaller grid (at most a minute).")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the simulation.")] = 0,
    study: Annotated[
        Path | None, typer.Option(help="Use the rule of this study file instead of the default rule.")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="Permute the labels of this run's rows.", show_default=False)] = None,
    picture: Annotated[Path | None, typer.Option(help="Also draw a picture (.svg or .png).")] = None,
    as_json: Json = False,
) -> int:
    """Simulate studies to check the decision rule's error rates, coverage and power."""
    from lesion import __version__
    from lesion.identity import generator
    from lesion.report.terminal.run import print_calibration
    from lesion.runs.check.recompute_stats import decided_rows
    from lesion.stats.calibration.calibrate import calibrate as simulate
    from lesion.study.format.load import load_study
    from lesion.study.stages.confirmatory_cells import rule_of

    def progress(text: str) -> None:
        if not as_json:
            SCREEN.print(text, markup=False)

    rule = rule_of(load_study(study)) if study is not None else None
    rows = decided_rows(run) if run is not None else None
    found = simulate(
        generator("calibrate", seed), rule, quick=quick, rows=rows, progress=progress,
        dissociations=generator("calibrate dissociations", seed),
    )  # fmt: skip
    if picture is not None:
        from lesion.report.figures.calibration import calibration_chart

        calibration_chart(found.document()).save(str(picture))
        wrote(picture)

    def shown(console: Console, _: dict[str, Any]) -> None:
        print_calibration(console, found)

    tell({"version": __version__, "seed": seed, "quick": quick, **found.document()}, as_json, shown)
    return 0 if found.holds else LesionError.exit_code


@app.command()
@recorded("power")
def power(study: StudyFile, as_json: Json = False) -> int:
    """Show how many items per seed a study needs."""
    from lesion.report.terminal.run import print_power
    from lesion.runs.execute.prepare import prepare_plan
    from lesion.study.format.load import runnable_study
    from lesion.study.stages.confirmatory_cells import family_size, power_table

    given = runnable_study(study)
    plan = prepare_plan(given, "any")
    rows = power_table(plan)
    document: dict[str, Any] = {"family_size": family_size(given), "cells": rows}
    tell(document, as_json, print_power)
    return 0


@app.command()
@recorded("stats")
def stats(run_folder: RunPath, as_json: Json = False) -> int:
    """Recompute all gates, verdicts and statistics of a run from its rows."""
    from lesion.runs.check.recompute_stats import recount, table

    found = recount(run_folder)
    document = {**found.document, "file": str(found.path)}
    say(document, as_json, f"{table(found.document)}\n{found.path}")
    return 0 if found.document["agrees"] else NotReproduced.exit_code
