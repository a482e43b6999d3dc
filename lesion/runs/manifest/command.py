"""The manifest of a command that computes and is no study: a document, and how it is read. `recording` writes it."""

import os
from pathlib import Path
from typing import Literal, NamedTuple

from lesion.errors import InputError, Tampered
from lesion.identity import Document, file_hash
from lesion.outside.documents import read_object
from lesion.outside.files import opened, read_bytes
from lesion.runs.folder.find import MOST_MANIFEST_BYTES
from lesion.runs.manifest.base import Sealed, kind_of, raw_manifest, read_sealed
from lesion.runs.manifest.command_results import Result
from lesion.runs.manifest.run import Manifest, read_manifest

MOST_TEXT_BYTES = 1_000_000
"""Of a file that was given: a larger one is known by its hash alone."""


class GivenFile(Document):
    """A file or a folder that a command was given."""

    name: str
    """Its last part."""
    sha256: str = ""
    """Of a file."""
    seal: str = ""
    """Of the manifest in a folder."""
    text: str | None = None
    """A small text, whole, so that the command can be repeated from the manifest alone."""


class Call(Sealed):
    """The record of a command that computes."""

    kind: Literal["call"] = "call"
    exit_code: int
    inputs: dict[str, GivenFile]
    """Parameter -> what was given."""
    outputs: dict[str, str]
    """Name of a file that was written elsewhere -> SHA-256."""
    result_hash: str
    """Hash of what `--json` prints, without what varies from one time to the next."""
    log: str
    """Where the log is, below the folder that holds runs/."""


Entered = Manifest | Call
"""What has a folder in runs/ and a row in the ledger."""


class Repeat(NamedTuple):
    """The call that is repeated."""

    call: Call
    result: Result | None
    """Its result, where it lies beside the manifest."""


def read_given(path: Path) -> GivenFile:
    """What a file or a folder holds, as it is recorded."""
    if path.is_dir():
        return GivenFile(name=path.resolve().name, seal=_seal(path))
    with opened(path) as stream:
        small = os.fstat(stream.fileno()).st_size <= MOST_TEXT_BYTES
    data = read_bytes(path, MOST_TEXT_BYTES) if small else b""
    try:
        text = data.decode() if data else None
    except UnicodeDecodeError:
        text = None
    return GivenFile(name=path.name, sha256=file_hash(path), text=text)


def _seal(folder: Path) -> str:
    """The seal of a folder of ours; none where its manifest is another kind, as that of a paper, or not there."""
    try:
        return str(raw_manifest(folder).get("seal", ""))
    except InputError:
        return ""


def read_call(path: Path) -> Call:
    """Read the manifest of a call and check its seal.

    Raises:
        InputError: when there is no such file, or it is not the manifest of a call.
        Tampered: when its content does not fit its seal.
    """
    return read_sealed(path, Call, "call", lambda raw: raw)


def read_entered(path: Path) -> Entered:
    """Read the manifest of a run or a call and check its seal.

    Raises:
        InputError: when there is no such file, or it is the manifest of neither.
        Tampered: when its content does not fit its seal.
    """
    return read_call(path) if kind_of(raw_manifest(path)) == "call" else read_manifest(path)


def read_repeat(path: Path) -> Repeat:
    """A call, with its result where that lies beside the manifest.

    Raises:
        InputError: when there is no such call.
        Tampered: when manifest or result were changed.
    """
    call, beside = read_call(path), (path if path.is_dir() else path.parent) / "result.json"
    if not beside.exists():
        return Repeat(call, None)
    if file_hash(beside) != call.files.get("result.json"):
        raise Tampered(f"{beside}: is not the result that was sealed")
    return Repeat(call, read_result(beside))


def read_result(path: Path) -> Result:
    """A command's result.

    Raises:
        InputError: when the file holds no JSON object.
    """
    return read_object(path, MOST_MANIFEST_BYTES)
