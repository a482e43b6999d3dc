"""Registrations on disk: `registrations/0001_NAME_HASH.json` with a readable page beside each, checked as one chain."""

import fcntl
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from lesion.errors import InputError, Tampered
from lesion.runs.folder.atomic_io import write_text
from lesion.runs.folder.clock import iso, now
from lesion.runs.folder.find import small_text
from lesion.runs.folder.homes import known_homes
from lesion.runs.index.earlier_runs import (
    earlier,
    runs_akin,
    runs_of,
    told_akin,
    told_earlier,
    told_of_name,
    unfinished,
)
from lesion.runs.index.ledger import known, remember, remembered
from lesion.runs.manifest.base import kind_of, raw_manifest
from lesion.runs.manifest.environment import read_code
from lesion.runs.manifest.run import Status, read_manifest
from lesion.study.registration.page import readable
from lesion.study.registration.registration import Registration, changes, check_chain, deviations
from lesion.study.study import Study

LEAST_WORDS = 3
"""Of the sentence that says what was seen elsewhere."""


class Standing(NamedTuple):
    """As what a run of a study counts."""

    status: Status
    key: str
    """Orders the confirmation items."""
    registration: Registration | None
    deviations: tuple[str, ...]
    """What a reader must know: amendments, and why a run is not confirmatory."""


def read_chain(home: Path) -> list[Registration]:
    """Every registration, the oldest first.

    Raises:
        Tampered: when one was changed, lost or slipped in.
    """
    chain = [read_registration(path) for path in sorted((home / "registrations").glob("*.json"))]
    check_chain(chain)
    _check_memory(home, chain)
    return chain


def is_registration(path: Path) -> bool:
    """Whether a path is the file of a registration."""
    return path.is_file() and path.suffix == ".json" and path.parent.name == "registrations"


def registered_by(path: Path) -> Registration | None:
    """The registration in a file of its own, or that of a study's run; nothing where there is none.

    Raises:
        Tampered: when the file does not hold the registration that its name says.
    """
    if is_registration(path):
        return read_registration(path)
    raw = raw_manifest(path)
    return None if kind_of(raw) != "run" else read_manifest(path).registration


def read_registration(path: Path) -> Registration:
    """The registration in a file.

    Raises:
        Tampered: when it was changed.
    """
    try:
        registration = Registration.model_validate_json(small_text(path))
    except (ValidationError, InputError) as error:
        raise Tampered(f"{path}: not a registration any more") from error
    if path.stem != file_name(registration):
        raise Tampered(f"{path}: its content no longer fits its name; it would be {file_name(registration)}")
    return registration


def file_name(registration: Registration) -> str:
    """`NUMBER_STUDY_HASH`, with 12 digits of the hash: a change of the newest registration shows in it, too."""
    return f"{registration.number:04d}_{registration.study.name}_{registration.hash()[:12]}"


def _check_memory(home: Path, chain: list[Registration]) -> None:
    """Hold the chain against what the ledger and the confirmatory runs know of it: its end may be missing."""
    hashes = [registration.hash() for registration in chain]
    for number, digest in remembered(home).items():
        if number > len(hashes) or hashes[number - 1] != digest:
            raise Tampered(f"registration {number} ({digest[:12]}) stands in the ledger, but not in the chain")
    for entry in known(home):
        if entry.told == "confirmatory" and entry.command == "run" and entry.key not in hashes:
            raise Tampered(f"{entry.run} was made under registration {entry.key[:12]}, which is missing from the chain")


