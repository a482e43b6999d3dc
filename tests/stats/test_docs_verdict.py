"""The numbers of docs/verdict.md are what the code gives."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "verdict.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_every_block_of_the_page_runs_from_top_to_bottom(capsys):
    names: dict[str, object] = {}
    for block in BLOCKS:
        exec(compile(block, str(PAGE), "exec"), names)  # the page is ours
    assert "detected: gained 810, lost 654 of 7320 (+2.13 points)" in capsys.readouterr().out


def test_the_page_has_blocks_and_each_asserts_or_prints_something():
    assert len(BLOCKS) >= 10
    assert all("assert" in block or "print" in block for block in BLOCKS)


@pytest.mark.parametrize("verdict", ["Improvement", "Harm", "Null", "Mixed", "Ambiguous", "Inconclusive", "Invalid"])
def test_every_verdict_is_explained(verdict):
    assert verdict in PAGE.read_text(encoding="utf-8")
