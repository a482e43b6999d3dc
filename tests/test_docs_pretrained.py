"""docs/pretrained.md is what docs/pretrained.jsonl says, and the benchmarks' page keeps one section on diagnostics."""

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
def test_a_section_on_diagnostics_is_put_in_once_and_replaced():
    results = load_program(ROOT / "benchmarks" / "results.py")
    page = f"# Benchmarks\n\n{results.READING}\n\n- words\n"
    once = results.with_diagnostics(page, "## Diagnostics\n\nratio 1\n")
    assert once.index("ratio 1") < once.index(results.READING)
    twice = results.with_diagnostics(once, "## Diagnostics\n\nratio 2\n")
    assert results.diagnostics_of(twice) == f"{results.BEGINS}\n## Diagnostics\n\nratio 2\n{results.ENDS}\n"
    assert twice.replace("ratio 2", "ratio 1") == once
    assert results.diagnostics_of(page) == ""
