"""The blocks of docs/evals.md run and assert what the page says, and its commands and options exist."""

import re
from pathlib import Path

from lesion import cli

PAGE = Path(__file__).parents[1] / "docs" / "evals.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_every_block_of_the_page_runs_from_top_to_bottom():
    blocks = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    assert sum("assert" in block for block in blocks) == len(blocks) - 1 == 2
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)  # the page is ours


def test_every_option_of_the_page_exists():
    (command,) = (command for command in cli.app.registered_commands if command.name == "eval")
    assert command.callback is not None
    known = {name.replace("_", "-") for name in command.callback.__annotations__} | {"json"}
    assert set(re.findall(r"--([a-z][a-z-]*)", TEXT.split("## Inspect AI")[0])) <= known
