"""The hypotheses of a study and their outcomes in one table.

A hypothesis is a sentence of a person, so a person says what came of it: `prose/outcomes.md`, a list with an item for
each hypothesis, in their order. Where it is missing the table says so: no program can tell which test a sentence meant.
"""

from collections.abc import Sequence

from lesion.errors import InputError
from lesion.report.paper.claims.claim import Claim
from lesion.report.paper.manuscript import Bullets, Grid, Heading, Line, Section, Theirs, words
from lesion.report.paper.select_runs import Cast
from lesion.report.paper.text.prose import prose_blocks


def hypotheses(picked: Cast, outcomes: str, claims: Sequence[Claim]) -> Section | None:
    """The table; nothing where no study has hypotheses.

    Raises:
        InputError: when there are not as many outcomes as hypotheses.
    """
    sources = picked.sources.values()
    asked = list(dict.fromkeys(text for each in sources for text in each.record.manifest.study.hypotheses))
    if not asked:
        return None
    said = _items(outcomes, claims) if outcomes else []
    if outcomes and len(said) != len(asked):
        raise InputError(
            f"prose/outcomes.md has {len(said)} items and the study has {len(asked)} hypotheses; write one item for"
            " each hypothesis, in their order"
        )
    by_person = words("Hypotheses as written before the data, and their outcomes, written by hand.")
    missing = words("Hypotheses as written before the data. No outcomes were written; the verdicts are in the results.")
    rows = tuple(
        ((Theirs(text),), said[place] if said else words("see the verdicts")) for place, text in enumerate(asked)
    )
    grid = Grid(by_person if said else missing, ("hypothesis", "outcome"), rows, (1, 1))
    return Section("hypotheses", (Heading(1, words("Hypotheses and outcomes")), grid))


def _items(text: str, claims: Sequence[Claim]) -> list[Line]:
    return [line for block in prose_blocks(text, claims) if isinstance(block, Bullets) for line in block.lines]
