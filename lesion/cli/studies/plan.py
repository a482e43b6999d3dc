"""Commands about what runs take: plan and budget."""

# ruff: noqa: PLC0415  (commands import what they need)

from pathlib import Path

from lesion.cli.app import WORKERS, Home, Json, StudyFile, Workers, app, out, say


@app.command()
def plan(study: StudyFile, home: Home = Path(), workers: Workers = WORKERS, as_json: Json = False) -> int:
    """Forecast a study's items, disk space and minutes by stage, and what it can show."""
    from lesion.report.terminal.costs import print_outlook
    from lesion.runs.execute.costs import outlook
    from lesion.runs.execute.coverage import references_ahead
    from lesion.runs.execute.prepare import prepare_plan
    from lesion.study.forecast.feasibility import foreseen
    from lesion.study.format.load import runnable_study

    prepared = prepare_plan(runnable_study(study), "any")
    document = {**outlook(prepared, home, workers), "foreseen": foreseen(prepared) + references_ahead(prepared.study)}
    if as_json:
        say(document, as_json, "")
    else:
        print_outlook(out(), document)
    return 0


@app.command()
def budget(home: Home = Path(), as_json: Json = False) -> int:
    """Sum up what all runs in the ledger took."""
    from lesion.report.terminal.costs import print_sums
    from lesion.runs.index.ledger import sums

    found = sums(home)
    if as_json:
        say({"spent": found}, as_json, "")
    else:
        print_sums(out(), found)
    return 0
