"""Pages of the site that are made while it is built, so that they cannot lag behind what they tell.

Every command's arguments and options, from typer itself; CONTRIBUTING.md and CHANGELOG.md as they stand.
"""

from pathlib import Path

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.cli import get_docs_for_click

from lesion.cli import app

ROOT = Path(__file__).parents[1]
OPENING = """# Commands

Written from the program itself. Every command takes `--json`: one document on standard output and nothing else there.
How commands end: [exit codes](../exit-codes.md). Places: `zoo:NAME`, `tiny:FAMILY`, a folder or `org/name@COMMIT` is a
model; a folder under `runs/`, its `manifest.json` or the beginning of its name is a run.

`lesion --install-completion` lets TAB complete commands, options, models, tasks, studies and runs in bash, zsh, fish
and PowerShell. Bash takes a colon for the end of a word: with `COMP_WORDBREAKS=${COMP_WORDBREAKS//:}` in `~/.bashrc` it
completes `zoo:NAME` from within, too.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the made pages to those that mkdocs found."""
    texts = {
        "reference/commands.md": commands_page(),
        "contributing.md": (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"),
        "changes.md": (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
    }
    for place, text in texts.items():
        files.append(File.generated(config, place, content=text))
    return files


def commands_page() -> str:
    """All commands as Markdown, each with its help, arguments and options."""
    group = typer.main.get_command(app)
    text = get_docs_for_click(obj=group, ctx=typer.Context(group, info_name="lesion"), name="lesion")
    return f"{OPENING}\n{text[text.index('## `lesion') :]}"
