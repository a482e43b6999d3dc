"""The back of the paper: limitations, open questions, reproducibility and references. The audit: appendix.py."""

from collections.abc import Sequence

from lesion.report.paper.claims.claim import SENTENCES, Claim, Register
from lesion.report.paper.manuscript import (
    Block,
    Bullets,
    Heading,
    Listing,
    Name,
    Paragraph,
    Section,
    Theirs,
    Works,
    checked,
    strong,
    words,
)
from lesion.report.paper.select_runs import Cast
from lesion.report.paper.text.references import WORKS
from lesion.runs.index.notes import Note


def limitations(cast: Cast, register: Register) -> Section:
    """How far the findings reach."""
    told = [words(claim) for run in cast.sources for claim in _all(register, run, "limits")]
    return checked(Section("limitations", (Heading(1, "Limitations"), Bullets(tuple(told)))))


def open_questions(cast: Cast, register: Register, notes: Sequence[Note]) -> Section:
    """What failed or ambiguous gates and cells leave open, and what people noted, labelled as such."""
    told = [words(strong("Open question: "), claim) for run in cast.sources
            for claim in _all(register, run, "open_questions")]  # fmt: skip
    told += [words(strong("Open question, from a note"), " (", Name(note.path.name), ", ", Theirs(note.kind), "): ",
                   Theirs(note.text)) for note in notes]  # fmt: skip
    body: Block = Bullets(tuple(told)) if told else Paragraph(words("None was left by a gate, a cell or a note."))
    return checked(Section("open-questions", (Heading(1, "Open questions"), body)))


def _all(register: Register, run: str, maker: str) -> list[Claim]:
    return [register.told(run, maker, i) for i in range(len(SENTENCES[maker](register.sources[run].record)))]


def reproducibility(cast: Cast) -> Section:
    """How each run and each number is made again."""
    commands = "\n".join(f"lesion replay runs/{run}/manifest.json --fresh" for run in cast.sources)
    said = words("Each run repeats from its manifest alone. Each number above bears the number of its claim; the"
                 " appendix says from which rows it is computed, and ", Name("lesion trace PAPER NUMBER"),
                 " computes it again and shows them.")  # fmt: skip
    return Section("reproducibility", (Heading(1, "Reproducibility"), Paragraph(said), Listing(commands)))


def references(cited: set[str]) -> Section:
    """The works that the text cites."""
    works = tuple((key, work.text) for key, work in WORKS.items() if key in cited)
    return Section("references", (Heading(1, "References"), Works(works)))
