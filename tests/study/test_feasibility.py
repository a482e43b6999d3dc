"""What is said before a run: which accuracies a pool can carry, what would help, whether any p can be small enough."""

import math

import polars as pl
import pytest

from lesion.study.forecast.feasibility import baseline_items, carried, foreseen
from lesion.study.forecast.forecast import needs
from lesion.study.forecast.reachable_specificity import exist, reaches, words
from lesion.study.plan import Plan, Shape, new_plan
from lesion.study.stages.confirmatory_cells import SD_GRID, assumed_n, has_prefixes, power_table
from lesion.study.study import Study

MODEL = "tiny:llama"


def plan_of(held: int = 10**6, tasks: int = 1, **parts: object) -> Plan:
    fields: dict[str, object] = {
        "name": "before", "question": "?", "models": (MODEL,), "block": 128,
        "tasks": {f"t{i}": {"task": "arithmetic", "operators": ("+",), "high": 89} for i in range(tasks)},
        "sweep": {"target": {"kind": "sites", "sites": ["L1H0", "L1H1"]}, "best": 0, "alphas": (0.0,)},
    }  # fmt: skip
    study = Study.model_validate({**fields, **parts})
    return new_plan(study, "any", {MODEL: Shape(layers=3, heads=8, neurons=64)}, dict.fromkeys(study.tasks, held))


def test_a_pool_of_two_digit_sums_carries_no_accuracy_near_one_half_and_the_plan_names_ways_out() -> None:
    plan = plan_of(held=2193)
    found = carried(plan)["t0"]
    assert (found.holds, found.wants, found.enough) == (2176, 3052, False)
    assert baseline_items(found.limit * (1 - found.limit), plan.study, 1) == pytest.approx(found.holds, abs=1)
    (sums, *_) = foreseen(plan)
    for part in ("a seed holds 2,176 items", "needs 3,052", "outcome: answer_logprob", "high: 199"):
        assert part in sums
    assert carried(plan_of(held=3200))["t0"].enough
    assert "at any accuracy" in foreseen(plan_of(held=3200))[0]


def test_several_tiers_share_the_error_rate_and_fewer_are_proposed() -> None:
    found = carried(plan_of(held=3200, tasks=4))["t0"]
    assert found.wants > 3200
    assert any(way.startswith("fewer tiers") for way in found.proposals)


def test_fifteen_sets_can_show_nothing_and_the_wider_population_is_named() -> None:
    plan = plan_of()
    (reach,) = reaches(plan)
    assert (reach.least, reach.sets, reach.cells, reach.elsewhere) == (15, 15, 0, 231)
    assert "NOT EVALUABLE (claims: {population: model} has 231 or more)" in words(reach)
    (wide,) = reaches(plan_of(claims={"population": "model"}))
    assert (wide.sets, wide.cells, wide.asking) == (199, 1, 1)
    assert words(wide).endswith("enough for the one cell that may ask.")


def test_more_cells_than_the_sets_allow_are_told_how_many_sets_would_do() -> None:
    (reach,) = reaches(plan_of(tasks=8, claims={"population": "model"}))
    assert (reach.asking, reach.cells, reach.wanted) == (8, 0, 320)
    assert "With 8 cells that may ask, 320 sets are needed: specificity is NOT EVALUABLE." in words(reach)
    (four,) = reaches(plan_of(tasks=4, claims={"population": "model", "sets": 100}))
    assert "claims: {sets: 160} would do" in words(four)


def test_before_the_detector_the_sets_are_a_range_and_none_wanted_is_said() -> None:
    plan = plan_of(sweep={"target": {"kind": "detected", "most": 2}, "best": 0, "alphas": (0.0,)})
    assert exist(plan, MODEL, "layer") == (7, 49)  # one head of eight; two in different layers
    assert exist(plan, MODEL, "model") == (23, 231)
    assert any("claims.sets is 0" in line for line in foreseen(plan_of(claims={"sets": 0})))


