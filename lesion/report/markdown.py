r"""Markdown from templates: whatever a template prints is escaped, so that only the template itself holds markup.

>>> templates().from_string("*{{ text }}*").render(text="a *b* <i>")
'*a \\*b\\* &lt;i&gt;*'
"""

import re
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from markupsafe import Markup


def escape(text: str) -> str:
    r"""Text that Markdown takes for text; line breaks become spaces.

    >>> escape("a *b* <i>")
    'a \\*b\\* &lt;i&gt;'
    """
    flat = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{letter}" if letter in "\\`*_[]#|!~" else letter for letter in flat)


def templates() -> Environment:
    """The package's Markdown templates; the filter `safe` prints a text as it is."""
    return Environment(
        loader=PackageLoader("lesion.report"),
        autoescape=True,
        finalize=_escaped,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def paragraphs(text: str) -> str:
    """The text with one blank line where a template left several."""
    return re.sub(r"\n{3,}", "\n\n", text)


@pass_context
def _escaped(_: object, value: Any) -> Any:
    """What a template prints; `pass_context` keeps Jinja from printing constants without it."""
    return Markup(escape(value)) if type(value) is str else value
