"""Commands about what was done: verify, runs, note and schema."""

# ruff: noqa: PLC0415  (commands import what they need)

import json
from pathlib import Path
from typing import Annotated

import typer

from lesion.cli.app import Home, Json, RunPath, app, out, say
from lesion.errors import InputError, Tampered, nearest


@app.command()
def verify(
    run_folder: RunPath,
    home: Home = Path(),
    as_json: Json = False,
) -> int:
    """Name every file of a run or a training that differs, is missing or was added since it was sealed."""
    from lesion.runs.ledger import check_seal
    from lesion.runs.manifest import read_manifest
    from lesion.runs.trainings import is_training
    from lesion.runs.verify import verify as check

    findings = check(run_folder)
    if not findings and not is_training(run_folder):
        check_seal(home, read_manifest(run_folder))
    document = {"run": str(run_folder), "intact": not findings, "findings": [f._asdict() for f in findings]}
    say(document, as_json, "\n".join(f"{f.what} {f.fault}" for f in findings) or f"{run_folder}: intact")
    return Tampered.exit_code if findings else 0


@app.command()
def runs(
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make the ledger anew from the run folders.")] = False,
    home: Home = Path(),
    as_json: Json = False,
) -> int:
    """List all runs, and which of them were replayed."""
    from lesion.report.terminal import print_runs
    from lesion.runs.ledger import entries
    from lesion.runs.ledger import rebuild as renew

    bad = renew(home) if rebuild or not (home / "ledger.sqlite").exists() else []
    listed = entries(home)
    if as_json:
        print(json.dumps({"runs": [entry._asdict() for entry in listed], "unreadable": bad}))
    else:
        print_runs(out(), listed, bad)
    return 0


@app.command()
def note(
    text: Annotated[str, typer.Argument(help="What you noticed, Markdown.")],
    topic: Annotated[str, typer.Option(help="A few words; the file is named after them.")] = "",
    kind: Annotated[str, typer.Option(help="rationale, anomaly or follow-up.")] = "rationale",
    run_name: Annotated[str | None, typer.Option("--run", help="Name of the run folder that it is about.")] = None,
    home: Home = Path(),
    as_json: Json = False,
) -> int:
    """Write a timestamped note under notes/."""
    from lesion.runs.clock import now
    from lesion.runs.notes import NOTE_KINDS, write_note

    if kind not in NOTE_KINDS:
        raise InputError(f"--kind '{kind}': {nearest(kind, NOTE_KINDS)}")
    path = write_note(home, now(), kind, topic or text, text, run_name)
    say({"note": str(path)}, as_json, str(path))
    return 0


@app.command()
def schema(
    kind: Annotated[str, typer.Argument(help="study, recipe, manifest or training.")] = "study",
    as_json: Json = False,
) -> int:
    """Print the JSON Schema of a document: on one line with --json, else to be read."""
    from lesion.runs.schemas import SCHEMAS
    from lesion.study.schema import json_schema

    print(json.dumps(json_schema(kind, SCHEMAS), indent=None if as_json else 2, ensure_ascii=False))
    return 0
