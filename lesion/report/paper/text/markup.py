r"""The markup of a paper's text: paragraphs, lists, headings, **strong**, *emphasis*, `code` and marks.

A mark stands for what a template printed: a claim, a name, a table. So nothing that is printed is read as markup.
"""

import re
from collections.abc import Callable, Iterable

from markupsafe import Markup

from lesion.errors import InputError
from lesion.report.paper.manuscript import Block, Bullets, Heading, Inline, Line, Paragraph, Strong, Words

_OPEN, _CLOSE = "\ue000", "\ue001"
"""Characters of Unicode's private area that enclose the number of a mark."""
_MARK = f"{_OPEN}\\d+{_CLOSE}"
_PIECES = re.compile(rf"({_MARK}|\*\*[^*\n]+\*\*|\*[^*\n]+\*|`[^`\n{_OPEN}]+`)")
_STYLES = {"**": "strong", "*": "emphasis", "`": "code"}
Written = Callable[[str, str], Inline]
"""Makes a piece of text from a string and its style: `strong`, `emphasis`, `code`, or nothing."""


class Marks:
    """What stands behind the marks of a text."""

    def __init__(self) -> None:
        self._held: list[Line | Block] = []

    def mark(self, held: Line | Block) -> Markup:
        """A mark that stands for this."""
        self._held.append(held)
        return Markup(f"{_OPEN}{len(self._held) - 1}{_CLOSE}")

    def block(self, mark: str) -> Block | None:
        """The block that a mark stands for; nothing where it stands for words, or is no mark."""
        held = self._held[int(mark[1:-1])] if re.fullmatch(_MARK, mark) else ()
        return held if isinstance(held, Block) else None

    def line(self, mark: str) -> Line:
        """The words that a mark stands for.

        Raises:
            InputError: when it stands for a table or a figure.
        """
        held = self._held[int(mark[1:-1])]
        if isinstance(held, Block):
            raise InputError(
                f"a {type(held).__name__.lower()} cannot stand within a sentence; put blank lines around it"
            )
        return held


def without_marks(text: str) -> str:
    """Text of a person, in which nothing can be taken for a mark."""
    return text.replace(_OPEN, " ").replace(_CLOSE, " ")


def blocks(text: str, marks: Marks, written: Written) -> Iterable[Block]:
    """The blocks of a text: a blank line ends a block, a line that starts with `-` begins an item of a list.

    Args:
        text: with markup and marks.
        marks: what the marks stand for.
        written: makes a piece of text.
    """
    for part in re.split(r"\n\s*\n", text):
        lines = [" ".join(each.split()) for each in part.strip().splitlines()]
        if lines and (title := re.fullmatch("(#+) +(.+)", lines[0])):
            yield Heading(len(title[1]), line(title[2], marks, written))
            lines = lines[1:]
        if not lines or lines == [""]:
            continue
        if re.match("[-*] ", lines[0]):
            yield Bullets(tuple(line(each, marks, written) for each in _items(lines)))
        elif block := marks.block(" ".join(lines)):
            yield block
        else:
            yield Paragraph(line(" ".join(lines), marks, written))


def _items(lines: list[str]) -> list[str]:
    """The items of a list; a line that does not begin one goes on with the last."""
    items: list[str] = []
    for each in lines:
        if re.match("[-*] ", each):
            items.append(each[2:])
        else:
            items[-1] += f" {each}"
    return items


def line(text: str, marks: Marks, written: Written, style: str = "") -> Line:
    """One line of text with its styles."""
    pieces: list[Inline] = []
    for part in filter(None, _PIECES.split(text)):
        if re.fullmatch(_MARK, part):
            pieces += map(_strong, marks.line(part)) if style == "strong" else marks.line(part)
        elif around := next((each for each in _STYLES if _within(part, each)), ""):
            inner, named = part[len(around) : -len(around)], _STYLES[around]
            pieces += (written(inner, named),) if named == "code" else _merged(line(inner, marks, written, named))
        else:
            pieces.append(written(part, style))
    return tuple(pieces)


def _within(part: str, around: str) -> bool:
    return len(part) > 2 * len(around) and part.startswith(around) and part.endswith(around)


def _strong(piece: Inline) -> Inline:
    return Strong(piece.text) if isinstance(piece, Words) else piece


def _merged(pieces: Line) -> Line:
    """The same, words in bold that follow each other as one piece."""
    merged: list[Inline] = []
    for piece in pieces:
        if isinstance(piece, Strong) and merged and isinstance(merged[-1], Strong):
            merged[-1] = Strong(merged[-1].text + piece.text)
        else:
            merged.append(piece)
    return tuple(merged)
