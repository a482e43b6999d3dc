"""A report that the rows do not give is named; the report as it was written is not."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lesion.errors import InputError
from lesion.report.page import rendered_again as module
from lesion.report.page.rendered_again import rendered
from lesion.runs.folder.run_folder import RunFolder
from lesion.runs.manifest.run import Manifest, read_manifest

EXAMPLES = Path(__file__).resolve().parents[1] / "runs" / "examples"
MANIFEST = next(iter(sorted(EXAMPLES.glob("run-*.json"))), None)


def wrote(folder: Path, manifest: Manifest) -> None:
    """A report of a few words that are functions of the rows and the manifest."""
    (folder / "figures").mkdir(exist_ok=True)
    rows = (folder / "rows.txt").read_text()
    (folder / "report.html").write_text(f"<p>n = {rows}, {manifest.study.name}</p>")
    (folder / "README.md").write_text(f"n = {rows}")
    (folder / "figures" / "effects.svg").write_text(f"<svg>{rows}</svg>")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Manifest]:
    assert MANIFEST is not None
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "rows.txt").write_text("64")
    monkeypatch.setattr(module, "write_report", wrote)
    manifest = read_manifest(MANIFEST)
    wrote(folder, manifest)
    return folder, manifest.model_copy(update={"files": dict(RunFolder(folder).files())})


def test_a_report_as_it_was_written_is_not_named(run: tuple[Path, Manifest]) -> None:
    assert rendered(*run) == []


EDITS: dict[str, Callable[[Path], object]] = {
    "report.html": lambda folder: (folder / "report.html").write_text("<p>n = 640, small</p>"),
    "README.md": lambda folder: (folder / "README.md").write_text("n = 640"),
    "figures/effects.svg": lambda folder: (folder / "figures" / "effects.svg").write_text("<svg>46</svg>"),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_file_whose_numbers_were_edited_is_named_and_no_other(name: str, run: tuple[Path, Manifest]) -> None:
    EDITS[name](run[0])
    assert rendered(*run) == [(name, "is not what the rows give")]


def test_rows_that_were_edited_under_a_report_name_all_of_it(run: tuple[Path, Manifest]) -> None:
    (run[0] / "rows.txt").write_text("65")
    assert {name for name, _ in rendered(*run)} == set(EDITS)


def test_a_figure_that_the_rows_do_not_have_is_named(run: tuple[Path, Manifest]) -> None:
    folder, manifest = run
    (folder / "figures" / "better.svg").write_text("<svg/>")
    more = manifest.model_copy(update={"files": {**manifest.files, "figures/better.svg": "0" * 64}})
    assert rendered(folder, more) == [("figures/better.svg", "is not what the rows give")]


def test_a_report_that_cannot_be_made_again_is_named(run: tuple[Path, Manifest], monkeypatch) -> None:
    def fails(*_: object) -> None:
        raise InputError("no rows")

    monkeypatch.setattr(module, "write_report", fails)
    assert rendered(*run) == [("report.html", "cannot be made from the rows again (InputError)")]


def test_a_run_without_a_report_is_not_rendered(run: tuple[Path, Manifest]) -> None:
    assert rendered(run[0], run[1].model_copy(update={"files": {"study.yaml": "0" * 64}})) == []
