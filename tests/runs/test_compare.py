"""Two runs side by side: what is the same is said to be, what differs is named, and the grade is the honest one."""

import polars as pl
import pytest

from lesion.errors import InputError, Tampered
from lesion.report.terminal.records import diff_words, show_words, shown
from lesion.runs.check.compare import MISSING, compare_runs, grade_of
from lesion.runs.folder.atomic_io import write_text
from lesion.runs.folder.find import find_run, small_text
from lesion.runs.folder.run_folder import RunFolder
from lesion.study.rows import rows_hash
from tests.study.made import with_proof


def reseal(folder, manifest, **parts):
    """Another run in the same folder, sealed properly."""
    other = manifest.model_copy(update=parts).sealed()
    write_text(folder / "manifest.json", other.model_dump_json())
    return other


def nudge(folder, manifest, by: float, flip: bool = False):
    """Other rows, as another machine might give them, sealed properly."""
    path = next(iter(sorted((folder / "items").iterdir())))
    table = pl.read_parquet(path).with_columns(pl.col("entropy") + by)
    if flip:
        table = table.with_columns(pl.when(pl.col("index") == 0).then(~pl.col("correct")).otherwise("correct"))
    table.write_parquet(path)
    return reseal(folder, manifest, rows_hash=rows_hash(RunFolder(folder).items()))


def test_a_run_differs_from_itself_in_nothing(small_run) -> None:
    found = compare_runs(small_run.folder, small_run.folder)
    assert (found.grade, found.parameters, found.environment, found.verdicts) == ("bit-equal", (), (), ())
    assert found.rows.same_hash
    assert found.rows.shared == RunFolder(small_run.folder).items().height


def test_a_changed_parameter_package_and_verdict_are_each_named(small_run, copied_run) -> None:
    manifest = copied_run.manifest
    study = manifest.study.model_copy(update={"block": 64})
    packages = {**manifest.environment.packages, "extra-package": "1.0"}
    results = manifest.results.model_copy(update={"scenario": "Mixed"})
    environment = manifest.environment.model_copy(update={"packages": packages})
    reseal(copied_run.folder, manifest, study=study, environment=environment, results=results)
    found = compare_runs(small_run.folder, copied_run.folder)
    assert [(c.what, c.first, c.second) for c in found.parameters] == [("study.block", "32", "64")]
    assert [(c.what, c.first) for c in found.environment] == [("packages.extra-package", MISSING)]
    assert [c.what for c in found.verdicts] == ["scenario"]
    words = diff_words(found.model_dump(mode="json"))
    assert "study.block" in words
    assert all(len(line) <= 80 for line in words.splitlines())


@pytest.mark.parametrize(("by", "flip", "grade"), [(1e-12, False, "noise-floor"), (1.0, False, "verdict-equal")])
def test_other_numbers_are_graded_by_the_noise_floor(by, flip, grade, small_run, copied_run) -> None:
    nudge(copied_run.folder, with_proof(copied_run.manifest, noise_floor=1e-6), by, flip)
    found = compare_runs(small_run.folder, copied_run.folder)
    assert found.grade == grade
    assert found.rows.differing > 0
    assert found.rows.largest == pytest.approx(by, rel=1e-3)


def test_a_flipped_answer_is_never_noise_and_its_row_is_named(small_run, copied_run) -> None:
    nudge(copied_run.folder, copied_run.manifest, 0.0, flip=True)
    found = compare_runs(small_run.folder, copied_run.folder)
    assert found.grade == "verdict-equal"
    assert found.rows.flips > 0
    assert "tier1" in found.rows.examples[0]
    assert "answers flip" in diff_words(found.model_dump(mode="json"))


def test_without_rows_only_equal_hashes_can_be_told(small_run, tmp_path) -> None:
    (tmp_path / "manifest.json").write_bytes((small_run.folder / "manifest.json").read_bytes())
    found = compare_runs(small_run.folder, tmp_path)
    assert (found.grade, found.rows.compared) == ("bit-equal", False)
    assert grade_of(None, 1.0, same_hash=False, same_verdicts=False) == "different"


def test_rows_that_were_changed_after_the_seal_are_not_compared(small_run, copied_run) -> None:
    path = next(iter(sorted((copied_run.folder / "items").iterdir())))
    pl.read_parquet(path).with_columns(pl.col("entropy") + 1).write_parquet(path)
    with pytest.raises(Tampered, match="recorded hash"):
        compare_runs(small_run.folder, copied_run.folder)


def test_a_run_is_found_by_folder_name_and_beginning_and_else_the_nearest_is_named(copied_run) -> None:
    name, home = copied_run.folder.name, copied_run.home
    assert find_run(home, name) == find_run(home, name[:9]) == find_run(home, str(copied_run.folder))
    with pytest.raises(InputError, match=name):
        find_run(home, name.replace("small", "smal"))
    (home / "runs" / f"{name}-2").mkdir()
    write_text(home / "runs" / f"{name}-2" / "manifest.json", "{}")
    with pytest.raises(InputError, match="2 runs"):
        find_run(home, name[:9])
    for bad in ("\0", "x" * 5000, ""):
        with pytest.raises(InputError):
            find_run(home / "nowhere", bad)


def test_what_is_too_large_or_no_file_is_refused_before_it_is_read(tmp_path) -> None:
    (tmp_path / "big").write_text("x" * 11)
    for path in (tmp_path / "big", tmp_path / "none", tmp_path):
        with pytest.raises(InputError):
            small_text(path, most=10)


def test_a_run_is_shown_in_80_columns_and_nothing_steers_the_terminal(small_run) -> None:
    study = small_run.manifest.study.model_copy(update={"question": "Does \x1b[31m it? " + "words " * 40})
    words = show_words(shown(small_run.manifest.model_copy(update={"study": study}), small_run.folder, ["tag"]))
    assert "\x1b" not in words
    assert "tag" in words
    assert small_run.manifest.seal in words
    assert all(len(line) <= 80 for line in words.splitlines())
