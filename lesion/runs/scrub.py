"""What must never be recorded: the user's name, the home folder, and secrets that stand in environment variables.

Texts lose them before they are written: the home folder becomes `~`, a secret `***`, a user's name in a path `~`.
"""

import getpass
import os
import re
from pathlib import Path
from typing import Any

SECRET = re.compile(r"token|secret|passw|api_?key|credential", re.IGNORECASE)
"""Names of environment variables whose values are secrets."""
SHORTEST = 8
"""Shorter values of such variables (`1`, `true`) are no secrets."""
NOBODY = ("root", "user", "app")
"""Names that say nothing about who it was."""


def scrubbed(text: str) -> str:
    """The text without home folder, user's name in a path, and secrets; a path below here is written from here."""
    for name, value in os.environ.items():
        if SECRET.search(name) and len(value) >= SHORTEST:
            text = text.replace(value, "***")
    here, home = str(Path.cwd()), str(Path.home())
    text = re.sub(rf"(?<![\w/]){re.escape(here)}/", "", text) if here != "/" else text
    text = re.sub(rf"{re.escape(home)}(?=/|\W|$)", "~", text) if home != "/" else text
    user = _user()
    return re.sub(rf"(?<=/){re.escape(user)}(?=/|$)", "~", text) if user else text


def scrub(value: Any) -> Any:
    """A JSON value whose texts are scrubbed."""
    if isinstance(value, str):
        return scrubbed(value)
    if isinstance(value, dict):
        return {scrubbed(str(name)): scrub(each) for name, each in value.items()}  # pyright: ignore
    if isinstance(value, list | tuple):
        return [scrub(each) for each in value]  # pyright: ignore
    return value


def _user() -> str:
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        return ""
    return "" if len(name) < 3 or name in NOBODY else name
