"""CSV from outside: a header, then rows with as many cells, each with the number of its line."""

import csv
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from lesion.errors import InputError
from lesion.outside.documents import MOST_LINE_BYTES
from lesion.outside.files import read_text


def read_csv(path: Path, most: int) -> Iterator[tuple[dict[str, str], int]]:
    """Every row that is not blank, as column -> cell, with the number of the line at which it begins.

    Cells are those of RFC 4180: quotes around a cell with commas, quotes or line breaks, and a quote inside doubled.

    Args:
        path: the file, UTF-8, with or without a byte order mark.
        most: bytes that it may hold.

    Raises:
        InputError: when the file is none, has no header or names a column twice, or a row has other cells.
    """
    text = read_text(path, most).removeprefix("\ufeff")
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise InputError(f"{path}, line {line}: holds a NUL character; save the file as UTF-8 text")
    csv.field_size_limit(MOST_LINE_BYTES)
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    header: list[str] = []
    begins = 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise InputError(f"{path}, line {begins}: is not CSV ({error}); check the quotes from here on") from error
        if cells is None:
            break
        number, begins = begins, reader.line_num + 1
        if not header:
            header = [cell.strip() for cell in cells]
            _named(path, header)
        elif not any(cell.strip() for cell in cells):
            continue
        elif len(cells) != len(header):
            raise InputError(
                f"{path}, line {number}: has {len(cells)} cells, and the header names {len(header)} columns; put "
                "quotes around a cell that holds commas"
            )
        else:
            yield dict(zip(header, cells, strict=True)), number
    if not header:
        raise InputError(f"{path}: is empty; its first line must name the columns")


def _named(path: Path, header: list[str]) -> None:
    if not any(header):
        raise InputError(f"{path}, line 1: is blank; the first line must name the columns")
    if twice := next((name for name in header if name and header.count(name) > 1), None):
        raise InputError(f"{path}, line 1: names the column '{twice[:40]}' twice; keep one of them")
