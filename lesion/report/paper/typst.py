"""The paper as Typst source. A number is a link to its entry in the audit appendix, whose number stands above it.

Every text goes through `escaped`, so that nothing which a study, a note or a person wrote is taken for code.
"""

import re
from importlib.resources import files

from lesion.report.paper.manuscript import (
    Block,
    Bullets,
    Cited,
    Entries,
    Entry,
    Grid,
    Heading,
    Inline,
    Line,
    Listing,
    Listings,
    Manuscript,
    Name,
    Number,
    Paragraph,
    Picture,
    Section,
    Strong,
    Theirs,
    Words,
    Works,
)
from lesion.report.paper.text.references import short

APPENDICES = ("tables", "audit")
"""Sections before which every figure that still floats is placed."""
_SPECIAL = re.compile(r"[\\#*_`$<>@\[\]=+/~:\-'\"{}^&|.]")
"""Characters that Typst may take for markup, the shorthands of dashes, dots, quotes and links among them."""


def typst(paper: Manuscript) -> str:
    """The source; its template stands at the top of it, so that it compiles alone beside its figures."""
    template = (files("lesion.report") / "templates" / "paper.typ").read_text(encoding="utf-8")
    plain = " ".join(getattr(part, "text", "") for part in paper.title)
    head = f"#show: paper.with(title: {literal(plain)})\n\n" + "".join(
        f"#{name}[{line(parts)}]\n"
        for name, parts in (("headed", paper.title), ("asked", paper.subtitle), ("badge", paper.badge))
    )
    return f"{template}\n{head}\n" + "\n\n".join(map(_section, paper.sections)) + "\n"


def escaped(text: str) -> str:
    r"""Text that Typst takes for text, on one line.

    >>> escaped("#eval(1) *b*")
    '\\#eval(1) \\*b\\*'
    """
    flat = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    safe = _SPECIAL.sub(lambda found: "\\" + found[0], flat)
    return re.sub(r"^(\d+)", r"#[\1]", safe) if re.match(r"\d+\\?[.)]", safe) else safe


def literal(text: str) -> str:
    """A Typst string."""
    flat = "".join(c if c.isprintable() or c == "\n" else " " for c in text)
    return '"' + flat.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def line(parts: Line) -> str:
    """One line of text."""
    return "".join(map(_inline, parts))


def _kept(text: str) -> str:
    """Escaped text with the blanks at its ends, which join it to its neighbours."""
    if not text.strip():
        return " " if text else ""
    return f"{' ' if text[0].isspace() else ''}{escaped(text)}{' ' if text[-1].isspace() else ''}"


def _inline(part: Inline) -> str:
    match part:
        case Words(text):
            return _kept(text)
        case Strong(text):
            return f"#strong[{escaped(text)}]{' ' if text.endswith(' ') else ''}"
        case Name(text):
            return f"#name({literal(' '.join(text.split()))})"
        case Number(claim):
            return f"#claim({claim.number}, {str(claim.provisional).lower()})[{escaped(claim.text)}]"
        case Cited(key):
            return f"(#link(<ref-{key}>)[{escaped(short(key))}])"
        case Theirs(text, style):
            inner = f"#name({literal(' '.join(text.split()))})" if style == "code" else _kept(text)
            return {"strong": f"#strong[{inner}]", "emphasis": f"#emph[{inner}]"}.get(style, inner)


def _section(section: Section) -> str:
    body = "\n\n".join(map(_block, section.blocks))
    if section.key in APPENDICES:
        return f"#place.flush()\n{body}"
    return f"#abstract[\n{body}\n]" if section.key == "abstract" else body


def _block(block: Block) -> str:  # noqa: PLR0911
    match block:
        case Heading(level, text, key):
            return f"{'=' * level} {escaped(text)}{f' <{key}>' if key else ''}"
        case Paragraph(parts):
            return line(parts)
        case Bullets(lines):
            return "\n".join(f"- {line(each)}" for each in lines)
        case Grid():
            return _grid(block)
        case Picture(name, title, reading, small):
            data = f"Rows and query: #name({literal(f'figures/{name}.csv')}), #name({literal(f'{name}.sql')})."
            file = f"#picture({literal(f'figures/{name}.svg')}, small: {str(small).lower()})"
            return f"{file}[*{escaped(title)}* {escaped(reading)} {data}]"
        case Listing(text):
            return f"#listing({literal(text)})"
        case Listings(texts):
            return "#listings(\n" + "\n".join(f"  {literal(text)}," for text in texts) + "\n)"
        case Entries(entries):
            return "#entries(\n" + "\n".join(map(_entry, entries)) + "\n)"
        case Works(works):
            return "\n\n".join(f"#work[{escaped(text)}] <ref-{key}>" for key, text in works)


def _grid(grid: Grid) -> str:
    widths = ", ".join(f"{width:g}fr" if width else "auto" for width in grid.widths or (0.0,) * len(grid.columns))
    head = ", ".join(f"[{escaped(name)}]" for name in grid.columns)
    rows = "\n".join(f"  {', '.join(f'[{line(cell)}]' for cell in row)}," for row in grid.rows)
    return f"#grid-of(({widths},), ({head},), small: {str(grid.small).lower()}, [{line(grid.caption)}],\n{rows}\n)"


def _entry(entry: Entry) -> str:
    claim = entry.claim
    mark = f"[#metadata(none)<claim-{claim.number}>{claim.number}{'p' if claim.provisional else ''}]"
    return f"  {mark}, [{escaped(claim.text)}], [{escaped(claim.what)}], [{line(entry.where)}],"
