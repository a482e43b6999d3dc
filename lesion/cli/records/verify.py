"""Commands about what was done: verify, export, note, notes and schema."""

# ruff: noqa: PLC0415  (commands import what they need)

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lesion.cli.app import Home, Json, RunPath, app, say, verbose
from lesion.errors import InputError, Tampered, nearest

if TYPE_CHECKING:
    from lesion.runs.check.verify import Finding


@app.command()
def verify(
    run_folder: RunPath,
    proof: Annotated[
        Path | None, typer.Option(help="Outside witness of the registration: a .tsr time-stamp or a text file.")
    ] = None,
    authority: Annotated[
        Path | None, typer.Option(help="Root certificate (PEM) of the time-stamping authority.")
    ] = None,
    home: Home = Path(),
    as_json: Json = False,
) -> int:
    """Check that a run or training is as it was sealed, and name what was changed."""
    from lesion.runs.index.registrations import is_registration, registered_by
    from lesion.runs.manifest.base import raw_manifest

    if not is_registration(run_folder):
        raw_manifest(run_folder)  # garbage is refused before torch is imported

    from lesion.runs.check.recomputed import unchecked, unrendered
    from lesion.runs.check.status import counted
    from lesion.runs.check.verify import verify as check
    from lesion.runs.folder.find import folder_of
    from lesion.runs.index.ledger import check_seal
    from lesion.runs.index.timestamp import check_proof
    from lesion.runs.manifest.any import read_record
    from lesion.runs.manifest.run import Manifest
    from lesion.runs.manifest.training import TrainingManifest

    findings = [] if is_registration(run_folder) else check(run_folder)
    if not findings and not is_registration(run_folder):
        findings = _report_faults(folder_of(run_folder))
    if not findings and not is_registration(run_folder):
        record = read_record(run_folder)
        if not isinstance(record, TrainingManifest):
            check_seal(home, record)
    document: dict[str, Any] = {"run": str(run_folder), "intact": not findings}
    document["findings"] = [f._asdict() for f in findings]
    details: list[str] = []
    words = f"{run_folder}: intact, nothing was changed since it was sealed."
    if findings:
        words = "\n".join([f"{run_folder}: NOT intact", *(f"  {f.what} {f.fault}" for f in findings)])
    if not findings and not is_registration(run_folder) and isinstance(record := read_record(run_folder), Manifest):
        folder = folder_of(run_folder)
        standing = counted(folder, record)
        claimed, rest = standing.claimed, [*unchecked(folder, record), *unrendered(folder, record)]
        document |= {"status": standing.status, "unchecked": [*claimed, *rest]}
        words += "".join([f" Status: {standing.status}.", *(f"\n{text}" for text in claimed)])
        details = [f"not checkable here: {text}" for text in rest]
    if not findings and (registration := registered_by(run_folder)) is not None:
        seen = check_proof(registration, proof, authority) if proof else None
        document["priority"] = seen._asdict() if seen else None
        priority = (
            seen.words if seen else "no outside witness was given, so nothing shows that it is older than the data"
        )
        words += f"\nintegrity: the registration is unchanged\npriority: {priority}"
    elif proof is not None:
        raise InputError(f"{run_folder} has no registration that is intact, so --proof shows nothing of it")
    if details and verbose():
        words = "\n".join([words, *details])
    elif details:
        words += (
            f"\n{len(details)} kinds of facts are told once and cannot be checked here: lesion -v verify lists them."
        )
    say(document, as_json, words)
    return Tampered.exit_code if findings else 0


def _report_faults(folder: Path) -> "list[Finding]":
    """Files of a report that its rows do not give, where that can be told."""
    from lesion.runs.check.recomputed import unrendered
    from lesion.runs.manifest.any import read_record
    from lesion.runs.manifest.run import Manifest

    record = read_record(folder)
    if not isinstance(record, Manifest) or unrendered(folder, record):
        return []
    from lesion.report.page.rendered_again import rendered
    from lesion.runs.check.verify import Finding

    return [Finding(*found) for found in rendered(folder, record)]


