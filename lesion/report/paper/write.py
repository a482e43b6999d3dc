"""Writing a paper: the manuscript, its figures, its claims and the audit, into one folder that can be made again."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import typst as compiler
import vl_convert
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from lesion.errors import InputError
from lesion.identity import file_hash
from lesion.outside.documents import read_json
from lesion.outside.tables import read_table
from lesion.report.figures.figures import VEGA_LITE, Figure, figures, themed
from lesion.report.figures.parts.charts import TEXT_SIZE
from lesion.report.paper.audit import audit
from lesion.report.paper.claims.claim import AUDIT, REGISTER, Claim, Computed, Register, Source, compute
from lesion.report.paper.compose import compose
from lesion.report.paper.markdown import Markdown
from lesion.report.paper.render import render
from lesion.report.paper.select_runs import Cast, cast, read_published, read_source
from lesion.report.paper.text.prose import read_prose
from lesion.report.paper.typst import Typst
from lesion.runs.folder.atomic_io import write_bytes, write_table, write_text
from lesion.runs.folder.published import is_published
from lesion.runs.index.ledger import known
from lesion.runs.index.notes import Note, read_notes
from lesion.runs.manifest.environment import read_code

FONT = "Libertinus Serif"
"""The font of figures in the paper: one that the typesetter brings with it."""

LINE_WIDTH = 476.0
"""Width of a line of the paper, points."""
LEAST_TEXT = 7.2
"""Height of the smallest text of a figure on the page, points."""
MOST_CLAIMS_BYTES = 100_000_000
_CLAIMS: TypeAdapter[list[Claim]] = TypeAdapter(list[Claim])


class Paper(NamedTuple):
    """A written paper."""

    folder: Path
    claims: int
    cast: Cast


def write_paper(home: Path, given: Sequence[str], out: Path | None = None) -> Paper:
    """Write the paper of a study or of some runs.

    Raises:
        InputError: when there is no run to write about.
        Tampered: when a run is not what was sealed, or its rows and its verdicts say different things.
        DiskError: when the folder cannot be written.
    """
    picked = cast(home, given)
    newest = list(picked.sources.values())[-1].record.manifest
    folder = out or home / "papers" / f"{newest.study.name}_{newest.study_hash[:6]}"
    table = audit(home, picked.studies, picked.standings)
    register = Register(picked.sources, table)
    drawn = {run: figures(source.record) for run, source in picked.sources.items()}
    composed = compose(picked, register, drawn, read_prose(folder / "prose"), _notes(home, picked))
    for run, each in drawn.items():
        _pictures(folder / "figures" / run, each)
    write_text(folder / "paper.typ", render(composed.paper, Typst()))
    write_text(folder / "paper.md", render(composed.paper, Markdown()))
    write_text(folder / "supplement.md", render(composed.supplement, Markdown()))
    write_text(folder / REGISTER, _lines(register.claims))
    write_table(folder / "audit.parquet", table)
    fonts = compiler.Fonts(include_system_fonts=False)
    pdf = compiler.compile(str(folder / "paper.typ"), font_paths=fonts, root=str(folder))
    write_bytes(folder / "paper.pdf", pdf)
    _manifest(folder, given, picked)
    return Paper(folder, len(register.claims), picked)


def _lines(claims: Sequence[Claim]) -> str:
    """All claims as JSON, one a line, so that a link can name the line."""
    lines = ",\n".join(to_json(claim.model_dump(mode="json")).decode() for claim in claims)
    return f"[\n{lines}\n]\n"


def _notes(home: Path, picked: Cast) -> list[Note]:
    """Notes about these runs that the runs' own sentences do not tell already."""
    own = {note.text for source in picked.sources.values() for note in source.record.manifest.plan.notes}
    return [
        note
        for note in read_notes(home)[0]
        if note.kind != "rationale" and not picked.sources.keys().isdisjoint(note.runs) and note.text not in own
    ]


def legible(figure: Figure) -> str:
    """A figure as SVG whose text is at least `LEAST_TEXT` points high on the page, however wide the figure is."""
    size = float(TEXT_SIZE)
    picture = _drawn(figure, size)
    for _ in range(3):
        needed = LEAST_TEXT * _width(picture) / LINE_WIDTH
        if needed <= size:
            break
        size = needed
        picture = _drawn(figure, size)
    return picture


def _drawn(figure: Figure, size: float) -> str:
    spec = _narrow(themed(figure.spec, size=round(size, 1)))
    spec["config"] = {**spec["config"], "font": FONT}
    return vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE)


