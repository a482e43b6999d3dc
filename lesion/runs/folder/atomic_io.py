"""Writing so that a file is either whole or not there: a temporary name, fsync, rename, fsync of the folder."""

import errno
import os
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from lesion.errors import LesionError

if TYPE_CHECKING:
    import polars as pl


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


def write_table(path: Path, table: "pl.DataFrame") -> None:
    """Write a whole Parquet file (zstd) or none of it."""
    buffer = BytesIO()
    table.write_parquet(buffer, compression="zstd", statistics=False)
    write_bytes(path, buffer.getvalue())


STALE_SECONDS = 3600.0
"""A half-filled folder of this age belongs to a process that is gone."""


def whole_folder(parent: Path, name: str, fill: Callable[[Path, str], object]) -> Path:
    """Make a folder that nobody else has and that is never seen half filled: filled under `.new/`, then renamed.

    Args:
        parent: where it is made.
        name: its name, or `name-2`, `name-3` … when that is taken.
        fill: writes the files, given the folder and the name that it will have; called again where the name was taken
            in between.

    Raises:
        DiskError: when it cannot be written; nothing is left of it.
    """
    place = parent / ".new"
    temporary = place / f"{name}.{os.getpid()}.{threading.get_ident()}"
    try:
        _sweep(place)
        temporary.mkdir(parents=True)
        number = 1
        while True:
            final = name if number == 1 else f"{name}-{number}"
            if not (parent / final).exists():
                fill(temporary, final)
                _sync_folder(temporary)
                with suppress(FileExistsError):
                    _rename(temporary, parent / final)
                    return parent / final
            number += 1
    except OSError as error:
        raise DiskError(
            f"{parent / name}: cannot be made ({error.strerror}); choose another place with --home"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        with suppress(OSError):  # others may be filling theirs
            place.rmdir()


def _rename(temporary: Path, final: Path) -> None:
    """Give a folder its name, unless another process took that just now."""
    try:
        temporary.rename(final)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise FileExistsError from error
        raise
    _sync_folder(final.parent)


def _sweep(place: Path) -> None:
    """Take away what killed processes left half filled."""
    for left in place.glob("*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(left, ignore_errors=True)


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
