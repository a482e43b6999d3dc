"""What is shipped as a start for one's own: studies, with a copy under another name; examples and recipes as files.

They stand in the repository's folders `studies/`, `examples/` and `recipes/`. A wheel carries these folders inside the
package (pyproject.toml maps them), so there is one text of each and an installed package has them all.
"""

import re
from pathlib import Path

from lesion.errors import InputError, nearest

_PACKAGE = Path(__file__).resolve().parents[2]


def _folder(name: str) -> Path:
    """Inside an installed package, beside the package in a checkout."""
    carried = _PACKAGE / name
    return carried if carried.is_dir() else _PACKAGE.parent / name


FOLDER = _folder("studies")
"""Where the shipped studies are."""
ENDINGS = {"examples": (".ipynb", ".py", ".csv", ".yaml"), "recipes": (".yaml",)}
"""Folder -> endings of its files."""

_SCHEMA_LINE = re.compile(r"# yaml-language-server: .*\n")
_NAME_LINE = re.compile(r"^name: .*$", re.MULTILINE)


def shipped() -> list[str]:
    """Names of the shipped studies, in order."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def shipped_files() -> dict[str, Path]:
    """Name -> place of every shipped example and recipe."""
    every = [path for name, endings in ENDINGS.items() for path in _folder(name).iterdir() if path.suffix in endings]
    return {path.name: path for path in sorted(every)}


def shipped_text(name: str) -> str:
    """The text of a shipped study.

    Raises:
        InputError: when there is none of that name.
    """
    if name not in shipped():
        raise InputError(f"there is no shipped study '{name[:60]}'; {nearest(name, [*shipped(), *shipped_files()])}")
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
