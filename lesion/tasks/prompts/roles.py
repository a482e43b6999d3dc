"""Roles of a prompt: named character spans, cut into the segments of an item.

A span is `[start, stop]` in characters, from 0, the stop not included. The corrupted prompt needs the same roles. Where
the file does not give them, they follow from the text that both prompts share at their beginning and at their end.
"""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, cast

from lesion.errors import InputError
from lesion.tasks.task import Segment

Spans = Mapping[str, tuple[tuple[int, int], ...]]
"""Role -> its spans, in order."""
RESERVED = ("answer", "bos", "shot")
"""Roles that the program gives itself."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)


def read_spans(value: Any, text: str, where: str, column: str) -> Spans:
    """Roles as a file gives them: `{"subject": [4, 16]}`, or a list of spans for a role that stands in several places.

    Raises:
        InputError: when that is another value, a span lies outside the text or overlaps another, or holds nothing.
    """
    if not isinstance(value, dict):
        raise InputError(f'{where}: {column} must be an object such as {{"subject": [4, 16]}}')
    given = cast("dict[str, Any]", value)
    found = {name: _spans(name, spans, text, where) for name, spans in given.items()}
    ordered = sorted((span, name) for name, spans in found.items() for span in spans)
    for (one, first), (other, second) in pairwise(ordered):
        if other[0] < one[1]:
            raise InputError(f"{where}: the roles {first} {list(one)} and {second} {list(other)} overlap; part them")
    return found


def _spans(name: str, value: Any, text: str, where: str) -> tuple[tuple[int, int], ...]:
    if name in RESERVED or not _NAME.fullmatch(name):
        raise InputError(
            f"{where}: '{name[:40]}' cannot be a role; use lower-case letters, digits and _, not {', '.join(RESERVED)}"
        )
    listed = cast("list[Any]", value) if isinstance(value, list) else []
    several: list[Any] = listed if listed and all(isinstance(each, list) for each in listed) else [cast("Any", value)]
    return tuple(sorted(_span(name, span, text, where) for span in several))


def _span(name: str, value: Any, text: str, where: str) -> tuple[int, int]:
    ends = cast("list[Any]", value) if isinstance(value, list) else []
    if len(ends) != 2 or not all(type(each) is int for each in ends):
        raise InputError(f"{where}: the span of {name} must be two whole numbers [start, stop], in characters")
    start, stop = int(ends[0]), int(ends[1])
    if not 0 <= start < stop <= len(text):
        raise InputError(
            f"{where}: the span [{start}, {stop}] of {name} does not lie in the prompt, which has {len(text)} "
            "characters; count from 0, the stop is not included"
        )
    return start, stop


def moved(spans: Spans, text: str, other: str, where: str) -> Spans:
    """The same roles in the corrupted prompt, from the beginning and the end that both texts share.

    Raises:
        InputError: when a role begins or ends inside the stretch that differs.
    """
    front = next((i for i, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), min(len(text), len(other)))
    most = min(len(text), len(other)) - front
    back = next((i for i in range(most) if text[-1 - i] != other[-1 - i]), most)
    ahead = len(other) - len(text)

    def begin(at: int) -> int | None:
        return at if at <= front else at + ahead if at >= len(text) - back else None

    def end(at: int) -> int | None:
        return at + ahead if at >= len(text) - back else at if at <= front else None

    found: dict[str, tuple[tuple[int, int], ...]] = {}
    for name, each in spans.items():
        ends = [(begin(start), end(stop)) for start, stop in each]
        kept = tuple((a, b) for a, b in ends if a is not None and b is not None and a < b)
        if len(kept) < len(ends):
            raise InputError(
                f"{where}: where the role {name} stands in the corrupted prompt does not follow from the texts; give "
                'corrupted_roles such as {"' + name + '": [4, 13]}'
            )
        found[name] = kept
    return found


def segments(text: str, spans: Spans) -> tuple[Segment, ...]:
    """A text cut at its roles' spans."""
    parts: list[Segment] = []
    at = 0
    for (start, stop), name in sorted((span, name) for name, each in spans.items() for span in each):
        parts += [Segment(text[at:start], "")] if at < start else []
        parts.append(Segment(text[start:stop], name))
        at = stop
    return (*parts, Segment(text[at:], "")) if at < len(text) else tuple(parts)
