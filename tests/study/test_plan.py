"""The plan and its contingencies: what may follow what, for any verdicts that gates could give."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lesion.interventions.site import parse_site
from lesion.study.gates.gate_verdict import GateVerdict
from lesion.study.plan import Outcome, Plan, Shape, Stage, StageName, new_plan, pair_name
from lesion.study.stages.control_sets import control_sets
from lesion.study.stages.stage_table import amend, next_stage
from lesion.study.study import Study
from tests.study.made import baseline_cell, cell_verdict, gate, instrument_answer

MODEL = "zoo:some-model"
SITES = ["L1H0", "L1H1"]


def make_study(**changes: object) -> Study:
    fields: dict[str, object] = {
        "name": "test",
        "question": "?",
        "models": (MODEL,),
        "tasks": {"tier1": {"task": "arithmetic"}, "tier3": {"task": "symbolic"}},
        "block": 64,
        "baseline": {"items": 100},
        "sweep": {"items": 64, "alphas": (0.0, 0.5, 1.5)},
    }
    return Study.model_validate({**fields, **changes})


def make_plan(study: Study | None = None, capacity: int = 100_000) -> Plan:
    chosen = study or make_study()
    return new_plan(chosen, "key", {MODEL: Shape(layers=3, heads=8, neurons=32)}, dict.fromkeys(chosen.tasks, capacity))


def verdict_of(plan: Plan, stage: Stage, outcome: Outcome, draw: st.DataObject) -> GateVerdict:
    """A verdict that the stage's gate could have given."""
    names = [pair_name(m, t) for m in plan.study.models for t in plan.study.tasks]
    stable = "NotEvaluable" if outcome == "Ambiguous" else outcome
    family = [
        {"model": MODEL, "tier": tier, "alpha": alpha, "items": 128, "psi": 0.1, "delta": 0.0}
        for tier in plan.study.tasks
        for alpha in (0.0, 1.5)
    ]
    ambiguous = draw.draw(st.booleans())
    evidence: dict[str, dict[str, object]] = {
        "instrument": {},
        "baseline": {
            "final": draw.draw(st.booleans()),
            "cells": {name: baseline_cell(stable, needed_n=draw.draw(st.integers(1, 200_000))) for name in names},
        },
        "detect": {"picked": {MODEL: SITES}, "passing": {MODEL: SITES}},
        "discovery": {"family": family, "dropped": []},
        "confirm": {
            "verdicts": {
                name: cell_verdict("Ambiguous" if ambiguous and not plan.attempt else "Null") for name in plan.pending
            }
        },
    }
    return gate(stage.name, outcome, attempt=stage.attempt, **evidence[stage.name])


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_no_intervention_is_run_before_a_passed_baseline_and_every_plan_ends(data: st.DataObject) -> None:
    plan, passed, stages = make_plan(), False, 0
    while stage := next_stage(plan):
        stages += 1
        assert stages <= 12, "a plan must end"
        if any(arm.intervention for cell in stage.cells for arm in cell.arms):
            assert passed
        verdict = verdict_of(plan, stage, data.draw(st.sampled_from(["Pass", "Fail", "Ambiguous"])), data)
        passed |= stage.name == "baseline" and verdict.outcome == "Pass"
        plan = amend(plan, verdict)
    assert plan.ending is not None
    assert plan.ending.reason


def after(plan: Plan, *verdicts: GateVerdict) -> Plan:
    for verdict in verdicts:
        plan = amend(plan, verdict)
    return plan


def passed(stage: StageName, **evidence: object) -> GateVerdict:
    return gate(stage, **evidence)


def failed(stage: StageName, outcome: Outcome = "Fail", **evidence: object) -> GateVerdict:
    return gate(stage, outcome, **evidence)


