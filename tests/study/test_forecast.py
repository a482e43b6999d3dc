"""A forecast counts what the plan would do, and the overrun contingency puts off what the budget cannot hold."""

import numpy as np
import pytest

from lesion.interventions.intervention import Scale
from lesion.interventions.site import parse_site
from lesion.study.arms.arm import BASELINE, Arm
from lesion.study.forecast.forecast import (
    Anatomy,
    Basis,
    Lengths,
    arm_weight,
    expected,
    forecast,
    minutes,
    needs,
    total,
)
from lesion.study.plan import Chosen, Plan, Shape, new_plan
from lesion.study.stages.overrun import afford, as_before, defer
from lesion.study.stages.stage_table import next_stage
from lesion.study.study import Study

MODELS = ("tiny:llama", "tiny:gpt2")
ANATOMY = Anatomy(layers=2, width=32, attention=32, neurons=48, vocabulary=60)
BASIS = Basis(
    dict.fromkeys(MODELS, ANATOMY), dict.fromkeys(MODELS, dict.fromkeys(("tier1", "tier2"), Lengths(20.0, 3.0, 10.0)))
)


def make_plan(cpu_hours: float = 1.0, **changes: object) -> Plan:
    fields: dict[str, object] = {
        "name": "forecast",
        "question": "?",
        "models": MODELS,
        "tasks": {"tier1": {"task": "arithmetic"}, "tier2": {"task": "symbolic"}},
        "block": 64,
        "baseline": {"items": 128},
        "sweep": {"items": 64, "alphas": (0.0, 0.5), "controls": 1, "target": {"kind": "sites", "sites": ["L0H1"]}},
        "budget": {"cpu_hours": cpu_hours},
    }
    study = Study.model_validate({**fields, **changes})
    shapes = dict.fromkeys(MODELS, Shape(layers=2, heads=4, neurons=48))
    return new_plan(study, "key", shapes, dict.fromkeys(study.tasks, 100_000))


def at_discovery(plan: Plan) -> Plan:
    sets = (("L0H0",), ("L0H2",), ("L0H3",))
    primary = dict.fromkeys(MODELS, dict.fromkeys(plan.study.tasks, "zero"))
    references = dict.fromkeys(MODELS, dict.fromkeys(plan.study.tasks, ("a" * 64, "b" * 64, "c" * 64, "d" * 64)))
    update = {"targets": dict.fromkeys(MODELS, ("L0H1",)), "controls": dict.fromkeys(MODELS, sets), "primary": primary}
    return plan.model_copy(update={"stage": "discovery", "references": references, **update})


def test_cells_items_and_rows_are_those_that_the_plan_makes() -> None:
    plan = make_plan()
    costs = {cost.stage: cost for cost in forecast(plan, BASIS)}
    for stage in ("baseline", "discovery"):
        done = next_stage(at_discovery(plan).model_copy(update={"stage": stage}))
        assert done is not None
        assert costs[stage].cells == len(done.cells)
        assert costs[stage].items == sum(cell.stop - cell.start for cell in done.cells)
        assert costs[stage].rows == sum((cell.stop - cell.start) * len(cell.arms) for cell in done.cells)
    assert total(list(costs.values())).rows == sum(cost.rows for cost in costs.values())
    assert costs["confirm"].bytes > 0


def test_arithmetic_is_two_multiply_adds_for_each_weight_and_token() -> None:
    one = Anatomy(layers=1, width=2, attention=3, neurons=5, vocabulary=7)
    assert one.row(tokens=1, logits=0) == 2 * (4 * 2 * 3 + 3 * 2 * 5) + 2 * 3
    assert one.row(tokens=0, logits=1) == 2 * 2 * 7
    assert one.parameters == 4 * 2 * 3 + 3 * 2 * 5 + 2 * 2 * 7


def test_an_edit_costs_only_the_layers_above_it() -> None:
    def edit(site: str) -> Arm:
        return Arm(role="target", intervention=Scale(sites=(parse_site(site),), alpha=0.0))

    assert arm_weight(ANATOMY, BASELINE) == arm_weight(ANATOMY, edit("L0H1")) == 1.0
    assert arm_weight(ANATOMY, edit("L1H1")) == arm_weight(ANATOMY, edit("L2.resid_pre")) == 0.5


def test_stages_that_are_over_are_not_forecast_again() -> None:
    stages = [cost.stage for cost in forecast(at_discovery(make_plan()), BASIS)]
    assert stages == ["discovery", "confirm", "specificity", "second look, of every cell"]
    detected = make_plan(sweep={"items": 64}).model_copy(update={"stage": "baseline"})
    assert [cost.stage for cost in forecast(detected, BASIS)][1] == "detect"


def test_pools_are_held_against_both_looks() -> None:
    told = needs(make_plan())
    assert told["tier1"]["enough"]
    assert told["tier1"]["needs"] >= 2 * 2440
    small = make_plan().model_copy(update={"capacity": {"tier1": 4000, "tier2": 100_000}})
    assert not needs(small)["tier1"]["enough"]
    whole, without = (next(c for c in forecast(p, BASIS) if c.stage == "confirm") for p in (make_plan(), small))
    assert without.items == whole.items / 2


