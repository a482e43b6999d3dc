"""The vectorised rule that is simulated is the rule that judges rows."""

import numpy as np
import pytest

from lesion.stats.power import gate_n
from lesion.stats.verdict.decision_rule import Counts, Look, first_match, judge_counts, seed_gate
from lesion.stats.verdict.judge import Discovered, PairedRows, Rule, judge
from lesion.stats.verdict.rule import GATE_OUTCOMES, VERDICTS


def rows_of(gained, lost, n):
    """Rows that have these gains and losses by seed and stratum, [seeds, strata]."""
    baseline, edited, seed, stratum = [], [], [], []
    for (s, g), up in np.ndenumerate(gained):
        down, size = lost[s, g], n[s, g]
        rest = size - up - down
        right = rest // 2
        baseline.append(np.repeat([False, True, True, False], [up, down, right, rest - right]))
        edited.append(np.repeat([True, False, True, False], [up, down, right, rest - right]))
        seed.append(np.full(size, s))
        stratum.append(np.full(size, g))
    columns = [np.concatenate(parts) for parts in (baseline, edited, seed, stratum)]
    return PairedRows(*columns[:3], strata={"stratum": columns[3]}, item=np.arange(columns[0].size))


def random_counts(draw, shape):
    n = np.broadcast_to(draw.integers(20, 300, (shape[0], 1, 1, 1)), shape)
    psi = draw.uniform(0.05, 0.6, (*shape[:2], 1, 1))
    tilt = np.clip(draw.choice([0, 0.1, 0.5, 1.0], (*shape[:2], 1, 1)) + draw.normal(0, 0.3, shape), -1, 1)
    gained = draw.binomial(n, psi * (1 + tilt) / 2)
    lost = draw.binomial(n - gained, psi * (1 - tilt) / 2)
    return Counts(gained, lost, n)


@pytest.mark.parametrize(("cells", "strata", "looks"), [(1, 1, 1), (3, 2, 2), (2, 3, 2)])
def test_judging_counts_gives_the_verdicts_of_judging_rows(cells, strata, looks):
    draw, studies = np.random.default_rng(cells * 10 + strata), 240
    counts = random_counts(draw, (studies, cells, 3, strata))
    psi = draw.uniform(0, 0.4, (studies, cells))
    rule = Rule(margin=0.12, spread=0.2, looks=looks)
    needed = np.array([[gate_n(share, rule.spread) for share in row] for row in psi])
    codes = judge_counts(counts, rule, cells + 1, needed)
    seen = set()
    for study in range(studies):
        named = {str(k): rows_of(*(part[study, k] for part in counts)) for k in range(cells)}
        verdicts = judge(
            named,
            rule,
            look=1,
            family_size=cells + 1,
            discovered={str(k): Discovered(psi[study, k]) for k in range(cells)},
            chance=dict.fromkeys(named, 0.0),
        )
        # A floor or ceiling is not simulated; such cells are left out.
        checked = [k for k in range(cells) if not {"floor", "ceiling"} & set(verdicts[str(k)].tags)]
        expected = [VERDICTS[codes[study, k]] for k in checked]
        found = [verdicts[str(k)].verdict for k in checked]
        assert [v.replace("Inconclusive", "Ambiguous") for v in found] == expected
        seen |= set(expected)
    assert seen >= {"Improvement", "Harm", "Null", "Ambiguous"}
    assert ("Mixed" in seen) == (strata > 1)


def test_cells_that_are_decided_still_cost_the_family_at_the_second_look():
    draw = np.random.default_rng(5)
    counts = random_counts(draw, (150, 3, 3, 2))
    rule, needed = Rule(margin=0.12, spread=0.2), np.zeros((150, 3), dtype=np.int64)
    pending = draw.random((150, 3)) < 0.5
    codes = judge_counts(counts, rule, 3, needed, open_=pending)
    for study in range(150):
        named = {str(k): rows_of(*(part[study, k] for part in counts)) for k in range(3) if pending[study, k]}
        if named:
            facts = {"discovered": dict.fromkeys(named, Discovered(0.0)), "chance": dict.fromkeys(named, 0.0)}
            for name, verdict in judge(named, rule, look=2, family_size=3, **facts).items():
                if not {"floor", "ceiling"} & set(verdict.tags):
                    assert verdict.verdict.replace("Inconclusive", "Ambiguous") == VERDICTS[codes[study, int(name)]]