def register(
    home: Path, study: Study, text: str, reason: str, *, seen: str, ledgers: Sequence[Path] = ()
) -> tuple[Registration, Path]:
    """Freeze a study; a study of the same name that was registered before is amended, which needs a reason.

    An unchanged study can be registered anew where the code is newer: else a run by that code would be exploratory.

    Args:
        home: the home folder whose chain the registration joins.
        study: what is frozen.
        text: the study file as it was given.
        reason: why a registered study is amended; empty for a first registration.
        seen: what the registrant has seen of these models and tasks elsewhere, in a sentence.
        ledgers: other home folders to search for earlier runs, besides those on the user's list.

    Raises:
        InputError: when it is registered already, unchanged and by the same code, an amendment has no reason, or
            nothing says what was seen.
        Tampered: when the chain is broken.
    """
    if len(seen.split()) < LEAST_WORDS:
        raise InputError(
            "say with --seen what you have seen of these models and tasks elsewhere, in a sentence, for instance "
            '--seen "Exploratory head scores on another machine; no accuracy under any edit."'
        )
    with _alone(home):
        chain, code = read_chain(home), read_code()
        older = [entry for entry in chain if entry.study.name == study.name]
        if older and (older[-1].study_hash, older[-1].source_hash) == (study.hash(), code.source_hash):
            raise InputError(f"{study.name} is registered already, unchanged, as {older[-1].hash()}")
        if older and not reason:
            what = "; ".join(changes(older[-1].study, study)) or "the same study, with other code"
            raise InputError(f"{study.name} was registered before ({what}); an amendment needs --reason")
        found = earlier(home, study, [*known_homes(), *ledgers])
        registration = Registration(
            number=len(chain) + 1,
            previous=chain[-1].hash() if chain else None,
            time=iso(now()),
            commit=code.commit,
            clean=code.commit is not None and not code.dirty,
            source_hash=code.source_hash,
            study=study,
            study_hash=study.hash(),
            text=text,
            amends=older[-1].hash() if older else None,
            reason=reason,
            runs_seen=tuple(entry.seal for entry in known(home)),
            looked=runs_of(home, study.name),
            earlier=found.runs,
            ledgers=found.ledgers,
            seen_elsewhere=" ".join(seen.split()),
        )
        told = (*deviations([*chain, registration], registration), told_earlier(found))
        path = home / "registrations" / f"{file_name(registration)}.json"
        write_text(path.with_suffix(".md"), readable(registration, told))
        write_text(path, registration.model_dump_json(indent=1) + "\n")
        remember(home, registration.number, registration.hash())
    return registration, path


def standing(home: Path, study: Study) -> Standing:
    """As what a run of this study, started now, would count.

    Confirmatory: registered unchanged from a clean tree, run from a clean tree of the same source, for the first time.

    Raises:
        Tampered: when the chain of registrations is broken.
    """
    chain = read_chain(home)
    elsewhere = told_akin(runs_akin(home, study))
    same = [entry for entry in chain if entry.study_hash == study.hash()]
    if not same:
        told = [*_unregistered(chain, study), *told_of_name(_others(home, study)), *elsewhere]
        return Standing("exploratory", study.hash(), None, tuple(told))
    registration = same[-1]
    told = [*deviations(chain, registration), *elsewhere]
    if reasons := _objections(home, registration):
        because = f"Registered, but exploratory: {'; '.join(reasons)}."
        return Standing("exploratory", study.hash(), registration, (*told, because))
    return Standing("confirmatory", registration.hash(), registration, tuple(told))


def _others(home: Path, study: Study) -> tuple[str, ...]:
    """Earlier runs of a study of this name, without the one that this run will resume."""
    resumed = {run for run, begun in unfinished(home) if begun.study_hash == study.hash()}
    return tuple(run for run in runs_of(home, study.name) if run not in resumed)


def _unregistered(chain: list[Registration], study: Study) -> list[str]:
    older = [entry for entry in chain if entry.study.name == study.name]
    if not older:
        return []
    what = "; ".join(changes(older[-1].study, study))
    return [f"Differs from its registration {older[-1].hash()[:12]} without an amendment: {what}."]


def _objections(home: Path, registration: Registration) -> list[str]:
    """Why a registered study's run would not be confirmatory."""
    code, key = read_code(), registration.hash()
    made = [entry.run for entry in known(home) if entry.key == key and entry.command == "run"]
    conditions = {
        "it was registered from a dirty tree": not registration.clean,
        "it is dated after this run (is the clock right?)": registration.time > iso(now()),
        "this run's tree is dirty": code.dirty or code.commit is None,
        "the source is not that of the registration": code.source_hash != registration.source_hash,
        f"its data exist already ({', '.join(made)}); replay that run instead": bool(made),
    }
    return [reason for reason, holds in conditions.items() if holds]


@contextmanager
def _alone(home: Path) -> Generator[None]:
    """One registration at a time."""
    folder = home / "registrations"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
