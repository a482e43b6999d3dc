"""JSON from outside: no deeper than it need be, no key twice, and one sentence for everything else."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from lesion.errors import InputError
from lesion.outside.files import opened, read_text

D = TypeVar("D", bound=BaseModel)
MOST_DEPTH = 100
MOST_LINE_BYTES = 1_000_000


def parse_json(text: str, name: str, *, finite: bool = False) -> Any:
    """The value of a JSON text.

    Args:
        text: what was read.
        name: what messages call it.
        finite: refuse NaN and infinities.

    Raises:
        InputError: when it is no JSON, nested more than `MOST_DEPTH` deep, or gives a key twice.
    """
    try:
        value = from_json(text, allow_inf_nan=not finite)
        json.loads(text, object_pairs_hook=_single)
    except _Doubled as doubled:
        raise InputError(f"{name}: gives the key '{str(doubled)[:60]}' twice; keep one of them") from None
    except (ValueError, RecursionError) as error:
        said = str(error).splitlines()[0][:200]
        if "recursion" in said.lower():
            said = f"it is nested more than {MOST_DEPTH} deep"
        raise InputError(f"{name}: is not JSON that can be read: {said}; mend or replace the file") from error
    if not shallow(value):
        raise InputError(f"{name}: is nested more than {MOST_DEPTH} deep; mend or replace the file")
    return value


def read_json(path: Path, most: int, *, finite: bool = False) -> Any:
    """The value of a JSON file of at most `most` bytes.

    Raises:
        InputError: as `read_text` and `parse_json`.
    """
    return parse_json(read_text(path, most), str(path), finite=finite)


def read_object(path: Path, most: int, *, finite: bool = False) -> dict[str, Any]:
    """The JSON object of a file of at most `most` bytes.

    Raises:
        InputError: as `read_json`; also when it holds another value.
    """
    value = read_json(path, most, finite=finite)
    if not isinstance(value, dict):
        raise InputError(f"{path}: must hold a JSON object, not {kind_of(value)}; mend or replace the file")
    return value  # pyright: ignore[reportUnknownVariableType]


def read_document(path: Path, shape: type[D], most: int) -> D:
    """A document of ours, of at most `most` bytes.

    Raises:
        InputError: as `read_json`; also when it is another kind of document.
    """
    text = read_text(path, most)
    parse_json(text, str(path))
    try:
        return shape.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole file"
        raise InputError(
            f"{path}: is not a {shape.__name__.lower()}: {where}: {first['msg'][:200]}; mend or replace the file"
        ) from error


def read_lines(path: Path, most: int) -> Iterator[tuple[Any, int]]:
    """The JSON value of every line that is not blank, with the line's number from 1.

    Raises:
        InputError: for a line that is no JSON, is not UTF-8, or is longer than `MOST_LINE_BYTES`.
    """
    with opened(path, most) as stream:
        number = 0
        while line := stream.readline(MOST_LINE_BYTES + 1):
            number += 1
            where = f"{path}, line {number}"
            if len(line) > MOST_LINE_BYTES:
                raise InputError(f"{where}: is longer than {MOST_LINE_BYTES:,} bytes; write one short object a line")
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise InputError(
                    f"{where}: byte 0x{line[error.start]:02x} is not UTF-8; save the file as UTF-8 text"
                ) from error
            if text.strip():
                yield parse_json(text, where), number


def kind_of(value: object) -> str:
    """What a JSON value is, for a message."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    for kind, word in ((dict, "an object"), (list, "a list"), (str, "a text")):
        if isinstance(value, kind):
            return word
    return "a number"


def shallow(value: object, depth: int = MOST_DEPTH) -> bool:
    """Whether a value is nested at most so deep."""
    level = [value]
    for _ in range(depth + 1):
        inside: list[object] = []
        for each in level:
            if isinstance(each, dict):
                inside += [one for one in each.values() if isinstance(one, dict | list)]  # pyright: ignore
            elif isinstance(each, list):
                inside += [one for one in each if isinstance(one, dict | list)]  # pyright: ignore
        if not inside:
            return True
        level = inside
    return False


class _Doubled(Exception):
    """A key that an object gives twice."""


def _single(pairs: list[tuple[str, object]]) -> None:
    if len(pairs) != len(found := dict(pairs)):
        seen: set[str] = set()
        raise _Doubled(next(key for key, _ in pairs if key in seen or seen.add(key)))  # pyright: ignore
    del found