@app.command()
def export(
    run_folder: RunPath,
    ro_crate: Annotated[
        bool, typer.Option("--ro-crate", help="Write a Process Run Crate (RO-Crate), for Zenodo or OSF.")
    ] = False,
    to: Annotated[Path | None, typer.Option(help="Output zip file. Default: next to the run folder.")] = None,
    license_url: Annotated[str, typer.Option(help="Licence URL.")] = "",
    as_json: Json = False,
) -> int:
    """Pack a verified run into one zip file for an archive (needs the extra 'archive')."""
    from lesion.runs.manifest.base import raw_manifest

    raw_manifest(run_folder)  # garbage is refused before the heavy imports

    from lesion.runs.folder.archive import export_crate
    from lesion.runs.folder.find import folder_of

    if not ro_crate:
        raise InputError("say as what it is exported; there is one kind: --ro-crate")
    folder = folder_of(run_folder)
    made = export_crate(folder, to or folder.with_name(f"{folder.resolve().name}.crate.zip"), license_url)
    words = f"{made.path}: {made.files} files, SHA-256 {made.sha256}"
    say({"crate": str(made.path), "files": made.files, "sha256": made.sha256}, as_json, words)
    return 0


@app.command()
def publish(
    run_folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders to publish.")],
    to: Annotated[Path, typer.Option(help="Output folder. One small table replaces the full per-item tables.")],
    as_json: Json = False,
) -> int:
    """Copy verified runs into a folder that you can commit."""
    from lesion.runs.check.verify import verify as faults_of
    from lesion.runs.folder.find import folder_of
    from lesion.runs.folder.published import publish as publish_run

    folders = [folder_of(run) for run in run_folders]
    for folder in folders:
        if faults := faults_of(folder):
            raise Tampered(f"{folder.name}: not published, for {faults[0].what} {faults[0].fault}; see lesion verify")
    made = [str(publish_run(folder, to)) for folder in folders]
    say({"published": made}, as_json, "\n".join(made))
    return 0


@app.command()
def note(
    text: Annotated[str, typer.Argument(help="Text of the note (Markdown).")],
    topic: Annotated[str, typer.Option(help="Topic; it becomes part of the file name.")] = "",
    kind: Annotated[str, typer.Option(help="Kind: rationale, anomaly or follow-up.")] = "rationale",
    run_name: Annotated[str | None, typer.Option("--run", help="Run that the note is about.")] = None,
    home: Home = Path(),
    as_json: Json = False,
) -> int:
    """Write a timestamped note."""
    from lesion.runs.folder.clock import now
    from lesion.runs.index.notes import NOTE_KINDS, write_note

    if kind not in NOTE_KINDS:
        raise InputError(f"--kind '{kind}': {nearest(kind, NOTE_KINDS)}")
    path = write_note(home, now(), kind, topic or text, text, run_name)
    say({"note": str(path)}, as_json, str(path))
    return 0


@app.command()
def notes(
    kind: Annotated[str, typer.Option(help="Only this kind: rationale, anomaly or follow-up.")] = "",
    run_name: Annotated[str, typer.Option("--run", help="Only notes about this run (name or part of it).")] = "",
    topic: Annotated[str, typer.Option(help="Only notes whose topic contains this.")] = "",
    home: Home = Path(),
    as_json: Json = False,
) -> int:
    """List the notes, oldest first."""
    from lesion.report.terminal.records import notes_words
    from lesion.runs.index.notes import NOTE_KINDS, read_notes

    if kind and kind not in NOTE_KINDS:
        raise InputError(f"--kind '{kind}': {nearest(kind, NOTE_KINDS)}")
    good, bad = read_notes(home)
    listed = [
        note
        for note in good
        if kind in ("", note.kind)
        and topic.lower() in note.topic.lower()
        and (not run_name or any(run_name in run for run in note.runs))
    ]
    document = {"notes": [{**note._asdict(), "path": str(note.path)} for note in listed], "unreadable": bad}
    say(document, as_json, "\n".join([notes_words(listed), *bad]))
    return 0


@app.command()
def schema(
    kind: Annotated[
        str, typer.Argument(help="study, recipe, manifest, training, marks, certificate, heads, intervention.")
    ] = "study",
    as_json: Json = False,
) -> int:
    """Print the JSON Schema of a document."""
    from lesion.runs.manifest.schemas import SCHEMAS
    from lesion.study.format.schema import json_schema

    print(json.dumps(json_schema(kind, SCHEMAS), indent=None if as_json else 2, ensure_ascii=False))
    return 0
