"""Shows the examples in docstrings as code; griffe takes `>>>` outside an `Examples:` section for quotations."""

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"^( *)>>> (?:.*\n?)+?(?=^\s*$|\Z)", re.MULTILINE)


class Doctests(griffe.Extension):
    """Fences every example, up to the empty line that ends it."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called once for each module, class, function and attribute that was read."""
        if obj.docstring is not None:
            obj.docstring.value = EXAMPLE.sub(fenced, obj.docstring.value)


def fenced(example: re.Match[str]) -> str:
    """The example between fences, as far to the right as it stands."""
    margin = example[1]
    return f"{margin}```pycon\n{example[0].rstrip()}\n{margin}```\n"
