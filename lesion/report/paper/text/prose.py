"""What a person adds to a paper: `prose/NAME.md` beside it, merged each time the paper is written, never overwritten.

A passage is paragraphs and lists, with *emphasis*, **strong** and `code`; `{claim: WORDS}` puts in the number whose
description in claims.json is WORDS, so that it stays the same number when the paper is written again. In a paper of
several studies that may be said of more than one, the study comes first: `{claim: STUDY: WORDS}`.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from lesion.errors import InputError, nearest
from lesion.report.paper.claims.claim import Claim
from lesion.report.paper.manuscript import Block, Heading, Number, Paragraph, Section, Theirs, inlines
from lesion.report.paper.text.markup import Marks, blocks, without_marks
from lesion.runs.folder.find import small_text

PLACES = {
    "title": "",
    "outcomes": "",
    "figures": "",
    "authors": "",
    "abstract": "Abstract",
    "introduction": "Introduction",
    "related-work": "Related work",
    "methods": "More on the methods",
    "results": "More on the results",
    "discussion": "Discussion",
    "limitations": "More limitations",
    "acknowledgements": "Acknowledgements",
}
"""Name of a passage -> heading of its section; title and authors are at the top, outcomes beside the hypotheses, and
figures names the studies whose verdicts are drawn among the results. An abstract takes the place of the computed one,
which then opens the supplement."""
MOST_ABSTRACT_WORDS = 200
MOST_PROSE_BYTES = 1_000_000
_NUMBER = re.compile(r"(?<![A-Za-z0-9])\d+")
"""A number, and not a name such as L18H6."""
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


def pictured(text: str, studies: Sequence[str]) -> tuple[str, ...]:
    """The studies that `figures.md` lists, an item for each: their verdicts are drawn among the results.

    Args:
        text: the passage.
        studies: names of the paper's studies.

    Raises:
        InputError: when it names no study of the paper, or one study twice.
    """
    named = [line.removeprefix("- ").strip() for line in text.splitlines() if line.strip()]
    for at, name in enumerate(named):
        if name not in studies:
            raise InputError(f"prose/figures.md: {nearest(name, studies)}; list studies of this paper, `- NAME` a line")
        if name in named[:at]:
            raise InputError(f"prose/figures.md names {name} twice; name each study once")
    return tuple(named)


def passage(name: str, text: str, claims: Iterable[Claim]) -> Section:
    """A person's passage as a section that says whose it is."""
    title = Heading(1, (Theirs(PLACES[name]),))
    return Section(f"prose-{name}", (title, Paragraph((Theirs(_WHOSE, "emphasis"),)), *prose_blocks(text, claims)))


def abstract(text: str, claims: Iterable[Claim], caveats: Iterable[Block]) -> Section:
    """A person's abstract: at most 200 words, and every number a claim of a confirmatory run, or set as `code`.

    Args:
        text: what the person wrote.
        claims: numbers that it may use.
        caveats: what it may not leave out: failed gates and positive controls, and what is provisional.

    Raises:
        InputError: when it is longer, holds a number of its own, or one of a run that is not confirmatory.
    """
    written = tuple(prose_blocks(text, claims))
    length = 0
    for each in inlines(written):
        if isinstance(each, Number) and each.claim.status != "confirmatory":
            raise InputError(f"prose/abstract.md: {each.claim.what} comes from a run that is {each.claim.status}")
        if isinstance(each, Theirs) and each.style != "code" and (found := _NUMBER.search(each.text)):
            raise InputError(
                f"prose/abstract.md: '{found[0]}' is no claim of the paper; write {{claim: WORDS}} with words from"
                " claims.json, or set it as `code` where it is a name"
            )
        length += len(each.text.split()) if isinstance(each, Theirs) else 1
    if length > MOST_ABSTRACT_WORDS:
        raise InputError(f"prose/abstract.md has {length} words; an abstract has at most {MOST_ABSTRACT_WORDS}")
    title = Heading(1, (Theirs(PLACES["abstract"]),))
    return Section("prose-abstract", (title, *written, *caveats))


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
