"""A status is computed from what can be checked; rows, certificates and copied runs that say more are claims."""

import shutil
import sqlite3
from contextlib import closing

from lesion.identity import content_hash
from lesion.report.terminal.records import runs_words
from lesion.runs.check.status import counted, unconfirmed
from lesion.runs.folder.atomic_io import write_text
from lesion.runs.index.ledger import enter, entries, untrusted
from lesion.runs.manifest.run import Manifest
from lesion.study.registration.registration import Registration


def _row(home, **columns: str) -> None:
    with closing(sqlite3.connect(home / "ledger.sqlite")) as ledger, ledger:
        for name, value in columns.items():
            ledger.execute(f"update runs set {name} = ?", (value,))


def test_a_row_that_is_edited_to_confirmatory_is_a_claim_and_is_named(copied_run) -> None:
    enter(copied_run.home, copied_run.manifest)
    assert untrusted(copied_run.home) == []
    _row(copied_run.home, status="confirmatory")
    (entry,) = entries(copied_run.home)
    assert (entry.status, entry.told) == ("exploratory", "confirmatory")
    assert "claimed confirmatory, not checkable here" in runs_words([entry], [], [])
    assert untrusted(copied_run.home) == [copied_run.manifest.run]


def test_a_scenario_that_is_edited_in_the_ledger_is_named(copied_run) -> None:
    enter(copied_run.home, copied_run.manifest)
    _row(copied_run.home, scenario="Improvement")
    assert untrusted(copied_run.home) == [copied_run.manifest.run]


def test_a_copy_that_is_sealed_as_a_replay_is_a_claim(copied_run) -> None:
    home, first = copied_run.home, copied_run.manifest
    name = f"{first.run}_replay"
    shutil.copytree(copied_run.folder, home / "runs" / name)
    parts = {"run": name, "command": "replay", "replay_of": first.seal, "match": "bit-equal"}
    again = first.model_copy(update=parts).sealed()
    write_text(home / "runs" / name / "manifest.json", again.model_dump_json())
    enter(home, first)
    enter(home, again)
    by_run = {entry.run: entry for entry in entries(home)}
    assert not by_run[first.run].replayed
    assert by_run[name].match is None
    assert "it is a copy" in by_run[name].claimed[0]


def _registered(manifest: Manifest, **parts: object) -> Manifest:
    registration = Registration(
        number=1, previous=None, time="2020-01-01T00:00:00+00:00", commit="0" * 40, clean=True,
        source_hash=manifest.code.source_hash, study=manifest.study, study_hash=manifest.study_hash,
        text=manifest.study_text, amends=None, reason="", runs_seen=(), looked=(),
    ).model_copy(update=parts)  # fmt: skip
    code = manifest.code.model_copy(update={"dirty": False})
    changed = {"registration": registration, "status": "confirmatory", "key": registration.hash(), "code": code}
    return manifest.model_copy(update=changed)


def test_a_run_is_confirmatory_where_its_registration_lies_and_is_older_only(copied_run) -> None:
    manifest, folder = _registered(copied_run.manifest), copied_run.folder
    registration = manifest.registration
    assert registration is not None
    assert "is not here" in unconfirmed(folder, manifest)
    assert counted(folder, manifest).status == "exploratory"
    name = f"0001_{manifest.study.name}_{registration.hash()[:12]}.json"
    write_text(copied_run.home / "registrations" / name, registration.model_dump_json())
    assert counted(folder, manifest).status == "confirmatory"
    later = _registered(copied_run.manifest, time="2099-01-01T00:00:00+00:00")
    assert "dated after" in unconfirmed(folder, later)
    dirty = _registered(copied_run.manifest, clean=False)
    assert "not clean" in unconfirmed(folder, dirty)
    other = manifest.model_copy(update={"key": content_hash("another")})
    assert "were not drawn by" in unconfirmed(folder, other)
