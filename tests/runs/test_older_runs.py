"""A run folder of every earlier format opens, verifies, shows, is queried, judged again, exported and reported."""

import json
import shutil
from pathlib import Path

import pytest

from lesion.report.page.write import write_report
from lesion.runs.check.recompute_stats import recount
from lesion.runs.folder.run_folder import RunFolder
from lesion.runs.manifest.run import read_manifest
from lesion.study.arms.condition_columns import COLUMNS

EXAMPLES = Path(__file__).parent / "examples"
FOLDERS = sorted(path.parent for path in EXAMPLES.glob("*/manifest.json"))


@pytest.fixture(params=FOLDERS, ids=lambda path: path.name)
def older(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of an older run in a home of its own."""
    folder = tmp_path / "home" / "runs" / request.param.name
    shutil.copytree(request.param, folder)
    return folder


def test_there_is_a_folder_of_format_2():
    assert {json.loads((path / "manifest.json").read_text())["format"] for path in FOLDERS} >= {2}


def test_an_older_run_opens_and_its_rows_get_the_columns_that_they_lacked(older: Path):
    manifest, run = read_manifest(older), RunFolder(older)
    assert manifest.results.cells
    assert manifest.proofs()
    assert {*COLUMNS} <= {*run.items().columns}
    assert {run.key(unit.cell) for unit in run.units()} == {fact.key for fact in manifest.units}


def test_every_gate_and_result_of_an_older_run_comes_out_again(older: Path):
    assert recount(older).document["differing"] == []


def test_an_older_run_is_reported(older: Path, tmp_path: Path):
    made = tmp_path / "made" / older.name
    shutil.copytree(older, made)
    write_report(made, read_manifest(older))
    assert {"report.html", "README.md"} <= {path.name for path in made.iterdir()}


def test_the_commands_take_an_older_run(older: Path, call):
    home = str(older.parents[1])
    for words in (
        ["verify", str(older)],
        ["show", str(older), "--home", home],
        ["export", str(older), "--ro-crate"],
        ["ledger", "--rebuild", "--home", home],
    ):
        code, out, err = call(*words)
        assert code == 0, (words, out, err)
    code, out, err = call("query", "select role, edit, count(*) as n from items group by role, edit", "--home", home)
    assert code == 0, err
    assert "target" in out
    assert "resample" in out


def test_the_commands_take_the_published_run(repository: Path, tmp_path: Path, call):
    """Format 1, slim: its rows and questions stand in the folder's own tables."""
    (published,) = (repository / "publications" / "toy-models").glob("*_induction-neurons_*/")
    folder = tmp_path / "home" / "runs" / published.name
    shutil.copytree(published, folder)
    home, out = str(tmp_path / "home"), str(tmp_path / "crate.zip")
    for words in (
        ["verify", str(folder)],
        ["show", str(folder), "--home", home],
        ["diff", str(folder), str(folder)],
        ["figure", str(folder), "verdicts", "--out", str(tmp_path / "verdicts.csv")],
        ["export", str(folder), "--ro-crate", "--to", out],
        ["ledger", "--rebuild", "--home", home],
    ):
        code, said, err = call(*words)
        assert code == 0, (words, said, err)
    code, said, err = call("query", "select role, edit, count(*) as n from items group by role, edit", "--home", home)
    assert code == 0, err
    assert "baseline" in said
    code, said, err = call("paper", published.name, "--home", home, "--out", str(tmp_path / "paper"))
    assert code == 2
    assert "was published before publications kept" in err
    assert "replay its manifest" in err
    assert not (tmp_path / "paper").exists()
