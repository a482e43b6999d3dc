"""Writing so that a file is either whole or not there: a temporary name, fsync, rename, fsync of the folder."""

import os
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import polars as pl

from lesion.errors import LesionError


class DiskError(LesionError):
    """The disk is full, or a folder cannot be written."""


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file or none of it.

    Raises:
        DiskError: when the file cannot be written; an older file of that name is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise DiskError(f"{path}: cannot be written ({error.strerror}); nothing half-written is left") from error


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write a whole UTF-8 file or none of it."""
    write_bytes(path, text.encode())


def write_table(path: Path, table: pl.DataFrame) -> None:
    """Write a whole Parquet file (zstd) or none of it."""
    buffer = BytesIO()
    table.write_parquet(buffer, compression="zstd", statistics=False)
    write_bytes(path, buffer.getvalue())


def new_folder(parent: Path, name: str) -> Path:
    """Make a folder that nobody else has: `name`, or `name-2`, `name-3` … when it is taken.

    Raises:
        DiskError: when the parent cannot be written.
    """
    number = 1
    while True:
        path = parent / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            number += 1
        except OSError as error:
            raise DiskError(f"{path}: cannot be made ({error.strerror}); choose another place with --home") from error
        else:
            return path
