"""The hypotheses of a study and their outcomes in one table.

A hypothesis is a sentence of a person, so a person says what came of it: `prose/outcomes.md`, a list with an item for
each hypothesis, in their order. Where it is missing the table says so: no program can tell which test a sentence meant.
"""

from collections.abc import Sequence

from lesion.errors import InputError
from lesion.report.paper.claims.claim import Claim
from lesion.report.paper.manuscript import Bullets, Grid, Heading, Line, Name, Number, Section, Theirs, joined, words
from lesion.report.paper.select_runs import Cast
from lesion.report.paper.text.prose import prose_blocks


def hypotheses(picked: Cast, outcomes: str, claims: Sequence[Claim]) -> Section | None:
    """The table; nothing where no study has hypotheses. With several studies it says whose each is.

    Raises:
        InputError: when there are not as many outcomes as hypotheses, or one has a number of another study.
    """
    whose = _whose(picked)
    if not whose:
        return None
    said = _items(outcomes, claims) if outcomes else []
    if outcomes and len(said) != len(whose):
        raise InputError(
            f"prose/outcomes.md has {len(said)} items and the study has {len(whose)} hypotheses; write one item for"
            " each hypothesis, in their order"
        )
    for place, (line, runs) in enumerate(zip(said, whose.values(), strict=False), start=1):
        _same_study(place, line, runs)
    by_person = words("Hypotheses as written before the data, and their outcomes, written by hand.")
    missing = words("Hypotheses as written before the data. No outcomes were written; the verdicts are in the results.")
    rows = tuple(
        (*_study(picked, runs), (Theirs(text),), said[place] if said else words("see the verdicts"))
        for place, (text, runs) in enumerate(whose.items())
    )
    several = len(picked.sources) > 1
    columns = ("study", "hypothesis", "outcome") if several else ("hypothesis", "outcome")
    grid = Grid(by_person if said else missing, columns, rows, (0.4, 1, 1) if several else (1, 1))
    return Section("hypotheses", (Heading(1, words("Hypotheses and outcomes")), grid))


def _whose(picked: Cast) -> dict[str, list[str]]:
    """Every hypothesis once, with the runs whose study has it."""
    found: dict[str, list[str]] = {}
    for run, source in picked.sources.items():
        for text in source.record.manifest.study.hypotheses:
            found.setdefault(text, []).append(run)
    return found


def _study(picked: Cast, runs: Sequence[str]) -> tuple[Line, ...]:
    """The studies of a hypothesis, where the paper is on several."""
    if len(picked.sources) == 1:
        return ()
    names = dict.fromkeys(picked.sources[run].record.manifest.study.name for run in runs)
    return (joined([words(Name(name)) for name in names], ", ", ", "),)


def _same_study(place: int, line: Line, runs: Sequence[str]) -> None:
    for each in line:
        if isinstance(each, Number) and each.claim.run not in runs:
            raise InputError(
                f"item {place} of prose/outcomes.md has a number of {each.claim.run}, and the hypothesis in its place"
                f" is of {', '.join(runs)}; write the items in the order of the hypotheses"
            )


def _items(text: str, claims: Sequence[Claim]) -> list[Line]:
    return [line for block in prose_blocks(text, claims) if isinstance(block, Bullets) for line in block.lines]
