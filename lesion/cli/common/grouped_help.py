"""The list of commands that `lesion --help` prints: in groups, in the order of use, a whole sentence each."""

from collections.abc import Mapping
from typing import Any

from typer.core import TyperGroup

GROUPS: Mapping[str, tuple[str, ...]] = {
    "Studies": ("demo", "init", "new", "plan", "power", "register", "run", "replay", "stats", "calibrate", "budget"),
    "Look into a model": (
        "doctor", "tokens", "tasks", "heads", "measure", "patch", "ablate", "steer", "attribute", "screen", "edges",
        "faithful", "pairs", "eval", "names",
    ),
    "Models": ("get", "import", "train", "bench"),
    "Records": (
        "view", "runs", "show", "diff", "query", "verify", "export", "tag", "ledger", "note", "notes", "schema",
    ),
    "Publish": ("report", "figure", "paper", "trace", "publish"),
}  # fmt: skip
"""Heading -> its commands; a test holds them against the commands that there are."""


class GroupedHelp(TyperGroup):
    """The application, whose help lists its commands by `GROUPS`."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write every group of commands."""
        for heading, names in GROUPS.items():
            rows = [
                (name, command.get_short_help_str(limit=1000))
                for name in names
                if (command := self.get_command(ctx, name)) is not None and not command.hidden
            ]
            with formatter.section(heading):
                formatter.write_dl(rows)
