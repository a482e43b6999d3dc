"""Turns pydantic's findings about a document into sentences: where, what was found, what is allowed, nearest name."""

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from pydantic_core import ErrorDetails

from lesion.device import WORDS, refused
from lesion.errors import nearest
from lesion.study.format.error_location import Place, Schema, locate, misread
from lesion.study.format.yaml_reader import Source, Value

MOST_COMPLAINTS = 5

_EXPECTED = {
    "int_type": "a whole number is needed",
    "int_from_float": "a whole number is needed",
    "float_type": "a number is needed",
    "string_type": "text is needed",
    "bool_type": "true or false is needed",
    "tuple_type": "a list such as [a, b] is needed",
    "list_type": "a list such as [a, b] is needed",
    "dict_type": "a mapping of names to values is needed",
    "model_type": "a mapping of keys to values is needed",
    "model_attributes_type": "a mapping of keys to values is needed",
}


class Complaint(NamedTuple):
    """One sentence about one line of a file."""

    line: int
    text: str


def complaints(details: Iterable[ErrorDetails], source: Source, schema: Schema) -> list[Complaint]:
    """Pydantic's findings as sentences, the first line first, at most `MOST_COMPLAINTS` and a count of the rest."""
    details = list(details)
    leading = [detail for detail in details if not _only_follows(detail, details)]
    found = sorted((_complaint(detail, source, schema) for detail in leading), key=lambda complaint: complaint.line)
    if (more := len(found) - MOST_COMPLAINTS) > 0:
        found = [*found[:MOST_COMPLAINTS], Complaint(found[MOST_COMPLAINTS].line, f"and {more} more from here on")]
    return found


def slips(source: Source, schema: Schema) -> list[Complaint]:
    """The same about `true` and `1.0` where only a whole number is allowed, which pydantic lets pass."""
    return [
        Complaint(
            source.line(place.path), f"{place}: allowed: {', '.join(map(str, place.choices))}, as a plain whole number"
        )
        for place in misread(source.value, schema)
    ]


def described(value: Value) -> str:
    """A value as the file says it, or its kind, never more than a line."""
    match value:
        case None:
            return "nothing"
        case str():
            return f"the text {json.dumps(shorten(value), ensure_ascii=False)}"
        case dict():
            return f"a mapping (of {len(value)})"
        case list():
            return f"a list (of {len(value)})"
        case _:
            return shorten(json.dumps(value))


def shorten(text: str) -> str:
    """At most 60 characters of a text."""
    return text if len(text) <= 60 else text[:57] + "…"


def _complaint(detail: ErrorDetails, source: Source, schema: Schema) -> Complaint:
    place = locate(detail["loc"], schema)
    context = detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            text = _unknown_key(place, locate(detail["loc"][:-1], schema))
        case "missing":
            parent = locate(detail["loc"][:-1], schema)
            text = f"{parent} lacks the key '{place.path[-1]}'{place.meaning}"
        case "union_tag_not_found":
            text = f"{place} lacks the key {context['discriminator']}; allowed: {', '.join(place.tags)}"
        case "union_tag_invalid":
            tags = place.tags
            place = place._replace(path=(*place.path, str(context["discriminator"]).strip("'")))
            text = f"{place}: found '{shorten(str(context['tag']))}'; {nearest(str(context['tag']), tags)}"
        case "value_error" if isinstance(detail["input"], dict):
            place = _blamed(place, str(context["error"]), source)
            text = f"{place}: {str(context['error']).removeprefix(f'{place}: ')}"
        case _:
            text = f"{place}: found {described(detail['input'])}; {_wanted(detail, place)}"
    return Complaint(source.line(place.path), " ".join(text.splitlines()))


def _wanted(detail: ErrorDetails, place: Place) -> str:
    """What is allowed instead of a value."""
    value, context = detail["input"], detail.get("ctx", {})
    match detail["type"]:
        case "literal_error" if isinstance(value, str) and place.choices:
            return nearest(value, map(str, place.choices))
        case "literal_error":
            return f"allowed: {', '.join(map(str, place.choices)) or context['expected']}"
        case "string_pattern_mismatch":
            return _pattern(value, str(context["pattern"])) + place.meaning
        case kind if kind in _EXPECTED:
            return _EXPECTED[kind] + _hint(value)
        case _:
            return str(context["error"]) if "error" in context else detail["msg"].replace("Input should", "it must")


def _unknown_key(place: Place, parent: Place) -> str:
    key = str(place.path[-1])
    if key.lower() in WORDS:
        return refused(f"{parent}: '{key}'")
    return f"{parent}: '{shorten(key)}' is not a key that is known here; {nearest(key, parent.keys)}"


def _hint(value: Any) -> str:
    """How to write a number that was written as text or with a needless fraction."""
    if isinstance(value, float) and value.is_integer():
        return f"; write {value:.0f}"
    plain = value.strip().replace("_", "").replace(",", "") if isinstance(value, str) else ""
    if plain.removeprefix("-").replace(".", "", 1).isdecimal():
        return f"; write {plain.lstrip('0') or '0'} without quotes, leading zeros or separators"
    return ""


def _pattern(value: str, pattern: str) -> str:
    """What the pattern asks for, and the nearest spelling that it would accept."""
    lower = value.strip().lower()
    for guess in (lower, re.sub(r"[^a-z0-9_-]+", "-", lower).strip("-")):
        if re.fullmatch(pattern, guess):
            return f"did you mean '{shorten(guess)}'? it must match {pattern}"
    return f"it must match {pattern}"


def _blamed(place: Place, reason: str, source: Source) -> Place:
    """The key that a finding about a whole mapping names first and the file holds, or else the mapping."""
    for word in re.findall(r"\w+", reason):
        if (*place.path, word) in source.lines:
            return place._replace(path=(*place.path, word))
    return place


def _only_follows(detail: ErrorDetails, details: list[ErrorDetails]) -> bool:
    """Whether this finding repeats another: a default that waits for a refused key, a list whose items were refused."""
    if detail["type"] == "default_factory_not_called":
        return True
    loc = detail["loc"]
    inner = any(len(other["loc"]) > len(loc) and other["loc"][: len(loc)] == loc for other in details)
    return detail["type"] == "too_short" and inner
