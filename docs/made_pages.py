"""Pages of the site that are made while it is built, so that they are always current.

Every command's arguments and options, from typer itself; CONTRIBUTING.md and CHANGELOG.md unchanged.
"""

from pathlib import Path

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.cli import get_docs_for_click

from lesion.cli import app

ROOT = Path(__file__).parents[1]
OPENING = """# Commands

Written from the program itself. With `--json` a command prints one document on standard output and nothing else.
[Exit codes](../exit-codes.md) says how commands end.

- A model is `zoo:NAME`, `pretrained:NAME`, `tiny:FAMILY`, a folder or `org/name@COMMIT`.
- A run is a folder under `runs/`, its `manifest.json` or the beginning of its name.

`lesion --install-completion` makes TAB complete commands, options, models, tasks, studies and runs in bash, zsh, fish
and PowerShell. Bash splits words at colons: put `COMP_WORDBREAKS=${COMP_WORDBREAKS//:}` into `~/.bashrc` to complete
`zoo:NAME`.
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
