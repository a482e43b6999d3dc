"""Commands about all runs: runs, tag and ledger."""

# ruff: noqa: PLC0415  (commands import what they need)

from pathlib import Path
from typing import Annotated

import typer

from lesion.cli.app import Home, Json, app, say
from lesion.errors import Tampered


@app.command()
def runs(
    study: Annotated[str, typer.Option(help="Only this study (* matches anything).")] = "",
    status: Annotated[
        list[str] | None,
        typer.Option(
            help="exploratory, confirmatory, dry-run, replay, stopped, complete or superseded. Can be repeated."
        ),
    ] = None,
    command: Annotated[
        str, typer.Option(help="Only this command: run, replay, train, heads, … (* matches anything).")
    ] = "",
    tag: Annotated[list[str] | None, typer.Option(help="Only runs with this tag. Can be repeated.")] = None,
    since: Annotated[str, typer.Option(help="Only runs from this day on (2026-11-22).")] = "",
    until: Annotated[str, typer.Option(help="Only runs up to this day.")] = "",
    replayed: Annotated[bool, typer.Option("--replayed", help="Only runs that were replayed.")] = False,
    last: Annotated[int, typer.Option(min=0, help="Number of newest runs listed; 0 lists all.")] = 0,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Rebuild the ledger from the run folders first.")] = False,
    home: Home = Path(),
    as_json: Json = False,
) -> int:
    """List runs and other recorded commands with their status."""
    from lesion.report.terminal.records import runs_words
    from lesion.runs.index.ledger import entries
    from lesion.runs.index.ledger import rebuild as renew
    from lesion.runs.index.selection import Wanted, select, unfinished

    bad = renew(home) if rebuild or not (home / "ledger.sqlite").exists() else []
    wanted = Wanted(study, status or (), tag or (), since, until, replayed, last, command)
    listed, begun = select(entries(home), wanted), [] if wanted != Wanted(last=last) else unfinished(home)
    found = [{**entry._asdict(), "standings": entry.standings} for entry in listed]
    document = {"runs": found, "unreadable": bad, "unfinished": begun}
    say(document, as_json, "" if as_json else runs_words(listed, bad, begun))
    return 0


@app.command()
def tag(
    run: Annotated[str, typer.Argument(help="Run name, or its beginning.")],
    tags: Annotated[list[str] | None, typer.Argument(help="Tags to add.")] = None,
    remove: Annotated[list[str] | None, typer.Option(help="Tag to remove. Can be repeated.")] = None,
    superseded_by: Annotated[
        str | None, typer.Option(help="Run that supersedes this one; empty removes the mark.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Reason why it is superseded.")] = "",
    home: Home = Path(),
    as_json: Json = False,
) -> int:
    """Tag a run, or mark it as superseded. The run folder stays sealed."""
    from lesion.runs.folder.find import find_run, folder_of
    from lesion.runs.index.ledger import check_seal, enter, own_manifest
    from lesion.runs.index.tags import mark

    path = home / "runs" / folder_of(find_run(home, run)).name
    manifest = own_manifest(path)
    check_seal(home, manifest)
    other = superseded_by and folder_of(find_run(home, superseded_by)).name
    marks = mark(home, manifest.run, tags or (), remove or (), other, reason)
    enter(home, manifest)
    words = f"{marks.run}: {' '.join(marks.tags) or 'no tags'}"
    said = f"; superseded by {marks.superseded_by}: {marks.reason}" if marks.superseded_by else ""
    say(marks.model_dump(mode="json"), as_json, words + said)
    return 0


@app.command()
def ledger(
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Rebuild the ledger from the run folders.")] = False,
    home: Home = Path(),
    as_json: Json = False,
) -> int:
    """Check the ledger against the run folders, or rebuild it."""
    from lesion.runs.index.ledger import entries, untrusted
    from lesion.runs.index.ledger import rebuild as renew

    bad = renew(home) if rebuild else untrusted(home)
    listed = entries(home)
    gone = [entry.run for entry in listed if not (home / "runs" / entry.run / "manifest.json").exists()]
    document = {"runs": len(listed), "rebuilt": rebuild, "untrusted": bad, "folders_gone": gone}
    lines = [f"{len(listed):,} runs in the ledger" + (", made anew from the folders" if rebuild else "")]
    lines += [f"{name}: its manifest cannot be trusted; see lesion verify" for name in bad]
    lines += [f"{name}: its folder is gone" for name in gone]
    say(document, as_json, "\n".join(lines))
    return Tampered.exit_code if bad or gone else 0