def test_a_failed_instrument_is_tried_once_more_and_then_stops_the_study() -> None:
    plan = amend(make_plan(), failed("instrument"))
    assert (plan.stage, plan.attempt) == ("instrument", 1)
    assert plan.notes[-1].topic == "tooling-failure"
    ended = amend(plan, failed("instrument"))
    assert ended.ending is not None
    assert ended.ending.outcome == "stopped"


def test_an_unstable_baseline_is_enlarged_at_most_twice_and_only_where_it_failed() -> None:
    cells = {
        f"{MODEL}|tier1": baseline_cell("Fail", needed_n=50),
        f"{MODEL}|tier3": baseline_cell("Pass", needed_n=50),
    }
    plan = after(make_plan(), passed("instrument"))
    assert plan.items[MODEL] == {"tier1": 128, "tier3": 128}
    plan = amend(plan, failed("baseline", cells=cells))
    assert plan.items[MODEL] == {"tier1": 256, "tier3": 128}
    plan = amend(plan, failed("baseline", cells=cells))
    assert plan.items[MODEL]["tier1"] == 512
    plan = amend(plan, failed("baseline", cells=cells))
    assert plan.ending is not None
    assert "2 enlargements" in plan.ending.reason


def test_a_baseline_that_cannot_be_evaluated_grows_to_what_its_accuracy_needs() -> None:
    cells = {f"{MODEL}|tier1": baseline_cell("NotEvaluable", needed_n=4000)}
    plan = amend(after(make_plan(), passed("instrument")), failed("baseline", "Ambiguous", cells=cells))
    assert plan.items[MODEL]["tier1"] >= 4400
    assert plan.items[MODEL]["tier1"] % plan.study.block == 0


def test_a_pool_that_cannot_hold_a_stable_baseline_stops_the_study() -> None:
    cells = {f"{MODEL}|tier1": baseline_cell("NotEvaluable", needed_n=4000)}
    plan = after(make_plan(capacity=1000), passed("instrument"), failed("baseline", "Ambiguous", cells=cells))
    assert plan.ending is not None
    assert "a seed holds 960" in plan.ending.reason


@pytest.mark.parametrize("number", range(3))
def test_control_sets_match_the_targets_layers_and_share_no_head_with_it(number: int) -> None:
    plan = make_plan(make_study(seed=number))
    target = tuple(map(parse_site, ["L0H2", "L1H0", "L1H5"]))
    sets = control_sets(plan, MODEL, target, frozenset({"L1H7"}))
    assert len(sets) == 3
    for chosen in sets:
        assert sorted(site[:2] for site in chosen) == ["L0", "L1", "L1"]
        assert not {"L0H2", "L1H0", "L1H5", "L1H7"} & set(chosen)
        assert len(set(chosen)) == 3
    assert sets == control_sets(plan, MODEL, target, frozenset({"L1H7"}))


def test_a_layer_without_other_heads_has_no_control_sets() -> None:
    plan = make_plan()
    assert control_sets(plan, MODEL, tuple(map(parse_site, [f"L1H{i}" for i in range(5)])), frozenset()) == ()


def confirming() -> Plan:
    row = {"model": MODEL, "tier": "tier1", "psi": 0.1, "delta": 0.0}
    family = [{**row, "alpha": 0.0, "items": 128}, {**row, "alpha": 1.5, "items": 256}]
    return after(
        make_plan(),
        passed("instrument"),
        passed("baseline"),
        passed("detect", picked={MODEL: SITES}, passing={MODEL: SITES}),
        passed("discovery", family=family, dropped=[]),
    )


def test_the_first_look_gives_each_member_its_own_items_and_a_placebo_once_per_seed() -> None:
    stage = next_stage(confirming())
    assert stage is not None
    for cell in stage.cells:
        names = [arm.name for arm in cell.arms]
        assert ("placebo" in names) == (cell.start == 0)
        assert ("target@0" in names) == (cell.start < 128)
        assert "target@1.5" in names
        assert names[0] == "baseline"
        assert cell.split == "confirm"
    assert {cell.seed for cell in stage.cells} == {0, 1, 2}


