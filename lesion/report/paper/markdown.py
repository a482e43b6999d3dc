"""The paper as Markdown. A number bears a small link to its line of claims.json; `p` there means provisional."""

from collections.abc import Iterable, Sequence

from lesion.report.markdown import escape
from lesion.report.paper.claims.claim import Claim, place_of
from lesion.report.paper.manuscript import Grid, Picture


class Markdown:
    """The dialect."""

    def escape(self, text: str) -> str:
        """Text that is taken for text, on one line."""
        return escape(text)

    def strong(self, text: str) -> str:
        """Bold."""
        return f"**{text}**"

    def emphasis(self, text: str) -> str:
        """Italic."""
        return f"*{text}*"

    def code(self, text: str) -> str:
        """Text in fixed width, whatever it holds; it stays on its line and in its table cell."""
        flat = " ".join(text.split()).replace("|", "¦")
        longest = max((len(run) for run in "".join(c if c == "`" else " " for c in flat).split()), default=0)
        fence = "`" * (longest + 1)
        pad = " " if longest or not flat else ""
        return f"{fence}{pad}{flat}{pad}{fence}"

    def number(self, claim: Claim) -> str:
        """A claim, and its number as a small link to its line of the register."""
        mark = "p" if claim.provisional else ""
        return f"{escape(claim.text)}<sup>[{claim.number}{mark}]({place_of(claim)})</sup>"

    def cited(self, key: str, short: str) -> str:
        """A reference as a link to its work."""
        return f"([{escape(short)}](#ref-{key}))"

    def heading(self, level: int, text: str) -> str:
        """The title of a section."""
        return f"{'#' * (level + 1)} {text}"

    def grid(self, grid: Grid, rows: Sequence[Sequence[str]], caption: str) -> str:
        """A table."""
        return f"{_table(grid.columns, rows)}\n\n*Table.* {caption}"

    def picture(self, picture: Picture) -> str:
        """A figure."""
        files = f"figures/{picture.name}.csv, figures/{picture.name}.sql"
        title, reading = escape(picture.title), escape(picture.reading)
        return f"![{title}](figures/{picture.name}.svg)\n\n*{title}* {reading} Data: {files}."

    def listing(self, text: str) -> str:
        """Text as it is."""
        fence = "````"
        while fence in text:
            fence += "`"
        return f"{fence}\n{text}\n{fence}"

    def works(self, works: Sequence[tuple[str, str]]) -> str:
        """The list of references."""
        return "\n".join(f'- <a id="ref-{key}"></a>{escape(text)}' for key, text in works)

    def section(self, key: str, text: str) -> str:  # noqa: ARG002
        """A section."""
        return text

    def paper(self, title: str, subtitle: str, badge: str, body: str, plain_title: str) -> str:  # noqa: ARG002
        """The whole."""
        under = f"*{subtitle}*\n\n" if subtitle else ""
        return f"# {title}\n\n{under}**{badge}**\n\n{body}\n"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, ["---"] * len(columns), *rows))
