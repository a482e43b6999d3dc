"""Which Python files of a user's own tasks may run: only those whose hash the user has named.

A study, a manifest or a run folder can come from a stranger, and may name a Python file. Naming it is not enough: its
code runs only after the user has said so for the file's SHA-256, by typing the file's name on the command line, by
`--trust-code HASH`, by `LESION_TRUST`, or by calling `trust`. Worker processes inherit it through the environment.
"""

import os
import re

from lesion.errors import InputError

VARIABLE = "LESION_TRUST"
"""Hashes with commas between them."""
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


def _named() -> list[str]:
    return [each for each in os.environ.get(VARIABLE, "").split(",") if _HASH.fullmatch(each)]
