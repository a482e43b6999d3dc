"""What a run counts as, computed from what can be checked here; a row or a field that says more is only a claim.

*Confirmatory*: the registration lies in `registrations/` beside `runs/`, is the one that drew the items, is older than
the run, and was made from a clean tree of the source that ran. *Replayed*: the replay's folder is here, sealed, with
rows of its own that were computed at another time, and repeats a run that is here. *Complete*: the same of the replay
that a certificate names. Whoever owns the machine can make all of that up; see docs/record.md.
"""

import os
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from lesion.errors import LesionError
from lesion.outside.documents import read_document
from lesion.runs.check.certificate import certificate_path, read_certificate
from lesion.runs.folder.find import MOST_MANIFEST_BYTES
from lesion.runs.manifest.command import Call, Entered, read_entered
from lesion.runs.manifest.run import REPRODUCED, Manifest, Status
from lesion.study.registration.registration import Registration

COPIED = 0.5
"""Share of units with the very processor seconds of the original's from which on a replay is a copy of it."""


class Counted(NamedTuple):
    """As what a run counts here."""

    status: Status
    claimed: tuple[str, ...] = ()
    """What it says of itself beyond that, and why it cannot be checked here."""


def counted(folder: Path, manifest: Entered) -> Counted:
    """As what a run counts, from its folder and what lies beside it."""
    if manifest.status == "confirmatory" and (why := unconfirmed(folder, manifest)):
        return Counted("exploratory", (claim("confirmatory", why),))
    return Counted(manifest.status)


def claim(what: str, why: str) -> str:
    """How a claim is told."""
    return f"claimed {what}, not checkable here: {why}"


def unconfirmed(folder: Path, manifest: Entered) -> str:
    """Why it cannot be checked that a run is confirmatory; empty where it is."""
    registration = manifest.registration if isinstance(manifest, Manifest) else None
    if not isinstance(manifest, Manifest) or registration is None:
        return "no registration is told"
    wrong = {
        "its items were not drawn by its registration": registration.hash() != manifest.key,
        "its study is not the registered one": registration.study.hash() != manifest.study_hash,
        "its registration is dated after it": registration.time > manifest.cost.started,
        "it was registered or run from a tree that was not clean": not registration.clean or manifest.code.dirty,
        "it ran other source than was registered": (
            manifest.command == "run" and registration.source_hash != manifest.code.source_hash
        ),
    }
    for why, holds in wrong.items():
        if holds:
            return why
    places = (folder.resolve().parent.parent, folder.resolve().parent)
    name = f"{registration.number:04d}_{registration.study.name}_{registration.hash()[:12]}.json"
    found = [path for place in places if (path := place / "registrations" / name).is_file()]
    if not found:
        return f"registrations/{name} is not here"
    return "" if any(_holds(path, registration) for path in found) else f"registrations/{name} is another one"


def _holds(path: Path, registration: Registration) -> bool:
    try:
        return read_document(path, Registration, MOST_MANIFEST_BYTES).hash() == registration.hash()
    except LesionError:
        return False


def unrepeated(home: Path, run: str, seals: dict[str, str]) -> str:
    """Why it cannot be checked that a run of this home repeats another; empty where it does.

    Args:
        home: where `runs/` is.
        run: name of the replay.
        seals: seal -> name of every run that is known here.
    """
    again = _manifest(home / "runs" / run)
    if again is None or again.replay_of is None or again.match not in REPRODUCED:
        return "its own manifest does not say so, or is not here"
    original = seals.get(again.replay_of)
    first = None if original is None else _manifest(home / "runs" / original)
    if original is None or first is None or original == run:
        return "the run that it repeats is not here"
    return _differs(home / "runs" / original, first, home / "runs" / run, again)


def _differs(there: Path, first: Entered, here: Path, again: Entered) -> str:
    """Why one folder is no repetition of another."""
    if first.seal != again.replay_of or type(first) is not type(again) or again.cost.started < first.cost.started:
        return "it is of another run, or older than what it repeats"
    equal = _result_hash(first) == _result_hash(again)
    if again.match == "bit-equal" and not equal:
        return "its rows are not those of the run"
    if not isinstance(again, Manifest) or not isinstance(first, Manifest):
        return "" if all((here / name).is_file() for name in again.files) else "its result is not here"
    if (again.study_hash, again.key) != (first.study_hash, first.key):
        return "it is of another study or order of items"
    own, its = _seconds(here), _seconds(there)
    if not own or not all((here / name).is_file() for name in again.files if name.startswith("units/")):
        return "its rows are not here"
    same = sum(its.get(key) == seconds for key, seconds in own.items())
    return "its units took the very times of the run's: it is a copy" if same > COPIED * len(own) else ""


def _result_hash(manifest: Entered) -> str:
    return manifest.result_hash if isinstance(manifest, Call) else manifest.rows_hash


def _seconds(folder: Path) -> dict[str, float]:
    """Unit -> processor seconds, of those that measured rows."""
    from lesion.runs.folder.published import UNITS, PublishedRun  # noqa: PLC0415  (polars, for replays alone)
    from lesion.runs.folder.run_folder import RunFolder  # noqa: PLC0415

    try:
        run = PublishedRun(folder) if (folder / UNITS).is_file() else RunFolder(folder)
        return {run.key(unit.cell): unit.cpu_seconds for unit in run.units() if unit.file_hash}
    except LesionError:
        return {}


def uncertified(home: Path, run: str, seals: dict[str, str]) -> str:
    """Why it cannot be checked that a certificate's replay took place; empty where it can."""
    try:
        told = read_certificate(certificate_path(home, run))
    except LesionError as error:
        return str(error)[:100]
    if seals.get(told.replay_seal) != told.replay:
        return f"the replay {told.replay[:80]} that its certificate names is not here"
    return unrepeated(home, told.replay, seals)


def _manifest(folder: Path) -> Entered | None:
    """The manifest of a folder of its run's name, its seal checked; nothing where there is none that holds."""
    try:
        seen = os.stat(folder / "manifest.json")
        return _read(str(folder), seen.st_mtime_ns, seen.st_size)
    except (LesionError, OSError):
        return None


@lru_cache(maxsize=64)
def _read(folder: str, changed: int, size: int) -> Entered | None:  # noqa: ARG001  (they tell a changed file)
    manifest = read_entered(Path(folder))
    return manifest if manifest.run == Path(folder).name else None


def checked_status(home: Path, run: str, told: str, seal: str) -> str:
    """Why a ledger's row must not say `confirmatory`; empty where it may."""
    manifest = _manifest(home / "runs" / run)
    if manifest is None or manifest.seal != seal or manifest.status != told:
        return "its own manifest does not say so, or is not here"
    return unconfirmed(home / "runs" / run, manifest)
