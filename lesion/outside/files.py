"""Bytes and text of a file that somebody else may have made. Pipes, devices and endless files are refused unread."""

import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from lesion.errors import InputError

MOST_TEXT_BYTES = 1_000_000
"""Of a text that a person writes: a study, a recipe."""
_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


@contextmanager
def opened(path: Path, most: int | None = None) -> Generator[BufferedReader]:
    """A regular file, open for reading bytes; a link counts as what it leads to.

    Args:
        path: the file.
        most: bytes that it may hold; None where its reader takes it piece by piece.

    Raises:
        InputError: when there is no such file, it is a folder, pipe or device, or it is larger than allowed.
    """
    with _open(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if most is not None and size > most:
            raise InputError(f"{path}: holds {size:,} bytes; at most {most:,} are read; give a smaller file")
        yield stream


def require_regular(path: Path, most: int | None = None) -> None:
    """Make sure that another library may open this file.

    Raises:
        InputError: as `opened`.
    """
    with opened(path, most):
        pass


def read_bytes(path: Path, most: int) -> bytes:
    """All bytes of a regular file.

    Raises:
        InputError: as `opened`; also when it grows beyond `most` while it is read.
    """
    with opened(path, most) as stream:
        try:
            data = stream.read(most + 1)
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); give another file") from error
    if len(data) > most:
        raise InputError(f"{path}: holds more than {most:,} bytes, the most that is read; give a smaller file")
    return data


def read_text(path: Path, most: int) -> str:
    """The UTF-8 text of a regular file, line ends as they stand.

    Raises:
        InputError: as `read_bytes`; also when it is not UTF-8.
    """
    data = read_bytes(path, most)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8 text"
        ) from error


def _open(path: Path) -> BufferedReader:
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe without a writer must not wait
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file; check the name with `ls`") from error
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be opened ({said}); give another file") from error
    kind = stat.S_IFMT(os.fstat(number).st_mode)
    if kind != stat.S_IFREG:
        os.close(number)
        raise InputError(f"{path}: is {_KINDS.get(kind, 'a device')}; only a regular file is read")
    return os.fdopen(number, "rb")