def test_the_second_look_asks_only_new_items_of_what_was_ambiguous() -> None:
    plan = confirming()
    names = [chosen.id for chosen in plan.family]
    verdicts = {names[0]: cell_verdict("Harm"), names[1]: cell_verdict("Ambiguous")}
    second = amend(plan, failed("confirm", "Ambiguous", verdicts=verdicts))
    assert second.pending == (names[1],)
    assert second.family == plan.family
    stage = next_stage(second)
    assert stage is not None
    assert {cell.start for cell in stage.cells} == {256, 320, 384, 448}
    assert all("target@0" not in [arm.name for arm in cell.arms] for cell in stage.cells)
    ended = amend(second, passed("confirm", verdicts={names[1]: cell_verdict("Inconclusive")}))
    assert ended.ending is not None
    assert ended.ending.outcome == "complete"


def test_a_second_look_at_fewer_items_than_another_member_had_asks_no_baseline_twice() -> None:
    plan = confirming()
    names = [chosen.id for chosen in plan.family]
    verdicts = {names[0]: cell_verdict("Ambiguous"), names[1]: cell_verdict("Harm")}  # 128 items; the other had 256
    second = amend(plan, failed("confirm", "Ambiguous", verdicts=verdicts))
    first, again = next_stage(plan), next_stage(second)
    assert first is not None
    assert again is not None
    assert {cell.start for cell in again.cells} == {128, 192}
    asked = [
        (cell.seed, cell.start) for stage in (first, again) for cell in stage.cells if cell.arms[0].name == "baseline"
    ]
    assert len(asked) == len(set(asked))
    assert all([arm.name.startswith(("target@0", "control@0")) for arm in cell.arms] for cell in again.cells)


def test_a_plan_is_the_same_value_whenever_it_is_made() -> None:
    assert confirming() == confirming()
    assert confirming().hash() == confirming().hash()


def test_a_control_head_is_one_of_the_nearest_in_output_norm_and_sets_do_not_meet() -> None:
    norms = tuple(float(10**i) for i in range(8))
    plan = make_plan().model_copy(update={"norms": {MODEL: (norms, norms, norms)}})
    sets = control_sets(plan, MODEL, tuple(map(parse_site, ["L1H3"])), frozenset({"L1H2"}))
    assert len(sets) == 3
    assert sets[0][0] in {"L1H4", "L1H1", "L1H5"}
    assert len({site for one in sets for site in one}) == 3


def test_a_head_that_writes_nothing_is_the_last_that_stands_for_one_that_does() -> None:
    plan = make_plan().model_copy(update={"norms": {MODEL: ((), (1.0, 0.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0), ())}})
    drawn = control_sets(plan, MODEL, (parse_site("L1H0"),), frozenset())
    assert ("L1H1",) not in drawn


def test_in_format_1_only_a_zeroing_has_companions_and_each_names_its_seeds_reference_set() -> None:
    names = tuple(str(seed) * 64 for seed in (1, 2, 3))
    answer = instrument_answer(references={"tier1": names, "tier3": names})
    plan = after(make_plan(make_study(lesion=1)), passed("instrument", models={MODEL: answer}))
    family = [
        {"model": MODEL, "tier": "tier1", "alpha": alpha, "items": 64, "psi": 0.1, "delta": 0.0} for alpha in (0.0, 1.5)
    ]
    cells = {"picked": {MODEL: SITES}, "passing": {MODEL: SITES}}
    plan = after(plan, passed("baseline"), passed("detect", **cells), passed("discovery", family=family, dropped=[]))
    stage = next_stage(plan)
    assert stage is not None
    for cell in stage.cells:
        beside = {arm.name: arm.intervention for arm in cell.arms if arm.name in ("target@mean", "target@resample")}
        assert len(beside) == 2
        assert {one.reference for one in beside.values()} == {names[cell.seed]}  # pyright: ignore
        assert {one.by for one in beside.values()} == {"layout"}  # pyright: ignore
