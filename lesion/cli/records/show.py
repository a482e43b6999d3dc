"""Commands that look at finished runs: show and diff."""

# ruff: noqa: PLC0415  (commands import what they need)

from pathlib import Path
from typing import Annotated

import typer

from lesion.cli.app import Home, Json, app, say
from lesion.cli.common import completion

RunName = Annotated[
    str,
    typer.Argument(
        help="Run folder, manifest.json, or the beginning of a run's name.", autocompletion=completion.run_names
    ),
]


@app.command()
def show(run: RunName, home: Home = Path(), as_json: Json = False) -> int:
    """Summarise a run: question, verdicts, environment, cost."""
    from lesion.report.terminal.records import call_shown, call_words, show_words, shown
    from lesion.runs.check.status import claim, counted, unrepeated
    from lesion.runs.folder.find import find_run, folder_of
    from lesion.runs.index.ledger import check_seal, known, own_manifest
    from lesion.runs.manifest.base import REPRODUCED
    from lesion.runs.manifest.command import Call

    path = find_run(home, run)
    manifest = own_manifest(path)
    check_seal(home, manifest)
    if isinstance(manifest, Call):
        told = call_shown(manifest, folder_of(path))
        say(told, as_json, call_words(told))
        return 0
    standing = counted(folder_of(path), manifest)
    document = {**shown(manifest, folder_of(path)), "status": standing.status, "claimed": list(standing.claimed)}
    if manifest.match in REPRODUCED:
        seals = {entry.seal: entry.run for entry in known(home)}
        if why := unrepeated(home, manifest.run, seals):
            document |= {"match": None, "claimed": [*document["claimed"], claim(f"a {manifest.match} replay", why)]}
    say(document, as_json, show_words(document))
    return 0


@app.command()
def diff(first: RunName, second: RunName, home: Home = Path(), as_json: Json = False) -> int:
    """Compare two runs: parameters, environment, rows, verdicts. Exit code 4 if they differ."""
    from lesion.errors import NotReproduced
    from lesion.report.terminal.records import diff_words
    from lesion.runs.check.compare import compare_calls, compare_runs
    from lesion.runs.folder.find import find_run
    from lesion.runs.manifest.base import kind_of, raw_manifest

    paths = find_run(home, first), find_run(home, second)
    calls = {kind_of(raw_manifest(path)) for path in paths} == {"call"}
    found = compare_calls(*paths) if calls else compare_runs(*paths)
    document = found.model_dump(mode="json")
    say(document, as_json, diff_words(document))
    return NotReproduced.exit_code if found.grade == "different" else 0


@app.command()
def query(
    sql: Annotated[
        str, typer.Argument(help="SELECT … FROM items, prompts, receipts or runs. Every table has the column run.")
    ],
    most: Annotated[int, typer.Option(min=1, help="Number of rows shown; --json and --csv give all.")] = 50,
    csv: Annotated[Path | None, typer.Option(help="Also write the result to this CSV file.")] = None,
    home: Home = Path(),
    as_json: Json = False,
) -> int:
    """Query the rows of all runs with SQL."""
    from pydantic_core import to_json

    from lesion.report.terminal.records import table_words
    from lesion.runs.folder.atomic_io import write_text
    from lesion.runs.index.query import query as ask

    found = ask(home, sql)
    if csv is not None:
        write_text(csv, found.write_csv())
    if as_json:
        document = {"columns": found.columns, "height": found.height, "rows": found.to_dicts()}
        print(to_json(document, inf_nan_mode="null", fallback=str).decode())
    else:
        print(table_words(found.columns, found.head(most).rows(), found.height))
    return 0
