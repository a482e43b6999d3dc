"""The rule on rows: every verdict, every gate, every clause seen to hold and to fail."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lesion.errors import InputError
from lesion.stats.verdict.judge import Discovered, PairedRows, Rule, judge, specific
from tests.stats.cells import RULE, N, by_stratum, holds, one, rows, swapped


def test_equal_gains_and_losses_with_stable_seeds_are_a_null():
    verdict = one(rows(60, 60))
    assert (verdict.verdict, verdict.tags, verdict.seed_gate) == ("Null", (), "Pass")
    assert verdict.delta == 0
    assert holds(verdict, "equivalent")
    assert not holds(verdict, "detected")


def test_a_clear_gain_is_an_improvement_and_material_only_beyond_the_margin():
    clear = one(rows(140, 40))
    assert (clear.verdict, clear.tags) == ("Improvement", ("material",))
    near = one(rows(110, 60))
    assert (near.verdict, near.tags) == ("Improvement", ())
    assert near.ci_low < RULE.margin < near.ci_high


def test_a_clear_loss_is_a_harm():
    verdict = one(rows(40, 140))
    assert (verdict.verdict, verdict.tags) == ("Harm", ("material",))
    assert (verdict.gained, verdict.lost, verdict.n) == (120, 420, 3 * N)


def test_a_significant_but_tiny_difference_is_a_null_called_negligible():
    assert one(rows(40, 22)).tags == ("negligible+",)
    assert one(rows(22, 40)).tags == ("negligible-",)
    assert one(rows(40, 22)).verdict == "Null"


def test_missing_significance_is_never_a_null_but_ambiguous_and_then_inconclusive():
    small = rows(16, 13, n=150)
    first = one(small, psi=0.01)
    assert (first.verdict, first.needed_n) == ("Ambiguous", None)
    assert not holds(first, "detected")
    assert not holds(first, "equivalent")
    last = one(small, psi=0.01, look=2)
    assert last.verdict == "Inconclusive"
    assert last.needed_n > 150


def test_with_one_registered_look_the_first_is_the_last_and_a_second_is_refused():
    rule = Rule(looks=1)
    verdict = one(rows(16, 13, n=150), psi=0.01, rule=rule)
    assert (verdict.verdict, verdict.confidence) == ("Inconclusive", pytest.approx(0.9))
    with pytest.raises(InputError, match="look 2 was not registered"):
        one(rows(60, 60), rule=rule, look=2)


def test_strata_that_disagree_significantly_are_mixed_whatever_the_whole_says():
    verdict = one(by_stratum(40, 40))
    assert verdict.verdict == "Mixed"
    assert verdict.p == 1
    assert [part.name for part in verdict.strata] == ["operator=+", "operator=-"]
    assert verdict.strata[0].delta > 0 > verdict.strata[1].delta
    assert one(by_stratum(80, 40)).verdict == "Mixed"


def test_strata_that_disagree_without_significance_are_not_mixed():
    assert one(by_stratum(140, 3)).verdict == "Improvement"
    assert one(by_stratum(3, 3)).verdict == "Null"


def test_a_floor_forbids_harm_and_null_but_not_improvement():
    harm = one(rows(0, 60, accuracy=0.05), chance=0.05)
    assert (harm.verdict, harm.tags) == ("Ambiguous", ("floor",))
    assert holds(harm, "detected")
    null = one(rows(0, 0, accuracy=0.0), look=2, chance=0.0)
    assert (null.verdict, null.tags, null.needed_n) == ("Inconclusive", ("floor",), None)
    better = one(rows(140, 0, accuracy=0.05), chance=0.05)
    assert (better.verdict, better.tags) == ("Improvement", ("material", "floor"))
    assert one(rows(0, 60, accuracy=0.05), chance=0.02).verdict == "Harm"


@pytest.mark.parametrize(
    ("right", "gained", "said"),
    [(1, 0, "Null"), (0, 1, "Improvement"), (0, 0, "Inconclusive")],
    ids=["it leaves the floor", "gains add up", "nothing happens"],
)
def test_a_cell_at_the_floor_is_still_open_so_its_second_look_is_not_wasted(right, gained, said):
    """Twice the items at the same rates, or one gain more in each seed; small counts leave the first rule's floor."""
    old = Rule(edition=1)
    first = one(rows(gained, 0, 640, accuracy=right / 640), psi=0.01, rule=old)
    assert (first.verdict, first.tags) == ("Ambiguous", ("floor",))
    more = 3 * gained if gained else 0
    again = one(rows(more, 0, 1280, accuracy=2 * right / 1280), psi=0.01, look=2, rule=old)
    assert again.verdict == said


