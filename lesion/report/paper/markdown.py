"""The paper as Markdown. A number is a link to its entry in the audit appendix; `p` beside it means provisional."""

from lesion.report.markdown import escape
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
    Strong,
    Theirs,
    Words,
    Works,
)
from lesion.report.paper.text.references import short


def markdown(paper: Manuscript) -> str:
    """The text."""
    head = [f"# {line(paper.title)}", f"*{line(paper.subtitle)}*", f"**{line(paper.badge)}**"]
    blocks = [_block(block) for section in paper.sections for block in section.blocks]
    return "\n\n".join([*head, *blocks]) + "\n"


def line(parts: Line) -> str:
    """One line of text."""
    return "".join(map(_inline, parts))


def _inline(part: Inline) -> str:
    match part:
        case Words(text):
            return text.replace("<", "&lt;").replace("*", r"\*")
        case Strong(text):
            return f"**{text.strip()}**{' ' if text.endswith(' ') else ''}"
        case Name(text):
            return code(text)
        case Number(claim):
            mark = "<sup>p</sup>" if claim.provisional else ""
            return f"[{escape(claim.text)}](#claim-{claim.number}){mark}"
        case Cited(key):
            return f"([{escape(short(key))}](#ref-{key}))"
        case Theirs(text, style):
            around = {"strong": "**", "emphasis": "*"}.get(style, "")
            return code(text) if style == "code" else f"{around}{_spaced(text)}{around}"


def _spaced(text: str) -> str:
    """Escaped, with the space before and after it that parts it from its neighbours."""
    before, after = (" " if part.isspace() else "" for part in (text[:1], text[-1:]))
    return f"{before}{escape(text)}{after}" if text.strip() else " "


def code(text: str) -> str:
    """Text in fixed width, whatever it holds; it stays on its line and in its table cell."""
    flat = " ".join(text.split()).replace("|", "¦")
    longest = max((len(run) for run in "".join(c if c == "`" else " " for c in flat).split()), default=0)
    fence = "`" * (longest + 1)
    pad = " " if longest or not flat else ""
    return f"{fence}{pad}{flat}{pad}{fence}"


def _block(block: Block) -> str:  # noqa: PLR0911
    match block:
        case Heading(level, text, key):
            return f"{f'<a id={chr(34)}{key}{chr(34)}></a>' if key else ''}{'#' * (level + 1)} {text}"
        case Paragraph(parts):
            return line(parts)
        case Bullets(lines):
            return "\n".join(f"- {line(each)}" for each in lines)
        case Grid(caption, columns, rows):
            return f"{_table(columns, [[line(cell) for cell in row] for row in rows])}\n\n*Table.* {line(caption)}"
        case Picture(name, title, reading, _):
            files = f"figures/{name}.csv, figures/{name}.sql"
            return f"![{escape(title)}](figures/{name}.svg)\n\n*{escape(title)}* {escape(reading)} Data: {files}."
        case Listing(text):
            return _fenced(text)
        case Listings(texts):
            return "\n\n".join(map(_fenced, texts))
        case Entries(entries):
            return _table(("claim", "printed", "what it is", "from"), [_entry(each) for each in entries])
        case Works(works):
            return "\n".join(f'- <a id="ref-{key}"></a>{escape(text)}' for key, text in works)


def _entry(entry: Entry) -> list[str]:
    claim = entry.claim
    anchor = f'<a id="claim-{claim.number}"></a>{claim.number}{"p" if claim.provisional else ""}'
    return [anchor, escape(claim.text), escape(claim.what), line(entry.where)]


def _table(columns: tuple[str, ...], rows: list[list[str]]) -> str:
    lines = [list(columns), ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _fenced(text: str) -> str:
    fence = "````"
    while fence in text:
        fence += "`"
    return f"{fence}\n{text}\n{fence}"
