"""Sections from the templates in `templates/paper/`: their text is ours, and what they print is a claim or a name.

A digit in the text of a template is refused when the template is read (`NoDigits`), a digit in a printed string when it
is printed. So a number gets into the paper as a claim alone.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, cast

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream
from markupsafe import Markup

from lesion.errors import InputError
from lesion.report.figures.figures import Figure
from lesion.report.paper.claims.claim import Claim
from lesion.report.paper.manuscript import (
    Block,
    Cited,
    Grid,
    Inline,
    Line,
    Name,
    Picture,
    Section,
    Strong,
    Theirs,
    Words,
    checked,
    joined,
    without_digits,
    words,
)
from lesion.report.paper.text.markup import Marks, blocks
from lesion.report.paper.text.markup import line as line_of


class NoDigits(Extension):
    """Refuses a template whose text holds a digit."""

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        """The tokens as they are.

        Raises:
            InputError: when one of the template's text holds a digit.
        """
        for token in stream:
            if token.type == "data":
                without_digits(token.value)
            yield token


class Table(NamedTuple):
    """A table without its caption, as `Grid` has it."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Line, ...], ...]
    widths: tuple[float, ...] = ()
    small: bool = False


class Sections:
    """Makes sections from templates, with the functions that templates call."""

    def __init__(self) -> None:
        self._marks = Marks()
        self.templates = Environment(
            loader=PackageLoader("lesion.report", "templates/paper"),
            extensions=[NoDigits],
            finalize=self._printed,
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._functions: dict[str, Any] = {
            "name": Name, "theirs": Theirs, "cite": Cited, "joined": _joined, "table": self._table,
            "picture": self._picture, "block": self._standing,
        }  # fmt: skip

    def section(self, key: str, **values: Any) -> Section:
        """The section of the template `KEY.md.jinja`.

        Raises:
            InputError: for a number that is no claim, or words of others where none may stand.
        """
        return checked(Section(key, tuple(blocks(self._text(key, values), self._marks, _ours))))

    def line(self, key: str, **values: Any) -> Line:
        """A template that is one line."""
        return self._line(self._text(key, values))

    def _text(self, key: str, values: Mapping[str, Any]) -> str:
        return self.templates.get_template(f"{key}.md.jinja").render(**self._functions, **values)

    def _line(self, text: str) -> Line:
        return line_of(" ".join(text.split()), self._marks, _ours)

    @pass_context
    def _printed(self, _: object, value: Any) -> Markup:
        """What a template prints; `pass_context` keeps Jinja from printing constants without it."""
        if isinstance(value, Markup):
            return value
        if isinstance(value, str | Claim | Inline):
            return self._marks.mark(words(value))
        if type(value) is tuple:
            return self._marks.mark(cast("Line", value))
        raise InputError(f"a template of the paper prints {value!r:.80}; it may print claims, names and words")

    def _table(self, table: Table, *, caller: Callable[[], str]) -> Markup:
        """A table; its caption is what the template says within the call. Nothing where there are no rows."""
        caption = self._line(caller())
        return self._standing(Grid(caption, *table)) if table.rows else Markup("")

    def _standing(self, block: Block) -> Markup:
        """A block on lines of its own."""
        return Markup("\n\n{}\n\n").format(self._marks.mark(block))

    def _picture(self, run: str, figure: Figure, *, of: str = "", small: bool = False) -> Markup:
        """A figure; its caption begins with the study that it is of, where there are several."""
        title = f"{of}: {figure.title}" if of else figure.title
        return self._standing(Picture(f"{run}/{figure.name}", title, figure.reading, small))


def _ours(text: str, style: str) -> Inline:
    if style == "code":
        return Name(text)
    return Strong(text) if style == "strong" else Words(text)


def _joined(lines: Iterable[Any], between: str = ", ", last: str = " and ") -> Line:
    return joined([words(each) for each in lines], between, last)
