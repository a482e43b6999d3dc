r"""Reading answers: exact match, and numbers in free text.

A declared answer wins: what follows the last `####`, else what stands in the last `\boxed{}`, else the number right
after the last `answer is`; else the last number of the text counts, as graders of GSM8K do. A next `Question:` or `Q:`
that a model goes on to write ends the text. What cannot be read, or read in two ways as `1,23`, is `Unparsed`, a value
of its own: it counts as wrong, and it is counted apart.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, NamedTuple


class Unparsed(NamedTuple):
    """No number could be read, and why."""

    why: Literal["no_number", "no_number_declared", "ambiguous_number"]


@dataclass(frozen=True)
class Reading:
    """How one arm's answers to the items of a cell could be read."""

    items: int
    readable: int
    """Texts in which there is a number; the parse rate is their share."""
    exact: int
    """Exact matches: what the verdict counts."""
    number: int
    """Texts whose number is the right one, however it is written."""

    @property
    def rate(self) -> float:
        """The parse rate: share of readable texts."""
        return self.readable / self.items


Mark = Literal["right", "wrong", "unparsed"]

_NUMBER = re.compile(
    r"""
    (?P<sign> (?<![\w.)\]}]) - [$€£]? | [$€£] - )?    # -5, -$5, $-5; but 10-5 holds no -5
    (?: (?P<digits> \d{1,3} (?:,\d{3})+ (?![\d]|,\d|\.\d+\.\d) (?:\.\d+)?    # 1,234.5
                  | \d{1,3} (?:\.\d{3}){2,} (?![\d]|[.,]\d)                   # 1.234.567
                  | \d{1,3} (?:[ ]\d{3}){2,} (?![\d]|[.,]\d)                   # 1 234 567
                  | \d{1,3} (?:[ ]\d{3})*[ ]000 (?![\d]|[.,]\d) )              # 70 000
      | (?P<list> \d{1,2} (?:,\d{1,2}){2,} (?![\d]|[.,]\d) )                  # 1,2,3: several numbers
      | (?P<doubtful> \d+ (?:,\d+)+ (?:\.\d+)* | \d+ (?:\.\d+){2,} )          # 1,23 and 1.2.3: read in two ways
      | (?P<plain> \d+ (?:\.\d+)? | \.\d+ ) )                                # 1234.5 or .5
    """,
    re.VERBOSE,
)
_FRACTION = re.compile(r"(?P<sign>-?)\s*(?:\\[dt]?frac\s*\{(\d+)\}\s*\{(\d+)\}|(?<![\d,.])(\d+)\s*/\s*(\d+)(?![\d,.]))")
_SPELLINGS = (*((dash, "-") for dash in "−–‒‑﹣－"), ("{,}", ","), ("\\!", ""), ("\\$", "$"), ("\\,", ","), ("**", ""))
_ANSWER = re.compile(r"\banswer\b\s*(?:is|=|:)\s*(?=[^\w\n]*\d)", re.IGNORECASE)
"""Where a text declares its answer in words, with the number right behind."""
_SENTENCE = re.compile(r"[.;!?](?=\s|$)|\n")
_NEXT = re.compile(r"\n\s*(?:Question|Q)\s*:")
_THIN_SPACE = re.compile(r"(?<=\d)[\u00a0\u2009\u202f](?=\d{3}(?!\d))")

_SPACED = re.compile(r"(\D*\d{1,3})((?: \d{3})+\D*)")
"""A declared answer all of whose digits stand in groups, `70 000 dollars`; elsewhere a space parts two numbers."""


def is_exact(produced: Sequence[int], answer: Sequence[int]) -> bool:
    """Whether the first produced tokens are the answer's, end mark included."""
    return len(answer) > 0 and tuple(produced[: len(answer)]) == tuple(answer)


