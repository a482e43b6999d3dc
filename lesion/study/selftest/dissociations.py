"""The rule of dissociations is tried: two circuits must be told from one, and a small lead must not count."""

from collections.abc import Iterator

import numpy as np

from lesion.stats.dissociation.judge import TaskRows, judge_dissociations
from lesion.stats.dissociation.question import Asked
from lesion.stats.dissociation.rule import DissociationWord
from lesion.stats.paired.rows import PairedRows
from lesion.stats.verdict.rule import Rule

ITEMS = 600
ASKED = Asked("a", "b", ("one", "two"))
KNOWN: tuple[tuple[str, tuple[int, int], tuple[int, int], DissociationWord], ...] = (
    ("two circuits", (10, 1), (1, 8), "Double dissociation"),
    ("one circuit, weakened unequally", (10, 4), (8, 2), "No double dissociation"),
    ("one circuit, weakened equally", (10, 10), (4, 4), "No double dissociation"),
    ("a lead inside the margin", (10, 1), (4, 4), "No double dissociation"),
    ("a lead too near to the margin", (10, 1), (0, 1), "Inconclusive"),
)
"""What it is, of twenty items how many target a and b lose on the first task and on the second, and the verdict."""


def _task(a: int, b: int) -> TaskRows:
    """Items that are all right unedited; every seed and target loses the same share of them."""
    index, right = np.arange(ITEMS), np.ones(ITEMS, dtype=np.bool_)
    arms = {
        name: PairedRows(right, index // 3 % 20 >= lost, index % 3, item=index) for name, lost in (("a", a), ("b", b))
    }
    return TaskRows(arms, chance=0.0, margin=Rule().margin)


def _judged() -> Iterator[str]:
    """Every known case has its word."""
    for what, one, two, word in KNOWN:
        tasks = {"one": _task(*one), "two": _task(*two)}
        found = judge_dissociations(tasks, [ASKED], Rule())[ASKED.name].verdict
        if found != word:
            yield f"{what} is judged {found}, not {word}"


DISSOCIATION_CASES = (_judged,)
