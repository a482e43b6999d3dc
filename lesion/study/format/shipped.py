"""The studies that are shipped, each a start for one's own: their names, their texts, and a copy under another name.

They stand in the repository's folder `studies/`. A wheel carries that folder inside the package (pyproject.toml maps it
to `lesion/studies`), so there is one text of each and an installed package has them all.
"""

import re
from pathlib import Path

from lesion.errors import InputError, nearest

_PACKAGE = Path(__file__).resolve().parents[2]
_CARRIED = _PACKAGE / "studies"
FOLDER = _CARRIED if _CARRIED.is_dir() else _PACKAGE.parent / "studies"
"""Inside an installed package, beside the package in a checkout."""

_SCHEMA_LINE = re.compile(r"# yaml-language-server: .*\n")
_NAME_LINE = re.compile(r"^name: .*$", re.MULTILINE)


def shipped() -> list[str]:
    """Names of the shipped studies, in order."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def shipped_text(name: str) -> str:
    """The text of a shipped study.

    Raises:
        InputError: when there is none of that name.
    """
    if name not in shipped():
        raise InputError(f"there is no shipped study '{name[:60]}'; {nearest(name, shipped())}")
    return (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


def starter(name: str, called: str) -> str:
    """A shipped study under another name, as the text of a file `called`.yaml of its own.

    The line for editors goes: the schema that it names lies beside the repository's studies alone.

    >>> starter("arithmetic", "mine").splitlines()[:2]
    ["# A copy of lesion's study `arithmetic`, to be changed; its keys: `lesion schema study`.", 'name: mine']

    Raises:
        InputError: when there is none of that name.
    """
    text = _SCHEMA_LINE.sub("", shipped_text(name), count=1)
    text = _NAME_LINE.sub(lambda _: f"name: {called}", text, count=1).replace(
        f"lesion plan studies/{name}.yaml", "lesion plan"
    )
    return f"# A copy of lesion's study `{name}`, to be changed; its keys: `lesion schema study`.\n{text}"