def test_a_ceiling_forbids_improvement_only():
    better = one(rows(20, 1, accuracy=0.97), look=2)
    assert (better.verdict, better.tags) == ("Null", ("negligible+", "ceiling"))
    unsettled = one(rows(39, 0, accuracy=0.97))
    assert (unsettled.verdict, unsettled.tags) == ("Ambiguous", ("ceiling",))
    assert one(rows(39, 0, accuracy=0.96)).verdict == "Improvement"
    assert one(rows(1, 140, accuracy=0.98)).verdict == "Harm"
    assert one(rows(5, 5, accuracy=0.98)).verdict == "Null"


def parsed(cell, losing):
    """Free text: every loss comes from an answer that can no longer be read, or from a wrong one."""
    readable = np.ones(cell.n, dtype=bool)
    lost = np.flatnonzero(cell.difference < 0)
    readable[lost[: round(losing * lost.size)]] = False
    return replace(cell, baseline_parsed=np.ones(cell.n, dtype=bool), edited_parsed=readable)


def test_a_harm_of_format_alone_is_no_harm_of_arithmetic():
    verdict = one(parsed(rows(30, 140), losing=0.8))
    assert (verdict.verdict, verdict.tags) == ("Ambiguous", ("format_effect", "format_effect_only"))
    assert not holds(verdict, "more than format")


def test_a_harm_that_holds_among_readable_answers_stays_one_and_says_that_format_changed():
    verdict = one(parsed(rows(30, 140), losing=0.3))
    assert (verdict.verdict, verdict.tags) == ("Harm", ("material", "format_effect"))


