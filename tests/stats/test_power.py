"""Sample sizes against the table of docs/verdict.md, and the power that they promise."""

import numpy as np
import pytest
from scipy import stats

from lesion.errors import InputError
from lesion.stats.intervals import tango_equivalence
from lesion.stats.paired.tests import mcnemar_exact
from lesion.stats.power import connor_n, gate_n, needed_n, settling_n, tost_n
from lesion.stats.verdict.decision_rule import seed_gate
from lesion.stats.verdict.rule import Discovered, Rule

TABLE = {  # psi: N for 3 points at 80 / 90 %, for 5 points at 80 %, TOST 3 points at 80 / 90 %, at alpha .025
    0.05: (434, 580, None, 476, 602, 584),
    0.10: (870, 1164, 312, 952, 1203, 1168),
    0.20: (1742, 2331, 626, 1904, 2405, 2335),
    0.30: (2614, 3499, 940, 2855, 3608, 3503),
}


@pytest.mark.parametrize(("psi", "row"), TABLE.items())
def test_sample_sizes_are_those_of_the_table(psi, row):
    five = connor_n(psi, 0.05) if row[2] else None
    assert row == (
        connor_n(psi, 0.03),
        connor_n(psi, 0.03, power=0.9),
        five,
        tost_n(psi, 0.03),
        tost_n(psi, 0.03, power=0.9),
        tost_n(psi, 0.03, alpha=0.025),
    )


def test_connors_size_gives_the_power_that_was_asked_for():
    psi, delta = 0.2, 0.05
    n = connor_n(psi, delta)
    draws = np.random.default_rng(0).multinomial(n, [(psi + delta) / 2, (psi - delta) / 2, 1 - psi], 20_000)
    assert (mcnemar_exact(draws[:, 0], draws[:, 1]) <= 0.05).mean() == pytest.approx(0.8, abs=0.03)


def test_the_equivalence_size_gives_the_power_that_was_asked_for():
    n = tost_n(0.2, 0.03)
    draws = np.random.default_rng(1).multinomial(n, [0.1, 0.1, 0.8], 20_000)
    assert (tango_equivalence(draws[:, 0], draws[:, 1], n, 0.03) < 0.05).mean() == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize(("seeds", "psi"), [(3, 0.1), (3, 0.3), (5, 0.2)])
def test_with_the_gates_items_noise_alone_fails_it_in_five_percent(seeds, psi):
    n = gate_n(psi, seeds=seeds)
    draws = np.random.default_rng(2).multinomial(n, [psi / 2, psi / 2, 1 - psi], (40_000, seeds))
    codes = seed_gate(draws[..., 0] - draws[..., 1], np.full((40_000, seeds), n), np.array(n), 0.03)
    assert set(np.unique(codes)) <= {0, 1}
    assert (codes == 1).mean() == pytest.approx(0.05, abs=0.005)


def test_the_gate_asks_for_the_preregistered_round_number():
    assert gate_n(0.2) == 2440
    assert gate_n(0.1) == 1220
    assert gate_n(0.0) == 0


def test_the_rules_items_are_the_larger_of_gate_and_power():
    assert needed_n(0.2, 0.0, Rule(), 1) == 2440
    assert needed_n(0.5, -0.5, Rule(), 1) == 12_200 // 4
    assert needed_n(0.001, 0.0, Rule(), 1) > gate_n(0.001)
    assert needed_n(0.2, 0.0, Rule(effect=0.01), 10) > needed_n(0.2, 0.0, Rule(effect=0.01), 1) > 2440


@pytest.mark.parametrize("psi", [0.01, 0.05, 0.2, 0.5])
def test_items_never_shrink_as_the_family_grows(psi):
    sizes = [needed_n(psi, 0.0, Rule(), family) for family in (1, 2, 5, 20, 100)]
    assert sizes == sorted(sizes)


def test_what_would_settle_a_cell_is_finite_for_every_outcome():
    for psi, delta in [(0, 0), (0.1, 0), (0.1, 0.03), (0.1, -0.1), (1, 1), (0.2, 0.029)]:
        assert settling_n(psi, delta, Rule(), 3) >= 1


def test_discovery_without_discordant_pairs_still_plans_for_some():
    assert Discovered.from_counts(0, 0, 512).psi == pytest.approx(0.5 / 513)
    assert Discovered.from_counts(30, 20, 512)[:2] == pytest.approx((50.5 / 513, 10 / 512))


@pytest.mark.parametrize(
    "call",
    [
        lambda: connor_n(0.02, 0.05),
        lambda: connor_n(0.2, 0.0),
        lambda: tost_n(1.2, 0.03),
        lambda: tost_n(0.2, 0.0),
        lambda: tost_n(0.2, 0.03, power=1.0),
        lambda: gate_n(-0.1),
        lambda: needed_n(0.2, 0.0, Rule(), 0),
    ],
)
def test_impossible_plans_are_refused(call):
    with pytest.raises(InputError):
        call()


def test_the_formulas_are_those_of_the_normal_distribution():
    root = stats.norm.ppf(0.975) * 0.2**0.5 + stats.norm.ppf(0.8) * (0.2 - 0.05**2) ** 0.5
    assert connor_n(0.2, 0.05) == np.ceil((root / 0.05) ** 2)
