"""The rule for mean and resample ablation beside a zeroing: they agree, differ, or are not known; they never decide."""

import numpy as np
import pytest

from lesion.stats.paired.rows import PairedRows
from lesion.stats.specificity.companion import companion, zero_only
from lesion.stats.verdict.rule import Rule


def rows(gained: int, lost: int, n: int = 3000) -> PairedRows:
    before = np.zeros(n, dtype=np.bool_)
    before[gained : gained + lost + (n - gained - lost) // 2] = True
    after = before.copy()
    after[:gained] = True
    after[gained : gained + lost] = False
    return PairedRows(before, after, np.arange(n) % 3)


@pytest.mark.parametrize(
    ("verdict", "gained", "lost", "answer"),
    [
        ("Harm", 20, 300, "agrees"),
        ("Harm", 300, 20, "differs"),
        ("Harm", 100, 110, "differs"),
        ("Improvement", 300, 20, "agrees"),
        ("Improvement", 20, 300, "differs"),
        ("Null", 50, 50, "agrees"),
        ("Null", 20, 300, "differs"),
        ("Mixed", 20, 300, "not asked"),
        ("Inconclusive", 20, 300, "not asked"),
    ],
)
def test_a_companion_agrees_only_by_the_same_test_on_the_same_side(verdict, gained, lost, answer) -> None:
    found = companion(verdict, rows(gained, lost), 3000, Rule())
    assert found.answer == answer
    assert zero_only([found]) == (answer == "differs")


def test_too_few_items_or_nothing_replaced_is_no_agreement() -> None:
    harm = rows(20, 300)
    assert companion("Harm", harm, 6001, Rule()).answer == "unknown"
    assert companion("Harm", harm, 6000, Rule()).answer == "agrees"
    assert companion("Harm", harm, 3000, Rule(), replaced=False).answer == "unknown"
    assert companion("Harm", None, 3000, Rule()).answer == "unknown"
    assert companion("Inconclusive", None, 3000, Rule()).answer == "not asked"
    assert zero_only([companion("Harm", harm, 3000, Rule()), companion("Harm", None, 3000, Rule())])
