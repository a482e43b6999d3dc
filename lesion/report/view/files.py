"""Which files of a run folder are served, and as what: those in it that its manifest lists, nothing else."""

from pathlib import Path
from typing import NamedTuple

from lesion.errors import InputError
from lesion.outside.files import require_regular
from lesion.report.view.home import folder_in, manifest_of

TYPES = {
    ".html": "text/html", ".svg": "image/svg+xml", ".png": "image/png", ".json": "application/json",
    ".jsonl": "text/plain", ".md": "text/plain", ".yaml": "text/plain", ".csv": "text/plain", ".sql": "text/plain",
    ".txt": "text/plain",
}  # fmt: skip
"""Ending -> type that a browser may show; every other file is downloaded."""
UNFINISHED = ("study.yaml", "begun.json")
"""What is served of a run that has no manifest yet."""
LOCKED = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
PAGE = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox allow-scripts allow-downloads"
)
"""A report draws its figures with its own scripts; the sandbox keeps them from every other page of this server."""


class Served(NamedTuple):
    """A file and how it is handed out."""

    path: Path
    media: str
    policy: str
    """Content-Security-Policy."""
    download: bool


def file_of(home: Path, run: str, name: str) -> Served:
    """A file of a run.

    Args:
        home: where `runs/` is.
        run: name of the run folder.
        name: path within it, as its manifest lists it.

    Raises:
        InputError: when the run does not list such a file, or the file lies elsewhere.
        Tampered: when the manifest was changed after it was sealed.
    """
    folder = folder_in(home, run)
    finished = (folder / "manifest.json").exists()
    listed = {*manifest_of(folder).files, "manifest.json"} if finished else {*UNFINISHED}
    if name not in listed:
        raise InputError(f"{run} lists no file '{name[:100]}'; its page names those that it has")
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise InputError(f"{run}: '{name[:100]}' lies outside the run folder, so it is not shown")
    require_regular(path)
    media = TYPES.get(path.suffix, "application/octet-stream")
    return Served(path, media, PAGE if media == "text/html" else LOCKED, path.suffix not in TYPES)
