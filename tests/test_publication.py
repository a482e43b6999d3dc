"""What is published is what was run: it verifies, was repeated, is told rightly, and other code finds its numbers."""

import json
from pathlib import Path

import pytest

from lesion.errors import InputError
from lesion.report.paper.write import trace
from lesion.report.wording.checks import loud_sets
from lesion.runs.check.verify import verify
from lesion.runs.manifest.run import read_manifest
from publications.memos.publication import phase2_criteria, phase3_criteria, read_publication
from tests.program import load_program


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
    block = load_program(repository / "publications" / "make.py").readme_block()
    assert block in (repository / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_other_code_finds_the_papers_numbers_in_the_published_rows(repository: Path, folder: Path) -> None:
    found = load_program(repository / "publications" / "review.py").review(folder)
    assert [each for each in (*found["compared"], *found["holm"]) if not each["agrees"]] == []
    assert len(found["compared"]) > 100
    assert found == json.loads((folder / "review.json").read_text(encoding="utf-8"))


def test_the_errata_say_what_the_published_rows_say(repository: Path, folder: Path) -> None:
    errata = load_program(repository / "publications" / "errata.py")
    assert (folder / "errata-tables.md").read_text(encoding="utf-8") == errata.tables(folder)
    heads, neurons = errata.runs_of(folder)
    text = " ".join((folder / "errata.md").read_text(encoding="utf-8").split())
    called = [each for each in errata.contrasts(heads) if each.tier != "tier3"]
    arithmetic = [each for each in called if each.verdict == "Harm"]
    assert len(arithmetic) == 15
    assert sum(each.holds for each in arithmetic) == 3
    assert sum(each.above for each in arithmetic) == 11
    assert "than each of its three pairs in 3 (" in text
    assert "In 11, one random pair" in text
    lead = arithmetic[0].by_set
    assert [errata.points(delta) for _, delta, *_ in lead] == ["+2.3", "−61.7", "−84.5"]
    for each in errata.ablations(neurons):
        if each.verdict == "Harm":
            assert f"| {' | '.join(map(errata.span, each.changes))} |" in text
    nulls = [each for each in called if each.verdict == "Null"]
    assert [(each.model, each.tier) for each in nulls] == [("abacus-planted", "tier2"), ("abacus-planted", "tier4")]


def test_nothing_of_a_superseded_publication_is_shown_as_a_finding(repository: Path, folder: Path) -> None:
    readme = (repository / "README.md").read_text(encoding="utf-8")
    assert "superseded" in readme
    assert "scenario **" not in readme
    for page in (folder / "README.md", folder / "errata.md", folder / "paper" / "README.md"):
        assert "superseded" in page.read_text(encoding="utf-8").lower()[:300], page


def test_every_loud_set_of_the_published_study_stands_in_the_table(folder: Path) -> None:
    manifest = read_manifest(next(folder.glob("*_induction-arithmetic_*/")))
    sets = loud_sets(manifest)
    assert sum(len(each.by_factor) for each in sets if each.stage == "discovery") == 75
    assert sum(len(each.by_factor) for each in sets if each.stage == "transfer") == 24


def test_a_sentence_that_is_worded_differently_today_is_traced_by_its_numbers(folder: Path, tmp_path: Path) -> None:
    for number in (722, 723, 726, 731):
        traced = trace(tmp_path, folder / "paper", number)
        assert traced.claim.text != traced.again.text
        assert traced.reworded
    other = traced._replace(again=traced.again._replace(text="abacus-llama, tier3: −77.0 points"))
    assert not other.agrees


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
