"""Which runs a paper rests on, by rule and not by what they found.

Of a study: the newest sealed run of each registration that is confirmatory and not superseded. Where there is none, the
newest exploratory run that is not superseded. Named runs are taken as they are named. Replays and dry runs never count.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lesion.errors import InputError, LesionError, Tampered, nearest
from lesion.outside.tables import read_table
from lesion.report.findings import findings_of
from lesion.report.paper.claims.claim import Source
from lesion.report.record import Record, read_record
from lesion.runs.check.certificate import is_certified
from lesion.runs.check.consistency import contradictions
from lesion.runs.folder.find import find_run, folder_of
from lesion.runs.folder.published import ROWS, UNITS, PublishedRun, is_published, open_rows, published_faults
from lesion.runs.folder.run_folder import RunFolder
from lesion.runs.index.ledger import Entry, check_seal, known
from lesion.runs.manifest.run import read_manifest
from lesion.study.format.load import load_study
from lesion.study.registration.registration import changes
from lesion.study.rows import PROMPTS, empty
from lesion.study.study import Study


class Cast(NamedTuple):
    """The runs, and how they were picked."""

    sources: dict[str, Source]
    """Run -> what claims read, the oldest first."""
    studies: tuple[str, ...]
    """Names of the studies."""
    standings: dict[str, str]
    """Run -> `used`, or why it was passed over."""
    rule: str
    """How they were picked, without numbers."""
    drifted: tuple[str, ...] = ()
    """How the study file that was given differs from what was run."""


def cast(home: Path, given: Sequence[str]) -> Cast:
    """The runs that are meant: a study file, the name of a study, or runs.

    Raises:
        InputError: when there are none, or a dry run or a replay was named.
        Tampered: when a run is not what was sealed.
    """
    entries = known(home)
    names = sorted({entry.study for entry in entries})
    if len(given) == 1:
        file = Path(given[0])
        if file.suffix in (".yaml", ".yml") and file.is_file():
            study = load_study(file)
            picked = _of_study(home, entries, study.name)
            return picked._replace(drifted=_drifted(study, picked))
        if given[0] in names:
            return _of_study(home, entries, given[0])
    return _named(home, entries, given, names)


def _of_study(home: Path, entries: Sequence[Entry], name: str) -> Cast:
    runs = [e for e in entries if e.study == name and e.command == "run" and e.status != "dry-run"]
    standings = {entry.run: _aside(entry) for entry in entries if entry.study == name}
    there = [entry for entry in runs if (home / "runs" / entry.run / "manifest.json").exists()]
    fit = [entry for entry in there if entry.superseded_by is None]
    confirmatory = [entry for entry in fit if entry.status == "confirmatory"]
    if not fit:
        raise InputError(f"study {name}: no finished run to write about in {home / 'runs'}; lesion run makes one")
    if confirmatory:
        picked = list({entry.key: entry for entry in confirmatory}.values())
        rule = "the newest sealed run of each registration that is confirmatory and not superseded"
    else:
        picked = [fit[-1]]
        rule = "there is no confirmatory run, so the newest exploratory run that is not superseded"
    for entry in fit:
        standings[entry.run] = "used" if entry in picked else "passed over: not the newest of its kind"
    return Cast(_sources(home, picked), (name,), standings, rule)


def _aside(entry: Entry) -> str:
    if entry.command != "run":
        return f"passed over: a {entry.command}, not a first run"
    return "passed over: a dry run" if entry.status == "dry-run" else "passed over"


def _named(home: Path, entries: Sequence[Entry], given: Sequence[str], names: Sequence[str]) -> Cast:
    by_name = {entry.run: entry for entry in entries}
    picked: list[Entry] = []
    for each in given:
        try:
            run = folder_of(find_run(home, each)).resolve().name
        except LesionError as error:
            raise InputError(
                f"'{each[:100]}' is no study of this home ({nearest(each, names)}); and {error}"
            ) from error
        if run not in by_name:
            raise InputError(f"{each}: not a run of {home / 'runs'}; say where with --home")
        if by_name[run].command != "run" or by_name[run].status == "dry-run":
            raise InputError(f"{run}: a {_aside(by_name[run]).partition(': a ')[2]}; no paper is written of it")
        picked.append(by_name[run])
    studies = tuple(sorted({entry.study for entry in picked}))
    standings = {e.run: _aside(e) if e.command != "run" else "passed over: not named" for e in entries}
    standings |= {entry.run: "used" for entry in picked}
    ordered = sorted(dict.fromkeys(picked), key=lambda entry: (entry.started, entry.run))
    return Cast(_sources(home, ordered), studies, standings, "the runs that were named on the command line")


def _drifted(study: Study, picked: Cast) -> tuple[str, ...]:
    newest = list(picked.sources.values())[-1].record.manifest.study
    return tuple(changes(newest, study))


def _sources(home: Path, entries: Sequence[Entry]) -> dict[str, Source]:
    return {entry.run: read_source(home, entry.run, provisional=not entry.complete) for entry in entries}


def read_published(folder: Path) -> Source:
    """A published run: its slim rows in the place of the item table, and its slim questions, where it keeps any.

    Raises:
        Tampered: naming the first file or cell that differs.
    """
    manifest = read_manifest(folder)
    for what, fault in published_faults(folder, manifest):
        raise Tampered(f"{folder.name}: {what} {fault}; see lesion verify")
    repeated = is_certified(folder.with_name(f"{folder.name}.certificate.json"), manifest)
    if (folder / UNITS).is_file():
        run = PublishedRun(folder)
        rows, questions = run.items(), run.prompts()
    else:
        rows, questions = read_table(folder / ROWS), empty(PROMPTS)
    record = Record(manifest, rows, questions, (), findings_of(manifest))
    return Source.of(record, provisional=not repeated)


def read_source(home: Path, run: str, *, provisional: bool) -> Source:
    """A run whose folder is what was sealed, or what was published of it.

    Raises:
        InputError: when it was published before publications kept units.
        Tampered: naming the first file or part that differs.
    """
    folder = home / "runs" / run
    manifest = read_manifest(folder)
    check_seal(home, manifest)
    if is_published(folder):
        open_rows(folder)  # refuses older publications, which lack what a paper tells
        return read_published(folder)
    present = dict(RunFolder(folder).files())
    if changed := sorted(name for name, _ in present.items() ^ manifest.files.items()):
        raise Tampered(f"{run}: {changed[0]} is not what was sealed; see lesion verify")
    for part, fault in contradictions(folder, manifest):
        raise Tampered(f"{run}: {part} {fault}; see lesion verify")
    return Source.of(read_record(folder, manifest), provisional=provisional)
