"""Registrations on disk, and as what a run counts: confirmatory only when registered, clean, unchanged and first."""

import json
from pathlib import Path

import polars as pl
import pytest
import yaml

from lesion.errors import InputError, Tampered
from lesion.report.record import read_record
from lesion.report.wording.caveats import deviations as reported
from lesion.runs.check.replay import replay
from lesion.runs.execute.finish import Order
from lesion.runs.execute.run import start
from lesion.runs.folder.run_folder import Begun, RunFolder
from lesion.runs.index import registrations as registry
from lesion.runs.index.ledger import enter, entries
from lesion.runs.index.registrations import read_chain, register, standing
from lesion.runs.manifest.run import Code
from lesion.study.format.load import parse_document
from lesion.study.registration.page import readable
from lesion.study.study import Study

CLEAN = Code(version="0", commit="c" * 40, dirty=False, diff="", source_hash="s" * 64)

SEEN = "Nothing of it anywhere else."
"""What the registrant says of other places."""


@pytest.fixture
def tree(monkeypatch: pytest.MonkeyPatch):
    """Sets what the source tree looks like; clean to begin with."""

    def become(**parts: object) -> None:
        monkeypatch.setattr(registry, "read_code", lambda: CLEAN.model_copy(update=parts))

    become()
    return become


def parsed(text: str, **parts: object) -> tuple[Study, str]:
    given = yaml.safe_dump({**yaml.safe_load(text), **parts}, sort_keys=False)
    return parse_document(given, "x.yaml", Study), given


def order(home: Path, study: Study, text: str) -> Order:
    """What `lesion run` makes of a study."""
    counts = standing(home, study)
    return Order(study, text, counts.status, "run", counts.key, counts.registration, counts.deviations)


def test_an_unregistered_study_is_exploratory(tree, small_text, tmp_path) -> None:
    study, _ = parsed(small_text)
    counts = standing(tmp_path, study)
    assert (counts.status, counts.key, counts.registration, counts.deviations) == (
        "exploratory",
        study.hash(),
        None,
        (),
    )


def test_a_registered_study_is_confirmatory_and_its_hash_draws_the_items(tree, small_text, tmp_path) -> None:
    study, text = parsed(small_text)
    registration, path = register(tmp_path, study, text, "", seen=SEEN)
    counts = standing(tmp_path, study)
    assert (counts.status, counts.key, counts.deviations) == ("confirmatory", registration.hash(), ())
    assert registration.clean
    assert "Does anything happen" in path.with_suffix(".md").read_text()


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({"dirty": True, "diff": "-x"}, "this run's tree is dirty"),
        ({"commit": None}, "this run's tree is dirty"),
        ({"source_hash": "t" * 64}, "the source is not that of the registration"),
    ],
)
def test_another_source_makes_a_run_exploratory_and_says_why(now, said, tree, small_text, tmp_path) -> None:
    study, text = parsed(small_text)
    register(tmp_path, study, text, "", seen=SEEN)
    tree(**now)
    counts = standing(tmp_path, study)
    assert (counts.status, counts.key) == ("exploratory", study.hash())
    assert said in counts.deviations[-1]


def test_what_was_registered_from_a_dirty_tree_stays_exploratory(tree, small_text, tmp_path) -> None:
    study, text = parsed(small_text)
    tree(dirty=True)
    register(tmp_path, study, text, "", seen=SEEN)
    tree()
    assert standing(tmp_path, study).status == "exploratory"
    assert "registered from a dirty tree" in standing(tmp_path, study).deviations[-1]


def test_a_change_without_an_amendment_is_told(tree, small_text, tmp_path) -> None:
    study, text = parsed(small_text)
    register(tmp_path, study, text, "", seen=SEEN)
    other, _ = parsed(small_text, seed=3)
    counts = standing(tmp_path, other)
    assert counts.status == "exploratory"
    assert "seed: 0 -> 3" in counts.deviations[0]
    assert "without an amendment" in counts.deviations[0]


def test_an_amendment_needs_a_reason_and_a_change(tree, small_text, tmp_path) -> None:
    study, text = parsed(small_text)
    register(tmp_path, study, text, "", seen=SEEN)
    with pytest.raises(InputError, match="registered already"):
        register(tmp_path, study, text, "why not", seen=SEEN)
    other, changed = parsed(small_text, seed=3)
    with pytest.raises(InputError, match=r"seed: 0 -> 3.*needs --reason"):
        register(tmp_path, other, changed, "", seen=SEEN)
    amended, _ = register(tmp_path, other, changed, "The first seed was taken.", seen=SEEN)
    assert standing(tmp_path, other).status == "confirmatory"
    assert "The first seed was taken." in standing(tmp_path, other).deviations[0]
    assert [entry.number for entry in read_chain(tmp_path)] == [1, 2]
    assert amended.amends == read_chain(tmp_path)[0].hash()


