"""The baseline gate: each outcome is seen, and noise alone does not fail it."""

import numpy as np
import pytest

from lesion.errors import InputError
from lesion.stats.baseline import baseline_gate

N = 6_000


def test_a_range_strictly_below_three_points_passes_and_three_points_fail():
    assert baseline_gate({"tier1": (3000, 3179, 3100)}, {"tier1": N}).outcome == "Pass"
    assert baseline_gate({"tier1": (3000, 3180, 3100)}, {"tier1": N}).outcome == "Fail"


def test_too_few_items_are_not_evaluable_and_say_how_many_are_needed():
    gate = baseline_gate({"tier1": (300, 300, 300)}, {"tier1": 600})
    assert gate.outcome == "NotEvaluable"
    assert gate.needed_n == pytest.approx(12_206 / 4, abs=1)
    assert baseline_gate({"tier1": (300, 500, 300)}, {"tier1": 600}).outcome == "NotEvaluable"


def test_more_cells_need_more_items_by_bonferroni():
    one = baseline_gate({"tier1": (3000, 3000, 3000)}, {"tier1": N})
    fifteen = baseline_gate({"tier1": (3000, 3000, 3000)}, {"tier1": N}, cells=15)
    assert one.needed_n == pytest.approx(12_206 / 4, abs=1)
    assert fifteen.needed_n == pytest.approx(23_441 / 4, abs=1)
    assert fifteen.outcome == "Pass"


def test_seeds_with_the_same_fingerprint_are_degenerate():
    for prints, outcome in ((("a", "a", "b"), "Degenerate"), (("a", "b", "c"), "Pass")):
        assert baseline_gate({"t": (9, 9, 9)}, {"t": N}, fingerprints={"t": prints}).outcome == outcome


def test_a_floor_and_a_ceiling_are_stable_and_stop_nothing():
    gate = baseline_gate({"floor": (0, 0, 0), "ceiling": (64, 64, 64)}, {"floor": 64, "ceiling": 64})
    assert (gate.outcome, gate.needed_n) == ("Pass", 0)


def test_the_worst_cell_speaks_for_the_gate():
    cells = {"pass": (3000, 3001, 3002), "few": (10, 10, 10), "fail": (1000, 1500, 1000), "same": (5, 5, 5)}
    n = {"pass": N, "few": 20, "fail": N, "same": N}
    prints = dict.fromkeys(cells, ("a", "b", "c")) | {"same": ("a", "a", "a")}
    gate = baseline_gate(cells, n, fingerprints=prints)
    assert {name: cell.outcome for name, cell in gate.cells.items()} == {
        "pass": "Pass",
        "few": "NotEvaluable",
        "fail": "Fail",
        "same": "Degenerate",
    }
    assert gate.outcome == "Degenerate"
    without = {name: counts for name, counts in cells.items() if name != "same"}
    assert baseline_gate(without, n).outcome == "Fail"
    assert baseline_gate({"pass": cells["pass"], "few": cells["few"]}, n).outcome == "NotEvaluable"


def test_sampling_noise_alone_fails_fifteen_cells_together_in_five_percent_at_most():
    draw, failed = np.random.default_rng(1), 0
    names = [f"cell{k}" for k in range(15)]
    for _ in range(400):
        counts = {name: tuple(draw.binomial(N, 0.5, 3).tolist()) for name in names}
        gate = baseline_gate(counts, dict.fromkeys(names, N))
        assert gate.outcome in ("Pass", "Fail")
        failed += gate.outcome == "Fail"
    assert failed / 400 <= 0.05 + 2.33 * np.sqrt(0.05 * 0.95 / 400)


@pytest.mark.parametrize(
    ("correct", "n", "says"),
    [
        ({}, {}, "0 baseline cells"),
        ({"t": (1, 2)}, {"t": 9}, "three or more"),
        ({"t": (1, 2, 10)}, {"t": 9}, "do not fit 9 items"),
        ({"t": (1, 2, 3)}, {}, "missing"),
    ],
)
def test_counts_that_cannot_be_are_refused(correct, n, says):
    with pytest.raises(InputError, match=says):
        baseline_gate(correct, n)
