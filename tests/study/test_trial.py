"""The trial of gates and tests passes as shipped, and names what judges wrongly; more faults are in tests/faults."""

from typing import Any

import numpy as np
import pytest

from lesion.errors import LesionError
from lesion.stats.dissociation import judge as dissociate
from lesion.stats.dissociation.rule import evidence, share_of
from lesion.stats.paired.one_sided import Sample
from lesion.stats.verdict import judge as decide
from lesion.study.selftest.dissociations import DISSOCIATION_CASES
from lesion.study.selftest.selftest import CASES, trial


def test_every_gate_and_test_judges_known_evidence_as_it_must() -> None:
    assert [said for case in CASES for said in case()] == []


def test_a_correction_that_is_left_out_ends_the_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "holm", lambda p, family_size=None: np.asarray(p))
    trial.cache_clear()
    with pytest.raises(LesionError, match=r"a gain of p \.0016 in a family of twenty"):
        trial()
    trial.cache_clear()


@pytest.mark.parametrize(
    ("name", "instead", "said"),
    [
        ("sample", lambda rows: Sample(None), "two circuits is judged Inconclusive"),
        ("_share", lambda rows, chance: share_of(np.ones(9), np.ones(9), np.ones(9)), "two circuits is judged"),
        ("evidence", lambda sides: evidence(sides)._replace(p=np.array(0.0)), "a lead too near to the margin"),
    ],
)
def test_a_rule_of_dissociations_that_is_broken_is_named(
    name: str, instead: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dissociate, name, instead)
    found = [words for case in DISSOCIATION_CASES for words in case()]
    assert any(said in words for words in found), found