def test_an_unchanged_study_is_registered_anew_where_the_code_is_newer(tree, small_text, tmp_path) -> None:
    """Else a study whose code was mended before its run could never be confirmatory again."""
    study, text = parsed(small_text)
    first, _ = register(tmp_path, study, text, "", seen=SEEN)
    tree(source_hash="f" * 64)
    assert standing(tmp_path, study).status == "exploratory"
    with pytest.raises(InputError, match=r"the same study, with other code.*needs --reason"):
        register(tmp_path, study, text, "", seen=SEEN)
    again, _ = register(tmp_path, study, text, "A fault was mended.", seen=SEEN)
    assert again.hash() != first.hash(), "its items are others"
    counts = standing(tmp_path, study)
    assert (counts.status, counts.registration) == ("confirmatory", again)
    assert "newer code; the study is unchanged. Reason: A fault was mended." in counts.deviations[0]


def files(home: Path) -> list[Path]:
    return sorted((home / "registrations").glob("*.json"))


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("part", ["reason", "time", "study"])
def test_every_registration_shows_that_it_was_edited_the_newest_too(which, part, tree, small_text, tmp_path) -> None:
    for seed in range(3):
        register(tmp_path, *parsed(small_text, seed=seed), "again" if seed else "", seen=SEEN)
    path = files(tmp_path)[which]
    document = json.loads(path.read_text())
    document[part] = {**document["study"], "seed": 77} if part == "study" else "another"
    path.write_text(json.dumps(document))
    with pytest.raises(Tampered):
        read_chain(tmp_path)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_every_registration_is_missed_when_it_is_removed_the_newest_too(which, tree, small_text, tmp_path) -> None:
    for seed in range(3):
        register(tmp_path, *parsed(small_text, seed=seed), "again" if seed else "", seen=SEEN)
    files(tmp_path)[which].unlink()
    with pytest.raises(Tampered, match=r"missing|not in the chain"):
        standing(tmp_path, parsed(small_text)[0])


def test_what_is_no_registration_is_named(tree, small_text, tmp_path) -> None:
    register(tmp_path, *parsed(small_text), "", seen=SEEN)
    files(tmp_path)[0].write_text("{}")
    with pytest.raises(Tampered, match="not a registration"):
        read_chain(tmp_path)


def test_a_run_that_was_cut_off_counts_as_looked_at(tree, small_text, tmp_path) -> None:
    study, text = parsed(small_text)
    register(tmp_path, study, text, "", seen=SEEN)
    begun = Begun(
        study=study.name, study_hash="", key="", source_hash="", status="confirmatory", command="run", started=""
    )
    (tmp_path / "runs" / "cut").mkdir(parents=True)
    (tmp_path / "runs" / "cut" / "begun.json").write_text(begun.model_dump_json())
    amended, _ = register(tmp_path, *parsed(small_text, seed=3), "Oh.", seen=SEEN)
    assert amended.looked == ("cut",)
    other, _ = parsed(small_text, seed=3)
    assert "after 1 run(s) of this study had been made" in standing(tmp_path, other).deviations[0]


def test_a_new_name_hides_no_earlier_run_of_the_same_question(tree, copied_run, small_text) -> None:
    home, run = copied_run.home, copied_run.folder.name
    renamed, text = parsed(small_text, name="fresh", sweep={**yaml.safe_load(small_text)["sweep"], "always": [1.5]})
    told = f"under other names, on the same models and kinds of task: 1 run(s) ({run})"
    assert told in standing(home, renamed).deviations[-1]
    _, path = register(home, renamed, text, "", seen=SEEN)
    counts = standing(home, renamed)
    assert (counts.status, len(counts.deviations)) == ("confirmatory", 1)
    assert told in counts.deviations[0]
    page = path.with_suffix(".md").read_text()
    assert f"1 earlier run(s) on these models: {run}" in page
    assert SEEN in page
    other, _ = parsed(small_text, name="other", tasks={"tier3": {"task": "symbolic"}})
    assert standing(home, other).deviations == (), "another kind of task teaches nothing about this one"
    enter(home, copied_run.manifest)
    (copied_run.folder / "manifest.json").unlink()
    (copied_run.folder / "study.yaml").unlink()
    assert told in standing(home, other).deviations[0], "what cannot be read any more is taken to be akin"


def test_a_run_that_was_cut_off_under_another_name_is_told(tree, small_text, tmp_path) -> None:
    study, text = parsed(small_text)
    begun = Begun(
        study=study.name, study_hash=study.hash(), key="", source_hash="", status="exploratory", command="run",
        started="",
    )  # fmt: skip
    (tmp_path / "runs" / "cut").mkdir(parents=True)
    (tmp_path / "runs" / "cut" / "begun.json").write_text(begun.model_dump_json())
    (tmp_path / "runs" / "cut" / "study.yaml").write_text(text)
    renamed, _ = parsed(small_text, name="fresh")
    assert "under other names" in standing(tmp_path, renamed).deviations[0]
    assert standing(tmp_path, study).deviations == (), "it would be resumed, not repeated"
    tried_again, _ = parsed(small_text, seed=8)
    assert "1 run(s) of a study of this name (cut)" in standing(tmp_path, tried_again).deviations[0]


