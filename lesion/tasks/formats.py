"""How arithmetic is written: one format is one way to put numbers and signs into text.

`compact` is what the embedded models read; the others are for checkpoints whose vocabulary has spaces. In
`reversed_digits` the answer alone is written from the lowest digit up (Lee et al. 2023, "Teaching arithmetic to small
transformers").
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from lesion.tasks.alphabet import END
from lesion.tasks.config import Format
from lesion.tasks.task import Segment

_ONES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_TEENS = ("thir", "four", "fif", "six", "seven", "eigh", "nine")
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SCALES = ((10**12, "trillion"), (10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))


def in_words(number: int) -> str:
    """A number in English words.

    >>> in_words(-1342)
    'minus one thousand three hundred forty-two'
    """
    if number < 0:
        return "minus " + in_words(-number)
    for scale, name in _SCALES:
        if number >= scale:
            rest = f" {in_words(number % scale)}" if number % scale else ""
            return f"{in_words(number // scale)} {name}{rest}"
    if number < 20:
        return _ONES[number] if number < 13 else _TEENS[number - 13] + "teen"
    return _TENS[number // 10 - 2] + (f"-{_ONES[number % 10]}" if number % 10 else "")


def _reversed(number: int) -> str:
    return ("-" if number < 0 else "") + str(abs(number))[::-1]


def _spread(number: int) -> str:
    return " ".join(str(number))


class Style(NamedTuple):
    """One way to write a problem."""

    operand: Callable[[int], str]
    answer: Callable[[int], str]
    gap: str
    """Stands before every part but the first, and before the answer."""
    end: str
    """Ends an answer."""
    signs: Mapping[str, str] = {}
    """Signs that are written otherwise than they are."""


STYLES: dict[Format, Style] = {
    "compact": Style(str, str, "", END),
    "spaced": Style(str, str, " ", "\n"),
    "spaced_digits": Style(_spread, _spread, " ", "\n"),
    "reversed_digits": Style(str, _reversed, "", END),
    "words": Style(in_words, in_words, " ", "\n", {"+": "plus", "-": "minus", "*": "times", "=": "equals"}),
}


def question(parts: Sequence[tuple[int | str, str]], style: Style) -> tuple[Segment, ...]:
    """The segments of a problem from its (number or sign, role) parts."""
    texts = [style.operand(part) if isinstance(part, int) else style.signs.get(part, part) for part, _ in parts]
    roles = [role for _, role in parts]
    return tuple(
        Segment((style.gap if place else "") + text, role)
        for place, (text, role) in enumerate(zip(texts, roles, strict=True))
    )


def reply(value: int, style: Style) -> str:
    """The answer's text, with the gap before it and the end mark after it."""
    return style.gap + style.answer(value) + style.end
