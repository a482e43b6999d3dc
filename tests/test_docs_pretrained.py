"""docs/pretrained.md is what docs/pretrained.jsonl says, and the benchmarks' page keeps one section on diagnostics."""

import json
from pathlib import Path

import pytest

from tests.program import load_program

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.smoke
def test_the_page_of_pretrained_models_is_what_was_measured():
    program = load_program(ROOT / "docs" / "pretrained.py")
    rows = program.rows()
    assert (ROOT / "docs" / "pretrained.md").read_text(encoding="utf-8") == program.page(rows)
    opened = [row for row in rows if row["what"] == "opening"]
    assert {row["model"] for row in opened} == set(program.MODELS)
    assert all(row["first"]["choice"]["engine"] == "fast" for row in opened)
    assert all(row["first"]["choice"]["batched_error"] <= row["first"]["choice"]["limit"] for row in opened)


@pytest.mark.smoke
@pytest.mark.parametrize("name", ["diagnostics", "real", "shares"])
def test_a_section_of_the_benchmarks_is_put_in_once_and_replaced(name: str):
    results = load_program(ROOT / "benchmarks" / "results.py")
    begins, ends = results.SECTIONS[name]
    page = f"# Benchmarks\n\n{results.READING}\n\n- words\n"
    once = results.with_section(page, name, "## Section\n\nratio 1\n")
    assert once.index("ratio 1") < once.index(results.READING)
    twice = results.with_section(once, name, "## Section\n\nratio 2\n")
    assert results.section_of(twice, name) == f"{begins}\n## Section\n\nratio 2\n{ends}\n"
    assert twice.replace("ratio 2", "ratio 1") == once
    assert results.section_of(page, name) == ""


def test_the_shares_of_the_floor_on_the_page_are_those_that_were_measured(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    program, results = (load_program(ROOT / "benchmarks" / f"{name}.py") for name in ("shares", "results"))
    found = json.loads(program.FILE.read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    begins, ends = results.SECTIONS["shares"]
    assert results.section_of(page, "shares") == f"{begins}\n{program.section(found)}{ends}\n"
    for row in (row for each in found.values() for row in each["rows"]):
        assert 0 < row["share"] < 1
        assert row["apart"] < 1e-3
        assert row["saved"] > row["saved_late"] > 1
