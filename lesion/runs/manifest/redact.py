"""What must never be recorded: the user's name, the home folder, and secrets that stand in environment variables.

Texts lose them before they are written: the home folder becomes `~`, a secret `***`, a user's name in a path `~`.
"""

import getpass
import os
import re
from pathlib import Path
from typing import Any

SECRET = re.compile(r"token|secret|passw|pwd|(^|_)key($|_)|apikey|credential|(^|_)auth($|_)|(^|_)dsn$", re.IGNORECASE)
"""Names of environment variables whose values are secrets."""
SHAPES = (
    re.compile(r"(?<=://)[^\s/:@\"']*:[^\s/@\"']+(?=@)"),  # user and password of an address
    re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    re.compile(r"\b(?:gh[pousr]_|github_pat_|glpat-|hf_|sk-|xox[abprs]-|pypi-|npm_)[A-Za-z0-9_-]{16,}"),
    re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),  # a JSON web token
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
)
"""What looks like a credential wherever it stands."""
ASSIGNED = re.compile(
    r"((?:secret|passw(?:or)?d|token|api_?key|access_?key|private_?key)\w*[\"']?\s*[=:]\s*[\"']?)([A-Za-z0-9+/_.-]{16,})",
    re.IGNORECASE,
)
"""A long value that is assigned to something with the name of a credential."""
SHORTEST = 8
"""Shorter values of such variables (`1`, `true`) are no secrets."""
NOBODY = ("root", "user", "app")
"""Names that say nothing about who it was."""


def without_secrets(text: str) -> str:
    """The text with `***` in the place of every credential, known by variable, by shape or by assignment."""
    for name, value in os.environ.items():
        if SECRET.search(name) and len(value) >= SHORTEST and "/" not in value[:1]:
            text = text.replace(value, "***")
    for shape in SHAPES:
        text = shape.sub("***", text)
    return ASSIGNED.sub(r"\1***", text)


def scrubbed(text: str) -> str:
    """The text without home folder, user's name in a path, and secrets; a path below here is written from here."""
    text = without_secrets(text)
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