@pytest.mark.parametrize("effect", [0.1, 4.5])
def test_a_study_in_nats_is_planned_in_nats(effect: float) -> None:
    """An effect may be larger than 1: it is no share of answers."""
    nats = {"margin": 3.0, "effect": effect, "spread": 9.0}
    plan = plan_of(claims={"outcome": "answer_logprob"}, verdict=nats, baseline={"spread": 9.0})
    table = power_table(plan)
    assert [row["sd"] for row in table] == list(SD_GRID)
    items = [int(str(row["items"])) for row in table]
    assert items == sorted(items), "the more differences vary, the more items"
    assert assumed_n(plan.study, 2.0) >= 3.5 * assumed_n(plan.study, 1.0) or effect > 1
    assert needs(plan)["t0"]["needs"] > 0


def test_only_tiers_with_example_sets_are_asked_for_items_behind_every_set():
    prompts = pl.DataFrame(
        {
            "tier": ["shown", "shown", "plain"],
            "buckets": ['{"prefix":"s0p00","template":"a"}', "{}", '{"template":"a"}'],
        }
    )
    assert has_prefixes(prompts, "shown")
    assert not has_prefixes(prompts, "plain")


def test_a_floor_that_is_counted_from_few_answers_is_said_before_the_run() -> None:
    nats = {"verdict": {"margin": 0.1, "effect": 0.3, "spread": 0.5}, "baseline": {"spread": 0.5}}
    sample = plan_of(claims={"outcome": "answer_logprob"}, **nats)
    (told,) = (line for line in foreseen(sample) if "floor" in line)
    assert f"{-math.log(sample.study.sweep.items):.2f} nats" in told
    corrected = plan_of(claims={"outcome": "answer_logprob", "chance": "coverage"}, **nats)
    assert not [line for line in foreseen(corrected) if "floor" in line]
    assert not [line for line in foreseen(plan_of()) if "floor" in line]


def test_a_denoising_plan_says_which_verdicts_its_corrupted_prompts_forbid() -> None:
    nats = {"verdict": {"margin": 0.1, "effect": 0.3, "spread": 0.5}, "baseline": {"spread": 0.5}}
    for direction, said in (("denoising", True), ("noising", False)):
        sweep = {
            "target": {"kind": "sites", "sites": ["L1H0"]}, "best": 0, "alphas": (0.0,), "always": (0.0,),
            "edit": {"kind": "patch", "direction": direction},
        }  # fmt: skip
        plan = plan_of(claims={"outcome": "answer_logprob", "chance": "coverage"}, sweep=sweep, **nats)
        assert any("Harm and Null cannot" in line for line in foreseen(plan)) is said


def test_the_floor_of_an_accuracy_has_nothing_to_correct() -> None:
    with pytest.raises(ValueError, match="chance: coverage is of outcome: answer_logprob"):
        plan_of(claims={"chance": "coverage"})


def test_a_study_without_the_key_has_the_hash_that_it_had() -> None:
    written = plan_of(claims={"sets": 0}).study.model_dump()["claims"]
    assert not {"chance", "effects_only"} & written.keys()


NATS = {"verdict": {"margin": 0.1, "effect": 1.0, "spread": 1.0}, "baseline": {"spread": 0.5}}


def test_a_tier_that_needs_no_null_is_planned_and_forecast_with_fewer_items() -> None:
    claims = {"outcome": "answer_logprob", "effects_only": ["t1"]}
    plan = plan_of(tasks=2, claims=claims, **NATS)
    needed = {row["tier"]: row["items"] for row in power_table(plan) if row["sd"] == 1.0}
    assert needed["t0"] > 4 * needed["t1"]
    assert needs(plan)["t0"]["needs"] > needs(plan)["t1"]["needs"]


@pytest.mark.parametrize(
    ("tiers", "claims", "said"),
    [
        (["t2"], {"outcome": "answer_logprob"}, "claims.effects_only: did you mean 't1'"),
        (["t1"], {}, "seed gate asks for more items than a Null"),
    ],
)
def test_tiers_without_a_null_must_exist_and_be_of_a_continuous_outcome(tiers, claims, said) -> None:
    nats = NATS if claims else {}
    with pytest.raises(ValueError, match=said):
        plan_of(tasks=2, claims={**claims, "effects_only": tiers}, **nats)
