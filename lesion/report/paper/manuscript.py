"""The paper as a tree of blocks: what the templates become, and what is rendered as Typst and as Markdown.

Our own words hold no digit: `words` refuses them, so that a number can only be written as a claim. Names of tiers,
models, sites, runs and hashes are set as code; what others wrote (the study's question, notes, a person's prose) is
marked as theirs.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from lesion.errors import InputError
from lesion.report.paper.claims.claim import Claim


class Words(NamedTuple):
    """Our words, without digits."""

    text: str


class Strong(NamedTuple):
    """The same, set bold."""

    text: str


class Name(NamedTuple):
    """The name of something: tier, model, site, run, hash."""

    text: str


class Task(NamedTuple):
    """The name of a task in plain type: `sums and differences up to 99`."""

    text: str


class Number(NamedTuple):
    """A claim where it is made."""

    claim: Claim


class Cited(NamedTuple):
    """A reference, by its key."""

    key: str


class Theirs(NamedTuple):
    """Words that the study or a person gave, as they are."""

    text: str
    style: str = ""
    """`strong`, `emphasis`, `code`, or nothing."""


Inline = Words | Strong | Name | Task | Number | Cited | Theirs
Line = tuple[Inline, ...]


class Heading(NamedTuple):
    """The title of a section, or of a part of it."""

    level: int
    line: Line


class Paragraph(NamedTuple):
    """Some sentences."""

    line: Line


class Bullets(NamedTuple):
    """A list."""

    lines: tuple[Line, ...]


class Grid(NamedTuple):
    """A table; `widths` are shares of the line, `auto` where 0."""

    caption: Line
    columns: tuple[str, ...]
    rows: tuple[tuple[Line, ...], ...]
    widths: tuple[float, ...] = ()
    small: bool = False


class Picture(NamedTuple):
    """A figure of figures/NAME.svg, with the files behind it."""

    name: str
    title: str
    reading: str
    small: bool = False
    """Whether it may take no more than half of a page."""


class Listing(NamedTuple):
    """Text in fixed width, as it is."""

    text: str


class Works(NamedTuple):
    """The references, in order: key and text."""

    works: tuple[tuple[str, str], ...]


Block = Heading | Paragraph | Bullets | Grid | Picture | Listing | Works

COMPUTED = ("abstract", "results", "tables")
"""Sections in which nothing but claims may hold a digit."""


class Section(NamedTuple):
    """A part of the paper."""

    key: str
    blocks: tuple[Block, ...]


class Manuscript(NamedTuple):
    """The whole."""

    title: Line
    subtitle: Line
    badge: Line
    """How far it may be believed: status, scenario, whether provisional."""
    sections: tuple[Section, ...]


def words(*parts: str | Inline | Claim | Line) -> Line:
    """A line of text; plain strings are our words.

    Raises:
        InputError: for a string that holds a digit.
    """
    line: list[Inline] = []
    for part in parts:
        if isinstance(part, Claim):
            line.append(Number(part))
        elif isinstance(part, str):
            line.append(Words(without_digits(part)))
        elif isinstance(part, Words | Strong | Name | Task | Number | Cited | Theirs):
            line.append(part)
        else:
            line += part
    return tuple(line)


def joined(lines: Sequence[Line], between: str = ", ", last: str = " and ") -> Line:
    """`a, b and c`."""
    line: list[Inline] = []
    for place, each in enumerate(lines):
        if place:
            line.append(Words(last if place == len(lines) - 1 else between))
        line += each
    return tuple(line)


def without_digits(text: str) -> str:
    """Our own words.

    Raises:
        InputError: when they hold a digit.
    """
    if found := re.search(r"\d", text):
        raise InputError(
            f"'{text[:80]}' holds the number {found[0]}: in a paper a number is a claim; make one with the register"
        )
    return text


def inlines(blocks: Iterable[Block]) -> Iterable[Inline]:
    """Every piece of text of some blocks."""
    for block in blocks:
        match block:
            case Heading(_, line) | Paragraph(line):
                yield from line
            case Bullets(lines):
                for line in lines:
                    yield from line
            case Grid(caption, _, rows):
                yield from caption
                for row in rows:
                    for line in row:
                        yield from line
            case _:
                pass


def checked(section: Section) -> Section:
    """The section, if its text holds only what it may.

    Raises:
        InputError: for others' words among computed results, or a number in the abstract that no confirmatory run gave.
    """
    for each in inlines(section.blocks):
        if section.key in COMPUTED and isinstance(each, Theirs):
            raise InputError(f"'{each.text[:60]}' is not computed from runs and cannot stand in the {section.key}")
        if section.key == "abstract" and isinstance(each, Number) and each.claim.status != "confirmatory":
            raise InputError(
                f"{each.claim.what} comes from a run that is {each.claim.status}; the abstract takes numbers from"
                " confirmatory runs alone"
            )
    return section