def table(**given):
    """One cell about which nothing holds, but for what is given."""
    plain = dict.fromkeys(
        ("invalid", "conflict", "equivalent", "detected", "one_side", "floor", "ceiling", "no_null"), False
    )
    plain |= {"difference": 1, "gate": 0, "readable": True}
    return VERDICTS[int(first_match(Look(**{name: np.array(value) for name, value in (plain | given).items()})))]


def test_the_first_line_that_fits_decides():
    everything = {"invalid": True, "conflict": True, "equivalent": True, "detected": True}
    assert table(**everything) == "Invalid"
    assert table(**everything | {"invalid": False}) == "Mixed"
    assert table(equivalent=True, detected=True) == "Null"
    assert table(detected=True) == "Improvement"
    assert table(detected=True, difference=-1) == "Harm"
    assert table() == "Ambiguous"


@pytest.mark.parametrize("gate", GATE_OUTCOMES)
def test_only_a_passed_gate_allows_a_null_and_only_degenerate_seeds_forbid_every_claim(gate):
    code = GATE_OUTCOMES.index(gate)
    assert table(equivalent=True, gate=code) == ("Null" if gate == "Pass" else "Ambiguous")
    assert table(detected=True, gate=code) == ("Improvement" if gate == "Pass" else "Ambiguous")
    assert table(detected=True, one_side=True, gate=code) == ("Ambiguous" if gate == "Degenerate" else "Improvement")
    assert table(conflict=True, gate=code) == ("Ambiguous" if gate == "Degenerate" else "Mixed")


def test_floor_ceiling_and_format_forbid_what_they_must_and_nothing_else():
    down = {"detected": True, "difference": -1}
    assert table(**down, floor=True) == table(equivalent=True, floor=True) == "Ambiguous"
    assert table(detected=True, ceiling=True) == "Ambiguous"
    assert table(detected=True, floor=True) == "Improvement"
    assert table(**down, ceiling=True) == "Harm"
    assert table(equivalent=True, ceiling=True) == "Null"
    assert table(detected=True, readable=False) == table(**down, readable=False) == "Ambiguous"
    assert table(equivalent=True, readable=False) == "Null"


def test_the_seed_gate_counts_in_whole_numbers_also_for_seeds_of_unequal_size():
    def outcome(difference, n, needed=0):
        return GATE_OUTCOMES[int(seed_gate(np.array(difference), np.array(n), np.array(needed), 0.03))]

    assert outcome((29, 0, 0), (1000, 1000, 1000)) == "Pass"
    assert outcome((30, 0, 0), (1000, 1000, 1000)) == "Fail"
    assert outcome((15, -15, 0), (1000, 1000, 1000)) == "Fail"
    assert outcome((59, 0, 0), (2000, 1000, 100)) == "Pass"
    assert outcome((60, 0, 0), (2000, 1000, 100)) == "Fail"
    assert outcome((0, 0, 0), (2000, 1000, 100), needed=101) == "NotEvaluable"
    assert outcome((0, 0), (1000, 1000)) == "NotEvaluable"


def test_many_cells_are_gated_at_once():
    draw = np.random.default_rng(0)
    difference, n = draw.integers(-40, 40, (500, 4, 3)), np.full((500, 4, 3), 1000)
    codes = seed_gate(difference, n, np.zeros((500, 4), dtype=int), 0.03)
    np.testing.assert_array_equal(codes == 0, np.ptp(difference, axis=-1) < 30)