def test_a_study_is_beside_its_rows_from_the_first_moment(small_text, quiet, no_report, monkeypatch, tmp_path) -> None:
    from lesion.runs.execute import run as module

    def cut(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "conduct", cut)
    study, text = parsed(small_text)
    with pytest.raises(KeyboardInterrupt):
        start(order(tmp_path, study, text), tmp_path, 1, quiet, no_report)
    (folder,) = (tmp_path / "runs").iterdir()
    assert (folder / "study.yaml").read_text() == text
    assert "under other names" in standing(tmp_path, parsed(small_text, name="fresh")[0]).deviations[0]


def confirmation(folder: Path) -> pl.DataFrame:
    """The confirmation's questions in their order."""
    return RunFolder(folder).prompts().filter(pl.col("split") == "confirm").sort("tier", "seed", "index")


@pytest.mark.slow
def test_a_confirmatory_run_asks_what_no_exploratory_run_showed_and_only_once(
    tree, small_run, small_text, quiet, no_report, tmp_path
) -> None:
    study, text = parsed(small_text)
    register(tmp_path, study, text, "", seen=SEEN)
    ran = start(order(tmp_path, study, text), tmp_path, 1, quiet, no_report)
    enter(tmp_path, ran.manifest)
    assert ran.manifest.status == "confirmatory"
    assert ran.manifest.deviations == ()

    explored, confirmed = confirmation(small_run.folder), confirmation(ran.folder)
    assert explored["item_id"].to_list() != confirmed["item_id"].to_list()
    same = set(explored["item_id"]) & set(confirmed["item_id"])
    assert len(same) < explored.height / 20, "the seeds of the confirmation come from the registration"

    again = replay(ran.folder, tmp_path, 1, quiet, no_report).manifest
    assert (again.status, again.match, again.rows_hash) == ("confirmatory", "bit-equal", ran.manifest.rows_hash)
    enter(tmp_path, again)

    second = standing(tmp_path, study)
    assert second.status == "exploratory"
    assert second.key == study.hash(), "a second run asks other items"
    assert f"its data exist already ({ran.folder.name})" in second.deviations[-1]
    (tmp_path / "ledger.sqlite").unlink()
    assert standing(tmp_path, study).status == "exploratory", "deleting the ledger hides no run"

    third = start(order(tmp_path, study, text), tmp_path, 1, quiet, no_report)
    told = reported(read_record(third.folder, third.manifest))
    assert any("its data exist already" in line for line in told), "the report shows it"

    amended, changed = parsed(small_text, sweep={**yaml.safe_load(small_text)["sweep"], "always": [1.5]})
    register(tmp_path, amended, changed, "1.5 looked best.", seen=SEEN)
    looked = standing(tmp_path, amended)
    assert "sweep.always: [0.0] -> [1.5]" in looked.deviations[0]
    assert "after 2 run(s)" in looked.deviations[0] or "after 3 run(s)" in looked.deviations[0]

    files(tmp_path)[1].unlink()
    files(tmp_path)[0].unlink()
    (tmp_path / "ledger.sqlite").unlink()
    with pytest.raises(Tampered, match="missing from the chain"):
        standing(tmp_path, study)


def test_the_ledger_of_an_older_version_is_made_anew(small_run, tmp_path) -> None:
    import sqlite3

    (tmp_path / "runs").symlink_to(small_run.home / "runs")
    with sqlite3.connect(tmp_path / "ledger.sqlite") as connection:
        connection.execute("create table runs (run text primary key, seal text)")
    connection.close()
    assert [entry.run for entry in entries(tmp_path)] == [small_run.folder.name]


def test_a_registration_finds_earlier_runs_in_every_ledger_that_is_known_or_named(
    tree, copied_run, small_text, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("LESION_CACHE", str(tmp_path / "cache"))
    elsewhere, study_text = tmp_path / "other home", parsed(small_text, name="fresh")
    first, path = register(elsewhere, *study_text, "", seen=SEEN)
    assert (first.earlier, first.ledgers) == ((), 1)
    assert "found no earlier run" in path.with_suffix(".md").read_text()
    named, _ = register(tmp_path / "third", *study_text, "", seen=SEEN, ledgers=[copied_run.home])
    assert (named.earlier, named.ledgers) == ((copied_run.folder.name,), 2)
    enter(copied_run.home, copied_run.manifest)
    known, _ = register(tmp_path / "fourth", *study_text, "", seen=SEEN)
    assert (known.earlier, known.ledgers) == ((copied_run.folder.name,), 2), "the user's list names that home now"


def test_a_registration_needs_a_sentence_on_what_was_seen_elsewhere(tree, small_text, tmp_path) -> None:
    with pytest.raises(InputError, match="--seen"):
        register(tmp_path, *parsed(small_text), "", seen="Nothing")
    assert not list(tmp_path.glob("registrations/*.json"))


def test_a_registration_of_before_keeps_its_hash_and_says_that_it_was_not_asked(repository) -> None:
    for path in sorted((repository / "publications/toy-models/registrations").glob("*.json")):
        registration = registry.read_registration(path)
        assert "not asked" in readable(registration)