def test_the_forecast_of_matched_sets_is_what_the_plan_does_when_every_cell_has_an_effect() -> None:
    plan = at_discovery(make_plan(claims={"sets": 3, "set_items": 96, "primary": "zero", "why_zero": "a test"}))
    cost = next(each for each in forecast(plan, BASIS) if each.stage == "specificity")
    family = tuple(
        Chosen(
            model=model, tier=tier, alpha=alpha, items=128, psi=0.1, delta=0.0, set_items=96,
            ablation="zero" if alpha == 0 else None,
        )
        for model in MODELS for tier in plan.study.tasks for alpha in (0.0, 0.5)
    )  # fmt: skip
    known = {"stage": "specificity", "family": family, "detected": {each.id: "Harm" for each in family}}
    done = next_stage(plan.model_copy(update=known))
    assert done is not None
    rows = sum((cell.stop - cell.start) * sum(arm.name != "baseline" for arm in cell.arms) for cell in done.cells)
    assert cost.rows == rows == 8 * 4 * 96
    assert cost.flop > rows * ANATOMY.row(22.0, 3.0)


@pytest.mark.parametrize("many", [1, 2, 5])
def test_sets_from_the_whole_model_begin_where_their_lowest_head_is(many: int) -> None:
    layers, heads = 12, 8
    anatomy = ANATOMY._replace(layers=layers)
    basis = Basis(dict.fromkeys(MODELS, anatomy), BASIS.lengths)
    sites = [f"L{layers - 1}H{at}" for at in range(many)]
    claims = {"sets": 199, "set_items": 96, "primary": "zero", "why_zero": "a test", "population": "model"}
    plan = make_plan(claims=claims, sweep={"items": 64, "controls": 1, "target": {"kind": "sites", "sites": sites}})
    plan = plan.model_copy(update={"shapes": dict.fromkeys(MODELS, Shape(layers=layers, heads=heads, neurons=48))})
    cost = next(each for each in forecast(plan, basis) if each.stage == "specificity")
    rng = np.random.default_rng(0)
    begins = [rng.choice(layers * heads, many, replace=False).min() // heads for _ in range(20_000)]
    whole = 2 * cost.cells / plan.study.baseline.seeds * 96  # of unedited rows, two for each portion of the sets
    passes = cost.flop / anatomy.row(22.0, 3.0) - whole
    assert passes / cost.rows == pytest.approx(1 - np.mean(begins) / layers, abs=0.01)


def test_minutes_share_the_work_among_workers() -> None:
    assert minutes(6e10, 1e9) == 1.0
    assert minutes(6e10, 1e9, workers=2) == 0.5


SPENT = {"cpu_hours": 300 / 3600, "gpu_hours": 0.1, "wall_minutes": 5.0}


def hours(plan: Plan) -> dict[str, float]:
    """What is left, where the whole of both models and tiers takes 4,000 processor seconds, 4 GPU hours, 40 minutes."""
    share = len(plan.pairs())
    return {"cpu_hours": share * 1000 / 3600, "gpu_hours": 1.0 * share, "wall_minutes": 10.0 * share}


@pytest.mark.parametrize(
    ("cpu_hours", "left_out"),
    [
        (2.0, ()),
        (0.7, ("tiny:gpt2|tier1", "tiny:gpt2|tier2")),
        (0.4, ("tiny:llama|tier2", "tiny:gpt2|tier1", "tiny:gpt2|tier2")),
        (0.01, ("tiny:llama|tier2", "tiny:gpt2|tier1", "tiny:gpt2|tier2")),
    ],
    ids=["it fits", "other models are put off", "other tiers, too", "what is left runs until the budget ends it"],
)
def test_an_overrun_puts_off_other_models_first_and_then_other_tiers(
    cpu_hours: float, left_out: tuple[str, ...]
) -> None:
    plan = at_discovery(make_plan(cpu_hours))
    settled = afford(plan, SPENT, hours)
    assert settled.deferred == left_out
    assert [note.topic for note in settled.notes] == (["overrun"] if left_out else [])
    stage = next_stage(settled)
    assert stage is not None
    asked = {f"{cell.model}|{cell.tier}" for cell in stage.cells}
    assert asked == {"|".join(pair) for pair in plan.pairs()} - set(left_out)
    assert expected(settled, BASIS) == pytest.approx(expected(plan, BASIS) * (4 - len(left_out)) / 4)


@pytest.mark.parametrize(
    ("budget", "put_off", "said"),
    [
        ({"cpu_hours": 2.0, "gpu_hours": 4.2, "wall_minutes": 45.1}, 0, None),
        ({"cpu_hours": 2.0, "gpu_hours": 4.0, "wall_minutes": 60.0}, 2, "4.100 of 4 GPU hours"),
        ({"cpu_hours": 2.0, "gpu_hours": 25.0, "wall_minutes": 40.0}, 2, "45.000 of 40 minutes of wall time"),
        ({"cpu_hours": 2.0, "gpu_hours": 25.0, "wall_minutes": 20.0}, 3, "45.000 of 20 minutes of wall time"),
        ({"cpu_hours": 0.7, "gpu_hours": 1.5, "wall_minutes": 60.0}, 3, "1.194 of 0.7 processor hours, 4.100 of 1.5"),
    ],
    ids=["all fit", "GPU hours", "wall time", "wall time of one model, too", "one limit is tighter than the other"],
)
def test_any_limit_of_the_budget_can_be_the_one_that_is_overrun(
    budget: dict[str, float], put_off: int, said: str | None
) -> None:
    settled = afford(at_discovery(make_plan(budget=budget)), SPENT, hours)
    assert len(settled.deferred) == put_off
    assert [said in note.text for note in settled.notes] == ([True] if said else [])


def test_a_replay_puts_off_what_its_run_did_however_fast_it_is() -> None:
    plan = at_discovery(make_plan(0.7))
    settled = afford(plan, SPENT, hours)
    assert as_before(settled, plan) == settled
    assert as_before(plan, plan) == plan
    assert defer(plan, (), "").deferred == ()
