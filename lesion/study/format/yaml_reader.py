"""A YAML text as plain values, with the line of every value; the only reader of YAML in the laboratory.

It reads the small, unsurprising part of YAML 1.2: mappings with plain keys, lists, and scalars in which `no` is a word,
`1e3` is a number and `010` is not. Refused, always with the line: duplicate keys, anchors and aliases (bombs are made
of them), tags, NaN and infinity, tabs as indentation, several documents, and whatever exceeds the limits below.
PyYAML's events are used, never its constructors, so no text can make an object.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple, NoReturn, TypeAlias, cast

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from lesion.errors import InputError

MOST_BYTES = 1_000_000
MOST_VALUES = 50_000
MOST_DEPTH = 50
MOST_DIGITS = 40

Path = tuple[str | int, ...]
Value: TypeAlias = "str | int | float | bool | list[Value] | dict[str, Value] | None"

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[-+]?\.?(nan|inf|infinity)", re.ASCII | re.IGNORECASE)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")


class Source(NamedTuple):
    """What a YAML text says, and where it says it."""

    value: Value
    """Dictionaries, lists, text, numbers, booleans and None."""
    lines: Mapping[Path, int]
    """Line (from 1) of every value by its path; a mapping's entry has its key's line."""

    def line(self, path: Path) -> int:
        """The line of `path`, or of the nearest thing that contains it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read_source(data: bytes, name: str) -> Source:
    """Read one YAML document; `name` is what error messages call the file.

    Raises:
        InputError: for everything that is not one small, plain YAML document; the message names file and line.
    """
    return _Reader(name, _text(data, name)).read()


def refuse(name: str, line: int, message: str) -> NoReturn:
    """Raise the one kind of complaint about a file: `NAME, line N: MESSAGE`."""
    raise InputError(f"{name}, line {line}: {' '.join(message.splitlines())}")


def _text(data: bytes, name: str) -> str:
    if len(data) > MOST_BYTES:
        line = data[:MOST_BYTES].count(b"\n") + 1
        refuse(name, line, f"the file goes on after {MOST_BYTES:,} bytes, which is the most that is read")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        refuse(name, line, f"byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8 text")
    if match := _CONTROL.search(text):
        line = text.count("\n", 0, match.start()) + 1
        refuse(name, line, f"found the control character U+{ord(match[0]):04X}; this is not a text file")
    return text


class _Reader:
    """Builds values from PyYAML's events, one at a time, and so stops at the first excess."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.line: int = 1
        self.lines: dict[Path, int] = {}
        self.values = 0
        self.events = self._events(text)

    def read(self) -> Source:
        event = next(event for event in self.events if not isinstance(event, yaml.StreamStartEvent))
        if not isinstance(event, DocumentStartEvent):
            refuse(self.name, 1, "the file is empty")
        value = self._value(next(self.events), (), 0)
        for event in self.events:
            if isinstance(event, DocumentStartEvent):
                refuse(self.name, self.line, "a second document begins with '---'; write one document in a file")
        return Source(value, self.lines)

    def _events(self, text: str) -> Iterator[Event]:
        try:
            events = cast("Iterator[Event]", yaml.parse(text, Loader=yaml.SafeLoader))  # pyright: ignore[reportUnknownMemberType]
            for event in events:
                self.line = int(event.start_mark.line) + 1  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
                yield event
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            refuse(self.name, mark.line + 1 if mark else self.line, f"this is not YAML: {_reason(error)}")
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            refuse(self.name, self.line, f"this is not YAML, here or soon after: {str(error)[:200]}")

    def _value(self, event: Event, path: Path, depth: int) -> Value:
        self._admit(event, depth)
        self.lines.setdefault(path, self.line)
        if isinstance(event, SequenceStartEvent):
            return self._list(path, depth)
        if isinstance(event, MappingStartEvent):
            return self._mapping(path, depth)
        assert isinstance(event, ScalarEvent)  # the only kind left: _admit refused aliases
        return self._scalar(event)

    def _admit(self, event: Event, depth: int) -> None:
        self.values += 1
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None) is not None:
            refuse(
                self.name,
                self.line,
                "anchors (&name) and aliases (*name) are not read; write the value out, or quote it",
            )
        if (tag := getattr(event, "tag", None)) is not None:
            refuse(
                self.name,
                self.line,
                f"found the tag '{tag[:60]}'; tags are not read, write the plain value, or quote it",
            )
        if depth > MOST_DEPTH:
            refuse(self.name, self.line, f"values are nested more than {MOST_DEPTH} deep")
        if self.values > MOST_VALUES:
            refuse(self.name, self.line, f"the file holds more than {MOST_VALUES:,} values")

    def _list(self, path: Path, depth: int) -> list[Value]:
        items: list[Value] = []
        while not isinstance(event := next(self.events), SequenceEndEvent):
            items.append(self._value(event, (*path, len(items)), depth + 1))
        return items

    def _mapping(self, path: Path, depth: int) -> dict[str, Value]:
        entries: dict[str, Value] = {}
        while not isinstance(event := next(self.events), MappingEndEvent):
            self._admit(event, depth + 1)
            if not isinstance(event, ScalarEvent):
                refuse(self.name, self.line, "a key must be a plain word, found a list or a mapping")
            key = event.value
            if key in entries:
                first = self.lines[(*path, key)]
                refuse(self.name, self.line, f"the key '{key[:60]}' is given twice; it is already on line {first}")
            self._refuse_escapes(key)
            self.lines[(*path, key)] = self.line
            entries[key] = self._value(next(self.events), (*path, key), depth + 1)
        return entries

    def _scalar(self, event: ScalarEvent) -> str | int | float | bool | None:
        text = event.value
        self._refuse_escapes(text)
        if not event.implicit[0]:  # quoted, or a block of text
            return text
        if text in _NULL:
            return None
        if text in _BOOL:
            return _BOOL[text]
        return self._number(text)

    def _number(self, text: str) -> str | int | float:
        if _NOT_FINITE.fullmatch(text):
            refuse(self.name, self.line, f"found '{text}'; NaN and infinity are not allowed, write a finite number")
        if not _FLOAT.fullmatch(text):
            return text
        if len(text) > MOST_DIGITS:
            refuse(self.name, self.line, f"the number {text[:20]}… has more than {MOST_DIGITS} characters")
        if _INT.fullmatch(text):
            return int(text)
        if not math.isfinite(number := float(text)):
            refuse(self.name, self.line, f"the number {text} is too large; write a finite number")
        return number

    def _refuse_escapes(self, text: str) -> None:
        if match := _CONTROL.search(text):
            refuse(self.name, self.line, f"an escape gives the control character U+{ord(match[0]):04X}; leave it out")


def _reason(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or error.context or "it cannot be read"
    if "'\\t'" in problem:
        return "found a tab; indent with spaces"
    if "mapping values are not allowed" in problem:
        return "a second ':' on this line, or wrong indentation; quote a text that holds ': '"
    if "%YAML" in problem or "directive" in problem:
        return f"{problem[:200]}; leave directives out"
    context = f"{error.context}, " if error.context and error.problem else ""
    return f"{context}{problem[:200]}"
