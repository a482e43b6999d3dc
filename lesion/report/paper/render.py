"""One renderer for the paper: it walks the manuscript, a dialect says how each part is marked up."""

from collections.abc import Sequence
from typing import Protocol

from lesion.report.paper.claims.claim import Claim
from lesion.report.paper.manuscript import (
    Block,
    Bullets,
    Cited,
    Grid,
    Heading,
    Inline,
    Line,
    Listing,
    Manuscript,
    Name,
    Number,
    Paragraph,
    Picture,
    Strong,
    Task,
    Theirs,
    Words,
    Works,
)
from lesion.report.paper.text.references import short


class Dialect(Protocol):
    """How Markdown or Typst marks up the parts of a paper.

    What it is given is escaped, except `code`, `listing`, titles of pictures and of references, and fields of a claim.
    """

    def escape(self, text: str) -> str:
        """Text that is taken for text, on one line."""
        ...

    def strong(self, text: str) -> str:
        """Bold."""
        ...

    def emphasis(self, text: str) -> str:
        """Italic."""
        ...

    def code(self, text: str) -> str:
        """Fixed width."""
        ...

    def number(self, claim: Claim) -> str:
        """A claim as a link to its entry."""
        ...

    def cited(self, key: str, short: str) -> str:
        """A reference as a link to its work."""
        ...

    def heading(self, level: int, text: str) -> str:
        """The title of a section."""
        ...

    def grid(self, grid: Grid, rows: Sequence[Sequence[str]], caption: str) -> str:
        """A table."""
        ...

    def picture(self, picture: Picture) -> str:
        """A figure."""
        ...

    def listing(self, text: str) -> str:
        """Text as it is."""
        ...

    def works(self, works: Sequence[tuple[str, str]]) -> str:
        """The list of references, each with its key."""
        ...

    def section(self, key: str, text: str) -> str:
        """A section."""
        ...

    def paper(self, title: str, subtitle: str, badge: str, body: str, plain_title: str) -> str:
        """The whole."""
        ...


def render(paper: Manuscript, dialect: Dialect) -> str:
    """The paper's text."""
    sections = [
        dialect.section(section.key, "\n\n".join(_block(block, dialect) for block in section.blocks))
        for section in paper.sections
    ]
    top = [line(each, dialect) for each in (paper.title, paper.subtitle, paper.badge)]
    plain = " ".join(getattr(part, "text", "") for part in paper.title)
    return dialect.paper(top[0], top[1], top[2], "\n\n".join(sections), plain)


def line(parts: Line, dialect: Dialect) -> str:
    """One line of text."""
    return "".join(_inline(part, dialect) for part in parts)


def _inline(part: Inline, dialect: Dialect) -> str:
    match part:
        case Number(claim):
            return dialect.number(claim)
        case Cited(key):
            return dialect.cited(key, short(key))
        case Name(text) | Theirs(text, "code"):
            return dialect.code(text)
        case Words(text) | Task(text):
            return _spaced(text, "", dialect)
        case Strong(text):
            return _spaced(text, "strong", dialect)
        case Theirs(text, style):
            return _spaced(text, style, dialect)


def _spaced(text: str, style: str, dialect: Dialect) -> str:
    """Escaped text; the spaces at its ends, which part it from its neighbours, stay outside of its markup."""
    if not text.strip():
        return " " if text else ""
    around = {"strong": dialect.strong, "emphasis": dialect.emphasis}.get(style, str)
    before, after = (" " if end.isspace() else "" for end in (text[0], text[-1]))
    return f"{before}{around(dialect.escape(text))}{after}"


def _block(block: Block, dialect: Dialect) -> str:  # noqa: PLR0911
    match block:
        case Heading(level, parts):
            return dialect.heading(level, line(parts, dialect))
        case Paragraph(parts):
            return line(parts, dialect)
        case Bullets(lines):
            return "\n".join(f"- {line(each, dialect)}" for each in lines)
        case Grid():
            rows = [[line(cell, dialect) for cell in row] for row in block.rows]
            return dialect.grid(block, rows, line(block.caption, dialect))
        case Picture():
            return dialect.picture(block)
        case Listing(text):
            return dialect.listing(text)
        case Works(works):
            return dialect.works(works)
