"""A double dissociation needs a crossover within tasks: one mechanism of unequal strength never gives one."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from lesion.errors import InputError
from lesion.stats.calibration.scenes.dissociation_scenes import (
    DOUBLE,
    NONE,
    PATTERNS,
    Task,
    TwoTasks,
    answers,
    conduct_dissociations,
    shared,
    side,
)
from lesion.stats.dissociation.judge import TaskRows, judge_dissociations, matrix
from lesion.stats.dissociation.power import dissociation_n, least_lead
from lesion.stats.dissociation.question import Asked, every_question
from lesion.stats.dissociation.rule import evidence
from lesion.stats.intervals import tango
from lesion.stats.paired.comparison import compare
from lesion.stats.paired.numbers import PairedNumbers
from lesion.stats.paired.one_sided import sample
from lesion.stats.paired.rows import PairedRows
from lesion.stats.verdict.rule import Rule

RULE = Rule()
ASKED = Asked("induction", "adder", ("copying", "sums"))
N, CLUSTERS = 1_800, 36


def task(right: float, seed: int, cluster: bool = True, **kept: float) -> TaskRows:
    """A task of this accuracy, of whose right answers each target leaves a share."""
    rng = np.random.default_rng(seed)
    before, index = rng.random(N) < right, np.arange(N)
    arms = {
        name: PairedRows(
            before,
            before & (rng.random(N) < share),
            index % 3,
            cluster=index % CLUSTERS if cluster else None,
            item=index,
        )
        for name, share in kept.items()
    }
    return TaskRows(arms, chance=0.1, margin=RULE.margin)


def word(copying: TaskRows, sums: TaskRows, asked: Asked = ASKED) -> str:
    found = judge_dissociations({"copying": copying, "sums": sums}, [asked], RULE)[asked.name]
    return found.verdict


def test_two_circuits_of_unequal_headroom_are_doubly_dissociated() -> None:
    tasks = {"copying": task(0.9, 1, induction=0.5, adder=0.98), "sums": task(0.4, 2, induction=0.97, adder=0.4)}
    found = judge_dissociations(tasks, every_question(("induction", "adder"), ("copying", "sums")), RULE)
    right, mirror = found.values()
    assert (right.verdict, mirror.verdict) == ("Double dissociation", "No double dissociation")
    assert "unequal_headroom" in right.tags
    one, other = right.leads
    assert one.lead == pytest.approx(one.harm - one.other_harm)
    assert one.low < one.lead < one.high
    assert right.interaction == pytest.approx(one.lead / one.headroom + other.lead / other.headroom)
    assert mirror.leads[0].lead == pytest.approx(-other.lead)


def test_one_shared_circuit_that_two_targets_weaken_unequally_is_not() -> None:
    assert word(task(0.9, 1, induction=0.4, adder=0.8), task(0.4, 2, induction=0.3, adder=0.7)) != "Double dissociation"


@pytest.mark.parametrize(
    ("copying", "sums", "lacks"),
    [
        ({"induction": 0.9, "adder": 0.5}, {"induction": 0.9, "adder": 0.5}, "the lead on copying"),
        ({"induction": 0.5, "adder": 0.9}, {"induction": 0.5, "adder": 0.9}, "the lead on sums"),
        ({"induction": 0.5, "adder": 0.52}, {"induction": 0.9, "adder": 0.5}, "a lead above the margin"),
        ({"induction": 0.5, "adder": 0.8}, {"induction": 0.3, "adder": 0.1}, "a larger share of its own task"),
    ],
)
def test_each_condition_alone_withholds_the_verdict(
    copying: dict[str, float], sums: dict[str, float], lacks: str
) -> None:
    assert word(task(0.9, 3, **copying), task(0.9, 4, **sums)) != "Double dissociation", lacks


def test_a_target_that_improves_the_other_ones_task_does_not_make_harm() -> None:
    rng, index = np.random.default_rng(5), np.arange(N)
    before = rng.random(N) < 0.6
    better = before | (rng.random(N) < 0.5)
    arms = {"induction": before.copy(), "adder": better}
    rows = {name: PairedRows(before, edited, index % 3, item=index) for name, edited in arms.items()}
    found = word(TaskRows(rows, 0.1, 0.03), task(0.9, 4, induction=0.98, adder=0.4))
    assert found == "Inconclusive"


def test_a_task_at_its_floor_gives_no_verdict_and_says_so() -> None:
    tasks = {"copying": task(0.9, 1, induction=0.5, adder=0.98), "sums": task(0.1, 2, induction=0.97, adder=0.2)}
    found = judge_dissociations(tasks, [ASKED], RULE)[ASKED.name]
    assert found.verdict == "Inconclusive"
    assert "floor" in found.tags
    assert not next(each for each in found.clauses if each.name == "room to lose").holds


def test_a_lead_that_one_seed_contradicts_is_not_enough() -> None:
    rng, index = np.random.default_rng(6), np.arange(N)
    seed, before = index % 3, rng.random(N) < 0.9
    kept = np.where(seed == 0, 0.99, 0.2)
    arms = {"induction": before & (rng.random(N) < kept), "adder": before & (rng.random(N) < 0.9)}
    rows = {name: PairedRows(before, edited, seed, item=index) for name, edited in arms.items()}
    tasks = {"copying": TaskRows(rows, 0.1, 0.03), "sums": task(0.9, 4, induction=0.98, adder=0.4)}
    found = judge_dissociations(tasks, [ASKED], RULE)[ASKED.name]
    assert found.p is not None
    assert found.p < 0.001
    assert (found.verdict, "seeds_differ" in found.tags) == ("Inconclusive", True)


def test_holm_counts_every_question_that_is_asked() -> None:
    tasks = {"copying": task(0.9, 7, induction=0.935, adder=0.985), "sums": task(0.9, 8, induction=0.98, adder=0.5)}
    alone = judge_dissociations(tasks, [ASKED], RULE)[ASKED.name]
    assert alone.verdict == "Double dissociation"
    several = {name: replace_arms(rows) for name, rows in tasks.items()}
    every = every_question(("induction", "adder", "third", "fourth"), ("copying", "sums"))
    assert len(every) == 12
    among = judge_dissociations(several, every, RULE)[ASKED.name]
    assert alone.p == among.p
    assert among.p_holm == pytest.approx(12 * (alone.p or 0))
    assert among.verdict == "Inconclusive"


def replace_arms(rows: TaskRows) -> TaskRows:
    """The task with two more targets that do nothing."""
    first = rows.arms["induction"]
    idle = replace(first, edited=first.baseline)
    return replace(rows, arms={**rows.arms, "third": idle, "fourth": idle})


def test_numbers_in_nats_are_judged_by_the_same_rule() -> None:
    rule, rng = Rule(outcome="answer_logprob", margin=0.1, spread=0.3, effect=0.3), np.random.default_rng(9)
    tasks: dict[str, TaskRows] = {}
    for name, harms in (("copying", (1.0, 0.1)), ("sums", (0.1, 0.6))):
        before = rng.normal(-1, 0.5, 900)
        arms = {
            target: PairedNumbers(before, before - harm + rng.normal(0, 0.4, 900), np.arange(900) % 3)
            for target, harm in zip(("induction", "adder"), harms, strict=True)
        }
        tasks[name] = TaskRows(arms, chance=-4.0, margin=0.1)
    found = judge_dissociations(tasks, [ASKED], rule)[ASKED.name]
    assert found.verdict == "Double dissociation"
    assert "nats" in found.clauses[2].quantity


def test_the_matrix_has_every_cell_with_an_interval() -> None:
    tasks = {"copying": task(0.9, 1, induction=0.5, adder=0.98), "sums": task(0.4, 2, induction=0.97, adder=0.4)}
    cells = matrix(tasks, RULE)
    assert [(each.target, each.task) for each in cells] == [
        ("induction", "copying"), ("adder", "copying"), ("induction", "sums"), ("adder", "sums"),
    ]  # fmt: skip
    assert all(each.low < each.delta < each.high for each in cells)
    assert cells[0].share == pytest.approx(cells[0].delta / (cells[0].baseline - 0.1))


def test_one_sided_tests_are_the_halves_of_the_equivalence_test() -> None:
    for rows in (task(0.9, 1, a=0.98).arms["a"], task(0.9, 1, cluster=False, a=0.98).arms["a"]):
        both = sample(rows)
        larger = max(float(both.p_above(-0.03)), float(both.p_below(0.03)))
        assert larger == pytest.approx(compare(rows, 0.95, 0.03, 2).p_equivalence)


def test_targets_on_other_items_unknown_names_and_silly_questions_are_refused() -> None:
    rows = task(0.9, 1, induction=0.5, adder=0.98)
    other = task(0.9, 2, adder=0.5).arms["adder"]
    with pytest.raises(InputError, match="pair the targets by item"):
        TaskRows({**rows.arms, "adder": other}, 0.1, 0.03)
    tasks = {"copying": rows, "sums": rows}
    for asked, said in (
        ((), "no question was asked"),
        ((ASKED, ASKED), "asked twice"),
        ((Asked("induction", "induction", ("copying", "sums")),), "two targets"),
        ((Asked("induction", "adder", ("copying", "sum")),), "sums"),
        ((Asked("induction", "ader", ("copying", "sums")),), "adder"),
    ):
        with pytest.raises(InputError, match=said):
            judge_dissociations(tasks, asked, RULE)


def test_a_small_harm_that_is_shown_negligible_makes_it_complete_and_not_partial() -> None:
    tasks = {
        "copying": task(0.9, 1, induction=0.5, adder=0.985),
        "sums": task(0.6, 2, induction=0.985, adder=0.4),
    }
    tags = judge_dissociations(tasks, [ASKED], RULE)[ASKED.name].tags
    assert "complete" in tags
    assert "partial" not in tags


def test_targets_whose_clusters_differ_are_refused() -> None:
    rows = task(0.9, 1, induction=0.5, adder=0.97).arms
    with pytest.raises(InputError, match="pair the targets by item"):
        TaskRows({**rows, "adder": replace(rows["adder"], cluster=None)}, chance=0.1, margin=0.03)


def test_spoiled_rows_and_too_few_clusters_make_the_question_invalid() -> None:
    rows = task(0.9, 1, induction=0.5, adder=0.98)
    tasks = {"copying": rows, "sums": task(0.9, 2, induction=0.98, adder=0.5)}
    faults = {("adder", "sums"): "a hook did not fire"}
    found = judge_dissociations(tasks, [ASKED], RULE, invalid=faults)[ASKED.name]
    assert (found.verdict, found.reason) == ("Invalid", "adder on sums: a hook did not fire")
    few = {name: replace(each, cluster=np.arange(N) % 4) for name, each in rows.arms.items()}
    found = judge_dissociations({**tasks, "copying": TaskRows(few, 0.1, 0.03)}, [ASKED], RULE)[ASKED.name]
    assert found.verdict == "Invalid"
    assert "copying has 4 clusters" in found.reason


def test_simulated_questions_are_judged_as_rows_are() -> None:
    scene = TwoTasks("", Task(0.9, 0.7, 0.85), Task(0.6, 0.57, 0.47), items=30, sd=0.05)
    rng = np.random.default_rng(11)
    drawn = [answers(scene, each, (), rng) for each in (scene.first, scene.second)]
    simulated = evidence((side(drawn[0], 0, 0.1, RULE), side(drawn[1], 1, 0.1, RULE)))
    tasks = {name: rows_of(each) for name, each in zip(("copying", "sums"), drawn, strict=True)}
    found = judge_dissociations(tasks, [ASKED], RULE)[ASKED.name]
    assert found.p == pytest.approx(float(simulated.p))
    assert found.p_none == pytest.approx(float(simulated.p_none))
    assert [each.p_between for each in found.leads] == pytest.approx([float(p) for p in simulated.between])


def rows_of(drawn: np.ndarray) -> TaskRows:
    """Rows with these patterns in these clusters."""
    clusters, patterns = np.repeat(np.argwhere(drawn > 0), drawn[drawn > 0], axis=0).T
    told = PATTERNS[patterns].astype(bool)
    arms = {
        name: PairedRows(told[:, 0], told[:, place], clusters % 3, cluster=clusters)
        for place, name in ((1, "induction"), (2, "adder"))
    }
    return TaskRows(arms, 0.1, RULE.margin)


def test_error_rates_hold_and_a_rule_without_the_second_lead_would_be_found_out() -> None:
    rng = np.random.default_rng(12)
    one = shared("", (0.4, 0.7), (0.85, 0.15), 3.0, 0.03)
    assert (conduct_dissociations(one, RULE, 400, rng) == DOUBLE).sum() == 0
    edge = TwoTasks("", Task(0.9, 0.5, 0.85), Task(0.6, 0.55, 0.52))
    assert (conduct_dissociations(edge, RULE, 1_000, rng) == DOUBLE).mean() < 0.04
    both = TwoTasks("", Task(0.9, 0.67, 0.7), Task(0.6, 0.5, 0.47))
    assert (conduct_dissociations(both, RULE, 1_000, rng) == NONE).mean() < 0.04
    loose = replace(RULE, margin=0.001)
    assert (conduct_dissociations(edge, loose, 400, rng) == DOUBLE).mean() > 0.2, "the margin is what holds the edge"


def test_planned_items_find_the_lead_they_were_planned_for() -> None:
    items = dissociation_n(0.2, 0.1, RULE)
    assert least_lead(0.2, items, RULE) == pytest.approx(0.1, abs=0.001)
    assert dissociation_n(0.2, 0.1, RULE, family_size=6) > items
    assert dissociation_n(0.2, 0.1, RULE, between=0.05, clusters=36) > items
    with pytest.raises(InputError, match="0 questions"):
        dissociation_n(0.2, 0.1, RULE, family_size=0)


def test_the_p_of_a_lead_is_the_level_at_which_tangos_interval_reaches_the_margin() -> None:
    rows = {name: task(0.9, 13, cluster=False, induction=0.9, adder=0.97) for name in ("copying", "sums")}
    lead = judge_dissociations(rows, [ASKED], RULE)[ASKED.name].leads[0]
    one, other = rows["copying"].arms["induction"].edited, rows["copying"].arms["adder"].edited
    ends = tango(int((other & ~one).sum()), int((one & ~other).sum()), N, 1 - 2 * lead.p_lead)
    assert ends.low == pytest.approx(RULE.margin, abs=1e-6)


def test_the_comparison_between_tasks_is_welchs_test_of_two_shares() -> None:
    tasks = {
        "copying": task(1.0, 14, cluster=False, induction=0.6, adder=0.97),
        "sums": task(1.0, 15, cluster=False, induction=0.64, adder=0.5),
    }
    tasks = {name: replace(each, chance=0.0) for name, each in tasks.items()}
    lead = judge_dissociations(tasks, [ASKED], RULE)[ASKED.name].leads[0]
    lost = [1 - tasks[name].arms["induction"].edited.astype(float) for name in ("copying", "sums")]
    found = stats.ttest_ind(lost[0], lost[1], equal_var=False, alternative="greater")
    assert lead.p_between == pytest.approx(float(found.pvalue), rel=1e-3)