def test_a_change_of_reading_of_one_point_exactly_is_no_format_effect():
    cell = rows(30, 140)
    readable = np.ones(cell.n, dtype=bool)
    readable[: cell.n // 100] = False
    flags = {"baseline_parsed": np.ones(cell.n, dtype=bool), "edited_parsed": readable}
    assert "format_effect" not in one(replace(cell, **flags)).tags
    readable[cell.n // 100] = False
    assert "format_effect" in one(replace(cell, **flags)).tags


def test_an_edit_after_which_nothing_can_be_read_is_a_format_effect():
    cell = rows(0, 140)
    flags = {"baseline_parsed": np.ones(cell.n, dtype=bool), "edited_parsed": np.zeros(cell.n, dtype=bool)}
    verdict = one(replace(cell, edited=np.zeros(cell.n, dtype=bool), **flags))
    assert (verdict.verdict, "format_effect_only" in verdict.tags) == ("Ambiguous", True)


def test_an_invalid_cell_outranks_everything_and_says_why():
    verdicts = judge(
        {"good": rows(140, 40), "bad": rows(140, 40)},
        RULE,
        look=1,
        family_size=3,
        discovered={"good": Discovered(0.1)},
        chance={"good": 0.0},
        invalid={"bad": "the no-op run flipped 3 items", "gone": "no rows"},
    )
    assert {name: verdict.verdict for name, verdict in verdicts.items()} == {
        "good": "Improvement",
        "bad": "Invalid",
        "gone": "Invalid",
    }
    assert verdicts["bad"].reason == "the no-op run flipped 3 items"
    assert (verdicts["bad"].n, verdicts["gone"].n, verdicts["bad"].p) == (3 * N, 0, None)


def test_the_family_is_paid_for_by_every_cell_at_every_look():
    cell = rows(100, 65)
    alone, among = one(cell), one(cell, family=40, look=2)
    assert among.p == alone.p
    assert among.p_holm == pytest.approx(40 * alone.p)
    assert among.p_equivalence_holm == pytest.approx(min(1, 40 * alone.p_equivalence))


def test_one_family_gives_its_cells_holms_p_values():
    cells = {"a": rows(140, 40), "b": rows(90, 60), "c": rows(60, 60)}
    verdicts = judge(
        cells,
        RULE,
        look=1,
        family_size=5,
        discovered=dict.fromkeys(cells, Discovered(0.1)),
        chance=dict.fromkeys(cells, 0),
    )
    assert verdicts["a"].p_holm == pytest.approx(5 * verdicts["a"].p)
    assert verdicts["b"].p_holm == pytest.approx(4 * verdicts["b"].p)
    assert verdicts["c"].p_holm == 1


def clustered(per_template, templates, size=200, psi=0.2):
    """Rows in templates: each gains or loses as a whole by its own share."""
    baseline, edited, cluster = [], [], []
    for template, share in zip(range(templates), np.resize(per_template, templates), strict=True):
        up, down = round(size * (psi + share) / 2), round(size * (psi - share) / 2)
        baseline.append(np.repeat([False, True, True], [up, down, size - up - down]))
        edited.append(np.repeat([True, False, True], [up, down, size - up - down]))
        cluster.append(np.full(size, template))
    n = templates * size
    return PairedRows(
        np.concatenate(baseline),
        np.concatenate(edited),
        np.resize([0, 1, 2], n),
        cluster=np.concatenate(cluster),
        item=np.arange(n),
    )


def test_templates_are_the_unit_of_inference_where_rows_have_them():
    shares = [0.2, -0.15, 0.2, -0.1, 0.1, 0.0, 0.15, -0.05]
    by_template = one(clustered(shares, 8))
    by_item = one(replace(clustered(shares, 8), cluster=None))
    assert by_item.p < 0.025
    assert by_template.p > 0.2
    assert by_template.ci_high - by_template.ci_low > 2 * (by_item.ci_high - by_item.ci_low)


def test_templates_that_agree_exactly_still_have_an_interval():
    verdict = one(clustered([0.0], 12))
    assert verdict.ci_high - verdict.ci_low > 0.01


def test_too_few_templates_are_refused_for_confirmation():
    assert one(clustered([0.1, 0.12], 7)).verdict != "Invalid"
    few = one(clustered([0.1, 0.12], 6))
    assert (few.verdict, "sign flips" in few.reason) == ("Invalid", True)
    assert one(clustered([0.1, 0.12], 9), family=10).verdict == "Invalid"
    assert one(clustered([0.1, 0.12], 10), family=10).verdict != "Invalid"


MIRROR = {"Improvement": "Harm", "Harm": "Improvement"}


@given(st.lists(st.integers(0, 300), min_size=3, max_size=3), st.lists(st.integers(0, 300), min_size=3, max_size=3))
@settings(deadline=None, max_examples=30)
def test_swapping_the_arms_turns_improvement_into_harm_and_leaves_all_else(gained, lost):
    cell = rows(gained, lost, accuracy=0.5)
    there, back = one(cell), one(swapped(cell))
    assert back.verdict == MIRROR.get(there.verdict, there.verdict)
    assert (back.p, back.seed_gate) == (there.p, there.seed_gate)
    assert (back.ci_low, back.ci_high) == pytest.approx((-there.ci_high, -there.ci_low), abs=1e-9)


@given(st.integers(0, 2**32), st.integers(0, 120), st.integers(0, 120))
@settings(deadline=None, max_examples=20)
def test_the_order_of_rows_and_of_cells_does_not_matter(seed, gained, lost):
    strata = {"operator": np.resize(["+", "-", "*"], 3 * N)}
    cell, other = rows(gained, lost, strata=strata, item=np.arange(3 * N)), rows(lost, 50, item=np.arange(3 * N))
    order = np.random.default_rng(seed).permutation(cell.n)
    shuffled = cell.where(order)
    facts = {"discovered": dict.fromkeys("ab", Discovered(0.1)), "chance": dict.fromkeys("ab", 0.0)}
    straight = judge({"a": cell, "b": other}, RULE, look=1, family_size=2, **facts)
    turned = judge({"b": other, "a": shuffled}, RULE, look=1, family_size=2, **facts)
    assert straight == {name: turned[name] for name in ("a", "b")}


@given(st.integers(0, 200), st.integers(0, 100))
@settings(deadline=None, max_examples=20)
def test_more_gains_never_turn_a_verdict_downwards(gained, lost):
    ranks = {"Harm": 0, "Ambiguous": 1, "Null": 1, "Improvement": 2}
    less, more = one(rows(gained, lost)), one(rows(gained + 20, lost))
    assert ranks[less.verdict] <= ranks[more.verdict]


def test_the_clauses_tell_the_whole_evidence_in_the_order_of_the_rule():
    verdict = one(by_stratum(40, 40))
    assert [clause.name for clause in verdict.clauses] == [
        "instrument sound",
        "strata disagree",
        "equivalent",
        "seeds stable",
        "detected",
        "every seed on one side",
        "more than format",
        "above floor",
        "below ceiling",
        "room to fall",
        "enough to speak of others",
    ]
    said = {clause.name: clause.quantity for clause in verdict.clauses}
    assert said["strata disagree"] == "gain: operator=+; lose: operator=-"
    assert said["detected"] == "gained 300, lost 300 of 7800 (+0.00 points); p 1, Holm p 1"


def test_a_target_is_specific_only_beyond_its_matched_control():
    target, control = rows(10, 160), rows(10, 30)
    control = replace(control, baseline=target.baseline, edited=target.baseline.copy())
    found = specific({"cell": target}, {"cell": control}, RULE, family_size=2)["cell"]
    assert found.holds
    assert found.delta == pytest.approx(target.difference.mean())
    assert found.p_holm == pytest.approx(min(1, 2 * found.p))
    same = specific({"cell": target}, {"cell": target}, RULE, family_size=1)["cell"]
    assert (same.holds, same.p, same.delta) == (False, 1, 0)


def test_a_control_that_does_more_than_its_target_makes_it_not_specific():
    target = rows(10, 40)
    worse = replace(target, edited=np.zeros(target.n, dtype=bool))
    found = specific({"cell": target}, {"cell": worse}, RULE, family_size=1)["cell"]
    assert found.p_holm < 0.025
    assert not found.holds


def test_a_control_on_other_items_is_refused():
    target = rows(10, 40, item=np.arange(3 * N))
    with pytest.raises(InputError, match="same items"):
        specific({"cell": target}, {"cell": replace(target, item=np.arange(1, 3 * N + 1))}, RULE, family_size=1)
    with pytest.raises(InputError, match="same items"):
        specific({"cell": target}, {"cell": replace(target, baseline=~target.baseline)}, RULE, family_size=1)
    with pytest.raises(InputError, match="did you mean 'cell'"):
        specific({"cel": target}, {"cell": target}, RULE, family_size=1)


def test_rows_that_do_not_fit_together_are_refused():
    true = np.ones(4, dtype=bool)
    with pytest.raises(InputError, match="pair the arms"):
        PairedRows(true, true[:3], np.zeros(4, dtype=int))
    with pytest.raises(InputError, match="pair the arms"):
        PairedRows(true, true, np.zeros(4, dtype=int), strata={"operator": np.array(["+"])})
    with pytest.raises(InputError, match="True or False"):
        PairedRows(true, np.array([0.0, 1.0, np.nan, 1.0]), np.zeros(4, dtype=int))
    with pytest.raises(InputError, match="only be Invalid"):
        PairedRows(true[:0], true[:0], np.zeros(0, dtype=int))
    with pytest.raises(InputError, match="one arm only"):
        PairedRows(true, true, np.zeros(4, dtype=int), baseline_parsed=true)


def test_families_looks_and_names_that_do_not_fit_are_refused():
    cells = {"cell": rows(1, 1)}
    facts = {"discovered": {"cell": Discovered(0.1)}, "chance": {"cell": 0.0}}
    with pytest.raises(InputError, match="declare every confirmatory cell"):
        judge(cells, RULE, look=1, family_size=0, **facts)
    with pytest.raises(InputError, match="look 3"):
        judge(cells, RULE, look=3, family_size=1, **facts)
    with pytest.raises(InputError, match="no entry in chance; did you mean 'cells'"):
        judge(cells, RULE, look=1, family_size=1, discovered=facts["discovered"], chance={"cells": 0.0})


@pytest.mark.parametrize(
    "wrong", [{"margin": 0}, {"alpha": 1.0}, {"looks": 3}, {"spread": -0.1}, {"power": float("nan")}]
)
def test_a_rule_with_impossible_thresholds_is_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        Rule(**wrong)
