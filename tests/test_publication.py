"""What is published is what was run: it verifies, was repeated, is told rightly, and other code finds its numbers."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from lesion.errors import InputError
from lesion.report.paper.write import trace
from lesion.report.publication_memo import phase2_criteria, phase3_criteria, read_publication
from lesion.runs.verify import verify


def _module(path: Path) -> Any:
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(repository: Path) -> Path:
    return repository / "publications" / "induction-arithmetic"


def test_every_published_run_verifies_and_counts_its_verdicts_again(folder: Path) -> None:
    publication = read_publication(folder, verify)
    assert len(publication.runs) == 2
    assert [found for path, _ in publication.runs for found in verify(path)] == []


def test_the_exit_criteria_of_both_phases_are_met(folder: Path) -> None:
    publication = read_publication(folder, verify)
    unmet = [each for each in (*phase2_criteria(publication), *phase3_criteria(publication)) if not each.met]
    assert unmet == []


def test_the_readme_tells_the_publications_numbers(repository: Path) -> None:
    block = _module(repository / "publications" / "make.py").readme_block()
    assert block in (repository / "README.md").read_text(encoding="utf-8")


def test_other_code_finds_the_papers_numbers_in_the_published_rows(repository: Path, folder: Path) -> None:
    found = _module(repository / "publications" / "review.py").review(folder)
    assert [each for each in (*found["compared"], *found["holm"]) if not each["agrees"]] == []
    assert len(found["compared"]) > 100
    assert found == json.loads((folder / "review.json").read_text(encoding="utf-8"))


def test_a_memo_is_not_ready_where_the_evidence_is_missing(folder: Path, tmp_path: Path) -> None:
    publication = read_publication(folder, verify)
    elsewhere = publication._replace(folder=tmp_path)
    assert {each.met for each in phase3_criteria(elsewhere) if "paper" in each.name or "review" in each.name} == {False}


def test_a_number_of_the_paper_is_traced_to_published_rows_where_the_run_itself_is_not(
    folder: Path, tmp_path: Path
) -> None:
    claims = json.loads((folder / "paper" / "claims.json").read_text(encoding="utf-8"))
    for kind in ("change", "items", "moved", "accuracies", "holm", "interval", "told"):
        claim = next(each for each in claims if each["kind"] == kind and "prompts" not in each["rows"])
        traced = trace(tmp_path, folder / "paper", claim["number"])
        assert traced.agrees, claim["what"]
        assert not claim["rows"] or traced.again.rows.height == claim["height"] > 0
    asked = next(each for each in claims if "prompts" in each["rows"])
    with pytest.raises(InputError, match="kinds of items"):
        trace(tmp_path, folder / "paper", asked["number"])