def extract(text: str) -> Fraction | Unparsed:
    """The number that a free text gives as its answer; units, `$`, `%` and thousands separators are read over.

    >>> extract("so 3 boxes cost $1,234.50 in all."), extract("#### -7 degrees"), extract("nothing")
    (Fraction(2469, 2), Fraction(-7, 1), Unparsed(why='no_number'))
    """
    for spelling, plain in _SPELLINGS:
        text = text.replace(spelling, plain)
    text = _own(_THIN_SPACE.sub("", text))
    declared = _declared(text)
    if declared is None:
        found = _found(text)
        return _read(found[-1]) if found else Unparsed("no_number")
    declared = declared.rpartition("=")[2]
    if grouped := _SPACED.fullmatch(declared):
        declared = grouped[1] + re.sub(r" (?=\d)", "", grouped[2])
    fraction = _FRACTION.search(declared)
    if fraction and int(fraction[3] or fraction[5]):
        return Fraction(int(fraction[2] or fraction[4]), int(fraction[3] or fraction[5])) * (-1 if fraction[1] else 1)
    found = _found(declared)
    return _read(found[0]) if found else Unparsed("no_number_declared")


def plain(text: str, written: str) -> str:
    """A text whose numbers are read in the usual way: digits joined that a task writes apart, or turned round.

    >>> plain("4 2 1;", "spaced_digits"), plain("-124", "reversed_digits")
    ('421;', '-421')
    """
    if written == "spaced_digits":
        return re.sub(r"(?<=[\d-]) (?=\d)", "", text)
    return re.sub(r"\d+", lambda digits: digits[0][::-1], text) if written == "reversed_digits" else text


def numbers(text: str) -> list[Fraction]:
    """All numbers of a text in order, without those that can be read in two ways."""
    return [number for number in _found(text) if number is not None]


def _found(text: str) -> list[Fraction | None]:
    """All numbers of a text in order; none for one that can be read in two ways."""
    found: list[Fraction | None] = []
    for match in _NUMBER.finditer(text):
        sign = -1 if match["sign"] else 1
        if match["list"]:
            first, *rest = match["list"].split(",")
            found += [sign * Fraction(first), *map(Fraction, rest)]
        else:
            found.append(None if match["doubtful"] else sign * _value(match["digits"], match["plain"]))
    return found


def _read(number: Fraction | None) -> Fraction | Unparsed:
    return Unparsed("ambiguous_number") if number is None else number


def _value(grouped: str | None, plain: str | None) -> Fraction:
    """A number's value, from digits in groups of three or without groups."""
    if grouped is None:
        return Fraction(plain or "")
    whole = re.sub("[ ,]", "", grouped)
    return Fraction(whole.replace(".", "") if whole.count(".") > 1 else whole)


def grade(text: str, reference: str) -> Mark:
    """Whether a free text gives the same number as a reference, itself a number or a solution that ends with one.

    Raises:
        ValueError: when the reference holds no number.
    """
    wanted, given = extract(reference), extract(text)
    if isinstance(wanted, Unparsed):
        raise ValueError(f"the reference holds no number: {reference[-80:]!r}")
    if isinstance(given, Unparsed):
        return "unparsed"
    return "right" if given == wanted else "wrong"


def _own(text: str) -> str:
    """The text up to a next question that the model went on to ask itself."""
    answered, *_ = _NEXT.split(text, maxsplit=1)
    return answered if re.search(r"\d|####|boxed", answered) else text


def _declared(text: str) -> str | None:
    """What stands after the last `####` on its line, in the last box, or after the last `answer is`."""
    _, mark, rest = text.rpartition("####")
    if mark:
        return rest.strip().partition("\n")[0]
    _, mark, rest = text.rpartition("\\boxed{")
    if mark:
        return _balanced(rest)
    said = list(_ANSWER.finditer(text))
    return _SENTENCE.split(text[said[-1].end() :], maxsplit=1)[0] if said else None


def _balanced(text: str) -> str:
    """The text up to the bracket that closes it."""
    depth = 1
    for place, sign in enumerate(text):
        depth += (sign == "{") - (sign == "}")
        if depth == 0:
            return text[:place]
    return text
