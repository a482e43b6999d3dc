"""The ledger: filters, tags that outlive a rebuild, runs that it missed, copies that it must not believe, and speed."""

import shutil
import sqlite3
import time

import pytest

from lesion import cli
from lesion.errors import InputError
from lesion.report.terminal.records import runs_words
from lesion.runs.check.certificate import Certificate, certificate_path, read_certificate, write_certificate
from lesion.runs.folder.atomic_io import DiskError, write_text
from lesion.runs.index.ledger import _COLUMNS, enter, entries, known, rebuild, untrusted
from lesion.runs.index.selection import STANDINGS, Wanted, select, unfinished
from lesion.runs.index.tags import mark, marks_path, read_marks
from tests.study.made import FORGED


def certificate_of(manifest, **parts) -> Certificate:
    facts = {
        "run": manifest.run, "run_seal": manifest.seal, "replay": "again", "replay_seal": "0", "match": "bit-equal",
        "made": "2026-11-22T16:30:00+00:00", "commit": "0" * 40, "diff_hash": "0", "source_hash": "0", "packages": {},
        "other_packages": (), "python_recorded": "3", "python": "3", "system": "s", "processor": "p", "weights": {},
        "datasets_equal": 1,
    }  # fmt: skip
    return Certificate(**{**facts, **parts})


def test_a_run_that_the_ledger_missed_is_there_all_the_same(copied_run) -> None:
    """As when its process was killed after the seal."""
    entries(copied_run.home)
    (copied_run.home / "ledger.sqlite").unlink()
    with sqlite3.connect(copied_run.home / "ledger.sqlite"):
        pass
    assert [entry.run for entry in entries(copied_run.home)] == [copied_run.manifest.run]


def test_a_copy_under_another_name_never_takes_the_place_of_the_run(copied_run) -> None:
    enter(copied_run.home, copied_run.manifest)
    copy = copied_run.home / "runs" / "copy"
    shutil.copytree(copied_run.folder, copy)
    forged = copied_run.manifest.model_copy(update={"results": FORGED}).sealed()
    write_text(copy / "manifest.json", forged.model_dump_json())
    assert [entry.seal for entry in entries(copied_run.home)] == [copied_run.manifest.seal]
    assert rebuild(copied_run.home) == untrusted(copied_run.home) == ["copy"]
    assert [entry.seal for entry in entries(copied_run.home)] == [copied_run.manifest.seal]


def test_tagging_a_forged_run_is_refused_and_the_ledger_keeps_its_seal(copied_run, capsys) -> None:
    enter(copied_run.home, copied_run.manifest)
    forged = copied_run.manifest.model_copy(update={"results": FORGED}).sealed()
    write_text(copied_run.folder / "manifest.json", forged.model_dump_json())
    with pytest.raises(SystemExit) as ended:
        cli.main(["tag", copied_run.manifest.run, "paper", "--home", str(copied_run.home)])
    assert ended.value.code == 5
    assert entries(copied_run.home)[0].seal == copied_run.manifest.seal


def test_tags_and_supersession_outlive_a_rebuild(copied_run) -> None:
    home, run = copied_run.home, copied_run.manifest.run
    mark(home, run, ["paper", "figure-2"], superseded_by="later", reason="the seeds were too few")
    mark(home, run, remove=["figure-2"])
    enter(home, copied_run.manifest)
    for _ in range(2):
        (entry,) = entries(home)
        assert (entry.tags, entry.superseded_by) == (("paper",), "later")
        assert entry.standings[-1] == "superseded"
        rebuild(home)
    assert "superseded" in runs_words(entries(home), [], [])
    assert mark(home, run, superseded_by="").superseded_by is None


@pytest.mark.parametrize(
    "change",
    [{"add": ["Big Words"]}, {"add": ["../../x"]}, {"remove": ["none"]}, {"superseded_by": "later"}],
)
def test_marks_that_cannot_be_are_refused_and_change_nothing(change, copied_run) -> None:
    with pytest.raises(InputError):
        mark(copied_run.home, copied_run.manifest.run, **change)
    assert not marks_path(copied_run.home, copied_run.manifest.run).exists()


