"""What a person adds to a paper: `prose/NAME.md` beside it, merged each time the paper is written, never overwritten.

A passage is paragraphs and lists, with *emphasis*, **strong** and `code`; `{claim: WORDS}` puts in the number whose
description in claims.json is WORDS, so that it stays the same number when the paper is written again. In a paper of
several studies that may be said of more than one, the study comes first: `{claim: STUDY: WORDS}`.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from lesion.errors import InputError, nearest
from lesion.report.paper.claims.claim import Claim
from lesion.report.paper.manuscript import Block, Bullets, Heading, Inline, Line, Number, Paragraph, Section, Theirs
from lesion.runs.folder.find import small_text

PLACES = {
    "title": "",
    "authors": "",
    "introduction": "Introduction",
    "related-work": "Related work",
    "methods": "More on the methods",
    "results": "More on the results",
    "discussion": "Discussion",
    "limitations": "More limitations",
    "acknowledgements": "Acknowledgements",
}
"""Name of a passage -> heading of its section; title and authors stand at the top."""
MOST_PROSE_BYTES = 1_000_000
_PIECES = re.compile(r"(\{claim: ?[^{}\n]+\}|\*\*[^*\n]+\*\*|\*[^*\n]+\*|`[^`\n]+`)")


def read_prose(folder: Path) -> dict[str, str]:
    """The passages of a folder, by name; none when there is no folder.

    Raises:
        InputError: for a file that is no passage.
    """
    if not folder.is_dir():
        return {}
    found: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.suffix != ".md" or path.stem not in PLACES:
            raise InputError(f"{path}: a passage is named {', '.join(f'{p}.md' for p in PLACES)}; "
                             f"{nearest(path.stem, PLACES)}")  # fmt: skip
        found[path.stem] = small_text(path, MOST_PROSE_BYTES).strip()
    return found


def passage(name: str, text: str, claims: Iterable[Claim]) -> Section:
    """A person's passage as a section that says whose it is."""
    known = _known(claims)
    told = [Heading(1, PLACES[name]), Paragraph((Theirs(_WHOSE, "emphasis"),))]
    return Section(f"prose-{name}", (*told, *_blocks(text, known)))


def _known(claims: Iterable[Claim]) -> dict[str, Claim]:
    """Claims by their words, and by study and words; words that several runs say stand for none of them alone."""
    said: dict[str, list[Claim]] = {}
    for claim in claims:
        study = claim.run.split("_", 2)[-1].rpartition("_")[0]
        for words in (claim.what, f"{study}: {claim.what}"):
            said.setdefault(words, []).append(claim)
    return {words: same[0] for words, same in said.items() if len({claim.run for claim in same}) == 1}


_WHOSE = "Written by a person; numbers here that bear no claim were not computed from runs."


def _blocks(text: str, known: dict[str, Claim]) -> Iterable[Block]:
    for part in re.split(r"\n\s*\n", text):
        lines = part.strip().splitlines()
        if lines and all(re.match(r"[-*] ", each) for each in lines):
            yield Bullets(tuple(_line(each[2:], known) for each in lines))
        elif lines and lines[0].startswith("#"):
            yield Heading(2, lines[0].lstrip("# "))
            yield from _blocks("\n".join(lines[1:]), known)
        elif lines:
            yield Paragraph(_line(" ".join(lines), known))


def _line(text: str, known: dict[str, Claim]) -> Line:
    return tuple(_piece(part, known) for part in _PIECES.split(text) if part)


def _piece(part: str, known: dict[str, Claim]) -> Inline:
    if part.startswith("{claim:") and part.endswith("}"):
        what = part[7:-1].strip()
        if what not in known:
            raise InputError(f"no number of this paper is '{what[:100]}'; {nearest(what, known)}; see claims.json")
        return Number(known[what])
    for mark, style in (("**", "strong"), ("*", "emphasis"), ("`", "code")):
        if len(part) > 2 * len(mark) and part.startswith(mark) and part.endswith(mark):
            return Theirs(part[len(mark) : -len(mark)], style)
    return Theirs(part)
