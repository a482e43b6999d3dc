"""The paper as Typst source. A number bears a small link to its line of claims.json.

Every text goes through `escaped`, so that nothing which a study, a note or a person wrote is taken for code.
"""

import re
from collections.abc import Sequence
from importlib.resources import files

from lesion.report.paper.claims.claim import Claim, place_of
from lesion.report.paper.manuscript import Grid, Picture

FLUSHED = ("references",)
"""Sections before which every figure that still floats is placed."""
_SPECIAL = re.compile(r"[\\#*_`$<>@\[\]=+/~:\-'\"{}()^&|.;]")
"""Characters that Typst may take for markup: the shorthands of dashes, dots, quotes and links, and what goes on with a
call that stands before them (a bracket gives it arguments, a semicolon ends it and is not printed)."""


def escaped(text: str) -> str:
    r"""Text that Typst takes for text, on one line.

    >>> escaped("#eval(1) *b*")
    '\\#eval\\(1\\) \\*b\\*'
    """
    flat = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    safe = _SPECIAL.sub(lambda found: "\\" + found[0], flat)
    return re.sub(r"^(\d+)", r"#[\1]", safe) if re.match(r"\d+\\?[.)]", safe) else safe


def literal(text: str) -> str:
    """A Typst string."""
    flat = "".join(c if c.isprintable() or c == "\n" else " " for c in text)
    return '"' + flat.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


class Typst:
    """The dialect."""

    def escape(self, text: str) -> str:
        """Text that is taken for text, on one line."""
        return escaped(text)

    def strong(self, text: str) -> str:
        """Bold."""
        return f"#strong[{text}]"

    def emphasis(self, text: str) -> str:
        """Italic."""
        return f"#emph[{text}]"

    def code(self, text: str) -> str:
        """Fixed width."""
        return f"#name({literal(' '.join(text.split()))})"

    def number(self, claim: Claim) -> str:
        """A claim, and its number as a small link to its line of the register."""
        return f"#claim({claim.number}, {_truth(claim.provisional)}, {literal(place_of(claim))})[{escaped(claim.text)}]"

    def cited(self, key: str, short: str) -> str:
        """A reference as a link to its work."""
        return f"(#link(<ref-{key}>)[{escaped(short)}])"

    def heading(self, level: int, text: str) -> str:
        """The title of a section."""
        return f"{'=' * level} {text}"

    def grid(self, grid: Grid, rows: Sequence[Sequence[str]], caption: str) -> str:
        """A table."""
        widths = ", ".join(f"{width:g}fr" if width else "auto" for width in grid.widths or (0.0,) * len(grid.columns))
        head = ", ".join(f"[{escaped(name)}]" for name in grid.columns)
        body = "\n".join(f"  {', '.join(f'[{cell}]' for cell in row)}," for row in rows)
        return f"#grid-of(({widths},), ({head},), small: {_truth(grid.small)}, [{caption}],\n{body}\n)"

    def picture(self, picture: Picture) -> str:
        """A figure."""
        data = f"Rows and query: {self.code(f'figures/{picture.name}.csv')}, {self.code(f'{picture.name}.sql')}."
        file = f"#picture({literal(f'figures/{picture.name}.svg')}, small: {_truth(picture.small)})"
        return f"{file}[*{escaped(picture.title)}* {escaped(picture.reading)} {data}]"

    def listing(self, text: str) -> str:
        """Text as it is."""
        return f"#listing({literal(text)})"

    def works(self, works: Sequence[tuple[str, str]]) -> str:
        """The list of references."""
        return "\n\n".join(f"#work[{escaped(text)}] <ref-{key}>" for key, text in works)

    def section(self, key: str, text: str) -> str:
        """A section."""
        if key in FLUSHED:
            return f"#place.flush()\n{text}"
        return f"#abstract[\n{text}\n]" if key in ("abstract", "prose-abstract") else text

    def paper(self, title: str, subtitle: str, badge: str, body: str, plain_title: str) -> str:
        """The source; its layout stands at the top of it, so that it compiles alone beside its figures."""
        layout = (files("lesion.report") / "templates" / "paper.typ").read_text(encoding="utf-8")
        head = f"#show: paper.with(title: {literal(plain_title)})"
        under = f"#asked[{subtitle}]\n" if subtitle else ""
        return f"{layout}\n{head}\n\n#headed[{title}]\n{under}#badge[{badge}]\n\n{body}\n"


def _truth(value: bool) -> str:
    return str(value).lower()
