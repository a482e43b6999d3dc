"""Which Python files of a user's own tasks may run: only those whose hash the user has named.

A study, a manifest or a run folder can come from a stranger, and may name a Python file. Naming it is not enough: its
code runs only after the user has said so for the file's SHA-256, by typing the file's name on the command line, by
`--trust-code HASH`, by `LESION_TRUST`, or by calling `trust`. Worker processes inherit it through the environment.

A folder with tasks of lm-evaluation-harness counts as code, too: its YAML files name Python functions and hold
templates that can call any. Its hash is `folder_hash`.
"""

import os
import re
from pathlib import Path

from lesion.errors import InputError
from lesion.identity import content_hash, file_hash
from lesion.outside.files import require_regular

VARIABLE = "LESION_TRUST"
"""Hashes with commas between them."""
MOST_FILE_BYTES = 100_000_000
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)


def trust(sha256: str) -> None:
    """Allow the code of a file to run in this process and in those that it starts.

    Args:
        sha256: hash of the file, 64 hexadecimal digits.

    Raises:
        InputError: when it is no such hash.
    """
    if not _HASH.fullmatch(sha256):
        raise InputError(f"'{sha256[:80]}' is no SHA-256 of a file; `sha256sum FILE` prints it, 64 hexadecimal digits")
    if not is_trusted(sha256):
        os.environ[VARIABLE] = ",".join([*_named(), sha256])


def is_trusted(sha256: str) -> bool:
    """Whether the code of the file with this hash may run."""
    return sha256 in _named()


def folder_hash(folder: Path) -> str:
    """Hash over names and bytes of all files in a folder.

    Raises:
        InputError: when something in it is neither file nor folder, or a file is larger than `MOST_FILE_BYTES`.
    """
    digests: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_dir():
            require_regular(path, MOST_FILE_BYTES)
            digests[path.relative_to(folder).as_posix()] = file_hash(path)
    return content_hash(digests)


def require_trusted_folder(folder: Path, named_by: str) -> None:
    """Make sure that the user has named the hash of a folder with code.

    Args:
        folder: the folder.
        named_by: what names it: a run, for the message.

    Raises:
        InputError: when the user has not; the message tells the hash.
    """
    if not is_trusted(digest := folder_hash(folder)):
        raise InputError(
            f"{named_by} names the folder {folder}, whose files can run any code on this machine. Nothing was run: "
            f"read them, then add `--trust-code {digest}`"
        )


def _named() -> list[str]:
    return [each for each in os.environ.get(VARIABLE, "").split(",") if _HASH.fullmatch(each)]
