"""The table of docs/interchange.md is what the code writes, and the blocks of the page run."""

import re
from pathlib import Path

from lesion.interventions.other_tools.names import Tool, name_site, tools_for
from lesion.interventions.site import parse_site

PAGE = Path(__file__).parents[1] / "docs" / "interchange.md"
TEXT = PAGE.read_text(encoding="utf-8")
COLUMNS: tuple[Tool, ...] = ("transformer-lens", "nnsight", "pyvene", "eap-ig", "auto-circuit")


def test_every_block_of_the_page_runs_from_top_to_bottom():
    blocks = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    names: dict[str, object] = {}
    for block in blocks:
        assert "assert" in block
        exec(compile(block, str(PAGE), "exec"), names)  # the page is ours


def test_the_table_says_of_every_site_and_tool_what_is_written_or_nothing():
    rows = re.findall(r"^\| (`L\d.*) \|$", TEXT, re.MULTILINE)
    assert len(rows) == 11
    for row in rows:
        first, *cells = (re.findall(r"`([^`]*)`", cell) for cell in row.split(" |"))
        site = parse_site(first[0])
        for tool, cell in zip(COLUMNS, cells, strict=True):
            assert bool(cell) == (tool in tools_for(site)), (row, tool)
            assert not cell or cell[0] in name_site(site, tool), (row, tool)