def test_marks_of_another_run_are_refused(copied_run) -> None:
    write_text(marks_path(copied_run.home, copied_run.manifest.run), '{"run": "other"}')
    with pytest.raises(InputError, match="another run"):
        read_marks(copied_run.home, copied_run.manifest.run)


def test_a_certificate_whose_replay_is_not_here_is_a_claim_and_one_of_another_run_is_nothing(copied_run) -> None:
    home, manifest = copied_run.home, copied_run.manifest
    cases = {"bit-equal": {}, "other run": {"run_seal": "0"}, "not reproduced": {"match": "different"}}
    for case, parts in cases.items():
        write_certificate(home, certificate_of(manifest, **parts))
        rebuild(home)
        (entry,) = entries(home)
        assert not entry.complete, case
        assert ("is not here" in "".join(entry.claimed)) == (case == "bit-equal"), case
    path = write_certificate(home, certificate_of(manifest))
    assert read_certificate(path).run == manifest.run
    path.write_text(path.read_text().replace("bit-equal", "noise-floor"))
    rebuild(home)
    assert not entries(home)[0].claimed, "a certificate that was edited says nothing"
    assert certificate_path(home, manifest.run) == path


def test_runs_are_found_by_study_status_tag_and_date(copied_run) -> None:
    home, run = copied_run.home, copied_run.manifest.run
    mark(home, run, ["paper"])
    listed = known(home)
    day = listed[0].started[:10]
    for fits in (
        Wanted(study="sm*"), Wanted(status=["exploratory"]), Wanted(tags=["paper"]), Wanted(since=day, until=day),
        Wanted(status=["run", "exploratory"]), Wanted(last=3),
    ):  # fmt: skip
        assert [entry.run for entry in select(listed, fits)] == [run], fits
    for other in (
        Wanted(study="big"), Wanted(status=["confirmatory"]), Wanted(tags=["paper", "x"]), Wanted(since="2999-01-01"),
        Wanted(until="1999-01-01"), Wanted(replayed=True), Wanted(status=["complete"]),
    ):  # fmt: skip
        assert select(listed, other) == [], other
    with pytest.raises(InputError, match="did you mean 'stopped'"):
        select(listed, Wanted(status=["stoped"]))
    assert {*listed[0].standings} <= {*STANDINGS}


def test_what_was_begun_and_not_finished_is_told(copied_run) -> None:
    assert unfinished(copied_run.home) == []
    (copied_run.folder / "begun.json").write_text("{}")
    (copied_run.folder / "manifest.json").unlink()
    assert unfinished(copied_run.home) == [copied_run.folder.name]


def test_a_ledger_that_cannot_be_used_is_a_sentence(tmp_path) -> None:
    (tmp_path / "ledger.sqlite").mkdir()
    with pytest.raises(DiskError, match="the run folders are untouched"):
        entries(tmp_path)


def test_ten_thousand_runs_are_listed_at_once(copied_run) -> None:
    """The folders are there, too; the limit is ten times what it takes, for a busy machine."""
    home = copied_run.home
    (first,) = known(home)
    row = [getattr(first, name) for name in _COLUMNS]
    with sqlite3.connect(home / "ledger.sqlite") as connection:
        rows = [(f"run-{n:05d}", *row[1:]) for n in range(10_000)]
        connection.executemany(f"insert into runs values ({', '.join('?' * len(_COLUMNS))})", rows)
    for name, *_ in rows:
        (home / "runs" / name).mkdir()
    started = time.process_time()
    words = runs_words(select(entries(home), Wanted()), [], unfinished(home))
    assert time.process_time() - started < 5.0
    assert len(words.splitlines()) == 10_002


def test_a_file_that_is_no_ledger_is_named_and_made_anew_when_it_is_gone(tmp_path, call) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"garbage " * 400)
    for words in (["runs"], ["ledger"], ["query", "select 1"]):
        code, _, err = call(*words, "--home", str(tmp_path))
        assert code == 5, err
        assert "is no ledger" in err
        assert "Traceback" not in err
    (tmp_path / "ledger.sqlite").unlink()
    assert call("runs", "--home", str(tmp_path))[0] == 0
