"""The trial of gates and tests passes as shipped, and names what judges wrongly; more faults are in tests/faults."""

import numpy as np
import pytest

from lesion.errors import LesionError
from lesion.stats.verdict import judge as decide
from lesion.study.selftest.selftest import CASES, trial


def test_every_gate_and_test_judges_known_evidence_as_it_must() -> None:
    assert [said for case in CASES for said in case()] == []


def test_a_correction_that_is_left_out_ends_the_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "holm", lambda p, family_size=None: np.asarray(p))
    trial.cache_clear()
    with pytest.raises(LesionError, match=r"a gain of p \.0016 in a family of twenty"):
        trial()
    trial.cache_clear()
