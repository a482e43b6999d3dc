"""The baseline gate: each outcome is seen, and noise alone does not fail it."""

import numpy as np
import pytest

from lesion.errors import InputError
from lesion.stats.baseline_gate import baseline_gate
from lesion.stats.baseline_gate_nats import baseline_numbers_gate

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


def noisy(shifts, n=800, sd=0.5):
    draw = np.random.default_rng(11)
    return {"tier1": [-1 + shift + sd * draw.normal(0, 1, n) for shift in shifts]}


def test_the_gate_of_numbers_is_the_range_of_means_with_its_own_noise_rule():
    assert baseline_numbers_gate(noisy((0, 0, 0)), spread=0.1).outcome == "Pass"
    assert baseline_numbers_gate(noisy((0, 0, 0.2)), spread=0.1).outcome == "Fail"
    few = baseline_numbers_gate(noisy((0, 0, 0), n=100), spread=0.1)
    assert few.outcome == "NotEvaluable"
    assert few.needed_n == pytest.approx((3.3145 * 0.5 / 0.1) ** 2, rel=0.3)
    (seeds,) = noisy((0, 0, 0)).values()
    more = baseline_numbers_gate({f"tier{number}": seeds for number in range(15)}, spread=0.1)
    assert more.needed_n > baseline_numbers_gate(noisy((0, 0, 0)), spread=0.1).needed_n
    same = {"tier1": ("a", "a", "b")}
    assert baseline_numbers_gate(noisy((0, 0, 0)), spread=0.1, fingerprints=same).outcome == "Degenerate"


def test_noise_alone_fails_the_gate_of_numbers_in_five_percent():
    draw, failed = np.random.default_rng(12), 0
    for _ in range(600):
        gate = baseline_numbers_gate({"a": list(draw.standard_t(5, (3, 500)))}, spread=0.2)
        failed += gate.cells["a"].spread >= 0.2
    assert failed / 600 < 0.08


@pytest.mark.parametrize(
    "values", [{}, {"a": [np.zeros(5)] * 2}, {"a": [np.zeros(1)] * 3}, {"a": [np.full(3, np.nan)] * 3}]
)
def test_numbers_that_cannot_be_judged_are_refused(values):
    with pytest.raises(InputError):
        baseline_numbers_gate(values, spread=0.1)
