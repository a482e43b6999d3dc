"""Other code, which imports nothing of lesion, finds the numbers of a published run and of its paper in the rows."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from lesion.report.paper.write import trace, write_paper
from lesion.runs.folder.published import publish
from publications.referee.__main__ import main, reviewed
from publications.referee.claims import printed


@pytest.fixture(scope="module")
def publication(small_run: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("publication")
    publish(small_run.folder, folder)
    write_paper(small_run.folder.parent.parent, [small_run.folder.name], folder / "paper")
    return folder


def test_it_imports_nothing_of_lesion(repository: Path) -> None:
    for path in (repository / "publications" / "referee").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.partition(".")[0] == "lesion"], path


def test_a_published_run_comes_out_again(publication: Path) -> None:
    found = reviewed(publication)
    assert len(found["findings"]) > 10
    assert len(found["claims"]) > 20
    assert [each for each in (*found["findings"], *found["claims"]) if not each["agrees"]] == []


@pytest.mark.parametrize(
    "forge",
    [
        lambda results, cell: results["cells"][cell].update(verdict="Improvement"),
        lambda results, cell: results["cells"][cell].update(ci_low=results["cells"][cell]["ci_low"] - 0.001),
        lambda results, cell: results["ablations"][cell]["mean"].update(delta=0.5),
    ],
    ids=["a verdict", "an interval", "an ablation"],
)
def test_a_changed_result_is_found(publication: Path, forge: Any, tmp_path: Path) -> None:
    (run,) = (path.with_name("manifest.json") for path in publication.glob("*/published.json"))
    manifest = json.loads(run.read_text())
    forge(manifest["results"], next(iter(manifest["results"]["ablations"])))
    copy = tmp_path / run.parent.name
    copy.mkdir()
    for path in run.parent.glob("*.*"):
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / "manifest.json").write_text(json.dumps(manifest))
    assert main(tmp_path) == 4
    assert "## Differences" in (tmp_path / "review.md").read_text()


def test_a_number_of_the_paper_is_traced_to_published_rows(publication: Path, tmp_path: Path) -> None:
    claims = json.loads((publication / "paper" / "claims.json").read_text(encoding="utf-8"))
    for kind in ("change", "items", "moved", "accuracies", "told"):
        claim = next(each for each in claims if each["kind"] == kind)
        traced = trace(tmp_path, publication / "paper", claim["number"])
        assert traced.agrees, claim["what"]
        assert not claim["rows"] or traced.again.rows.height == claim["height"] > 0


def test_a_sentence_that_is_worded_differently_today_is_traced_by_its_numbers(
    publication: Path, tmp_path: Path
) -> None:
    claims = json.loads((publication / "paper" / "claims.json").read_text(encoding="utf-8"))
    told = next(each for each in claims if each["kind"] == "told" and "0.000" in each["text"])
    traced = trace(tmp_path, publication / "paper", told["number"])
    other = traced._replace(again=traced.again._replace(text=f"{traced.claim.text} So it is."))
    assert other.reworded
    assert not traced._replace(again=traced.again._replace(text="Harm and Null are out of reach.")).agrees


def test_a_folder_without_runs_is_said_to_hold_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(tmp_path) == 2
    assert "no published run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "values", "agrees"),
    [
        ("−91.3 (−93.0 to −89.0)", (-91.26, -92.98, -89.04), True),
        ("−91.3 (−93.0 to −89.0)", (-91.26, -92.98, -89.06), False),
        ("3 / 2,836", (3, 2836), True),
        ("20 of 200, p 0.100", (20, 200, 0.1), True),
        ("20 of 200, p 0.100", (21, 200, 0.105), False),
        ("< 0.001", (2e-11,), True),
        ("< 0.001", (0.002,), False),
        ("4,608", (4608, 1), False),
    ],
)
def test_a_printed_number_is_one_that_rounds_to_it(text: str, values: tuple[float, ...], agrees: bool) -> None:
    assert printed(text, values) is agrees