def _narrow(spec: dict[str, Any]) -> dict[str, Any]:
    """The specification with at most two panels beside each other."""
    parts = [_narrow(part) for part in spec.get("vconcat", ())]
    columns = {"columns": min(2, spec["columns"])} if "columns" in spec else {}
    return {**spec, **columns, **({"vconcat": parts} if parts else {})}


def _width(picture: str) -> float:
    found = re.search(r'<svg[^>]* width="([\d.]+)"', picture)
    return float(found[1]) if found else 0.0


def _pictures(folder: Path, drawn: tuple[Figure, ...]) -> None:
    for figure in drawn:
        write_text(folder / f"{figure.name}.svg", legible(figure))
        write_text(folder / f"{figure.name}.csv", figure.rows.write_csv())
        write_text(folder / f"{figure.name}.sql", f"{figure.query}\n")


def _manifest(folder: Path, given: Sequence[str], picked: Cast) -> None:
    """From what the paper was made, and the hash of every file that it consists of."""
    code = read_code()
    names = ["paper.typ", "paper.md", "paper.pdf", "supplement.md", REGISTER, "audit.parquet"]
    paths = [*(folder / name for name in names), *sorted((folder / "figures").rglob("*.*"))]
    document: dict[str, Any] = {
        "command": "paper", "given": [Path(each).name for each in given], "rule": picked.rule,
        "runs": {run: source.record.manifest.seal for run, source in picked.sources.items()},
        "commit": code.commit, "dirty": code.dirty, "source_hash": code.source_hash,
        "files": {path.relative_to(folder).as_posix(): file_hash(path) for path in paths},
    }  # fmt: skip
    write_text(folder / "manifest.json", to_json(document, indent=1).decode() + "\n")


class Traced(NamedTuple):
    """A claim and the same computed again."""

    claim: Claim
    again: Computed

    @property
    def agrees(self) -> bool:
        """Whether the printed number came out again; of a sentence, every number in it."""
        return self.claim.text == self.again.text or self.reworded

    @property
    def reworded(self) -> bool:
        """Whether this is a sentence that the program words differently today, with every printed number in it."""
        if self.claim.kind != "told" or self.claim.text == self.again.text:
            return False
        return not Counter(numbers_of(self.claim.text)) - Counter(numbers_of(self.again.text))


def numbers_of(text: str) -> list[str]:
    """The numbers of a sentence, in order; digits of names such as `tier3` and `L1H0` are no numbers.

    >>> numbers_of("tier3, L1H0: −4.0 points, n = 7,680 (×2)")
    ['−4.0', '7680', '2']
    """
    return [found.replace(",", "") for found in re.findall(r"(?<![\w.,])[−+-]?\d[\d,]*(?:\.\d+)?(?!\w)", text)]


def _source(home: Path, folder: Path, claim: Claim) -> Source:
    """The claim's run: of this home, or published beside the paper.

    Raises:
        InputError: when it is published and the claim needs the questions, which are left out there.
    """
    beside = folder.resolve().parent / claim.run
    if (home / "runs" / claim.run).is_dir() or not is_published(beside):
        complete = {entry.run for entry in known(home) if entry.complete}
        return read_source(home, claim.run, provisional=claim.run not in complete)
    if "prompts" in claim.rows:
        raise InputError(
            f"claim {claim.number} tells of kinds of items, which stand in the questions, and a published run leaves"
            f" these out; lesion replay {beside / 'manifest.json'} brings them back"
        )
    return read_published(beside)


def trace(home: Path, folder: Path, number: int) -> Traced:
    """Compute a claim of a paper again from rows: of the run in this home, or published beside the paper.

    Raises:
        InputError: when the paper has no such claim, or its run is another one now.
        Tampered: when the run is not what was sealed.
    """
    path = folder / REGISTER
    if not path.exists():
        raise InputError(f"{path}: there is no such file; give the folder that lesion paper wrote")
    try:
        claims = _CLAIMS.validate_python(read_json(path, MOST_CLAIMS_BYTES))
    except ValidationError as error:
        raise InputError(f"{path}: does not hold the claims of a paper; write the paper again") from error
    if not 1 <= number <= len(claims):
        raise InputError(f"{folder} has the claims 1 to {len(claims)}; {number} is none")
    claim = claims[number - 1]
    if claim.run == AUDIT:
        return Traced(claim, compute(claim, None, {AUDIT: read_table(folder / "audit.parquet")}))
    source = _source(home, folder, claim)
    if source.record.manifest.seal != claim.seal:
        raise InputError(f"{claim.run} has another seal than when the paper was written; write it again")
    return Traced(claim, compute(claim, source, source.tables()))
