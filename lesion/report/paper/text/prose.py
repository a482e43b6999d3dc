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
from lesion.report.paper.manuscript import Block, Heading, Number, Paragraph, Section, Theirs
from lesion.report.paper.text.markup import Marks, blocks, without_marks
from lesion.runs.folder.find import small_text

PLACES = {
    "title": "",
    "outcomes": "",
    "authors": "",
    "introduction": "Introduction",
    "related-work": "Related work",
    "methods": "More on the methods",
    "results": "More on the results",
    "discussion": "Discussion",
    "limitations": "More limitations",
    "acknowledgements": "Acknowledgements",
}
"""Name of a passage -> heading of its section; title and authors are at the top, outcomes beside the hypotheses."""
MOST_PROSE_BYTES = 1_000_000
_CLAIM = re.compile(r"\{claim:([^{}\n]+)\}")
_WHOSE = "Written by hand; numbers here that bear no claim were not computed from runs."


def read_prose(folder: Path) -> dict[str, str]:
    """The passages of a folder, by name; none when there is no folder.

    Raises:
        InputError: for a file that is no passage.
    """
    if not folder.is_dir():
        return {}
    passages: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.suffix != ".md" or path.stem not in PLACES:
            raise InputError(f"{path}: a passage is named {', '.join(f'{p}.md' for p in PLACES)}; "
                             f"{nearest(path.stem, PLACES)}")  # fmt: skip
        passages[path.stem] = small_text(path, MOST_PROSE_BYTES).strip()
    return passages


def passage(name: str, text: str, claims: Iterable[Claim]) -> Section:
    """A person's passage as a section that says whose it is."""
    title = Heading(1, (Theirs(PLACES[name]),))
    return Section(f"prose-{name}", (title, Paragraph((Theirs(_WHOSE, "emphasis"),)), *prose_blocks(text, claims)))


def prose_blocks(text: str, claims: Iterable[Claim]) -> Iterable[Block]:
    """The blocks of a person's text, its claims put in.

    Raises:
        InputError: when it names a claim that the paper does not have.
    """
    known, marks = _known(claims), Marks()

    def number(quoted: re.Match[str]) -> str:
        what = quoted[1].strip()
        if what not in known:
            raise InputError(f"no number of this paper is '{what[:100]}'; {nearest(what, known)}; see claims.json")
        return marks.mark((Number(known[what]),))

    return _parts(_CLAIM.sub(number, without_marks(text)), marks)


def _parts(text: str, marks: Marks) -> Iterable[Block]:
    """The blocks, every heading one below the passage's own."""
    for block in blocks(text, marks, Theirs):
        yield block._replace(level=2) if isinstance(block, Heading) else block


def _known(claims: Iterable[Claim]) -> dict[str, Claim]:
    """Claims by their words, and by study and words; words that several runs say stand for none of them alone."""
    by_words: dict[str, list[Claim]] = {}
    for claim in claims:
        study = claim.run.split("_", 2)[-1].rpartition("_")[0]
        for words in (claim.what, f"{study}: {claim.what}"):
            by_words.setdefault(words, []).append(claim)
    return {words: same[0] for words, same in by_words.items() if len({claim.run for claim in same}) == 1}
