"""What the stage of matched sets measures, and the rank that it finds, from rows that are made up."""

import polars as pl
import pytest

from lesion.study.gates.gate_verdict import GateVerdict, SpecificityEvidence
from lesion.study.gates.judge import Facts
from lesion.study.gates.specificity import ARMS, asking, may_ask, seed_items
from lesion.study.plan import Chosen, Configuration, Plan, Shape, new_plan
from lesion.study.rows import ITEMS, PROMPTS, empty
from lesion.study.stages.matched_sets import sets_of
from lesion.study.stages.set_items import set_items
from lesion.study.stages.stage_table import amend, judge, next_stage
from lesion.study.study import Study
from tests.study.made import cell_verdict, gate

MODEL, OTHER = "tiny:llama", "tiny:gpt2"
TARGET = ("L1H0", "L1H1")
STUDY = Study.model_validate(
    {
        "name": "sets", "question": "?", "models": (MODEL,), "block": 64,
        "tasks": {"tier1": {"task": "arithmetic"}, "tier2": {"task": "arithmetic"}},
        "claims": {"sets": 60, "set_items": 96, "population": "model", "primary": "zero", "why_zero": "a test"},
        "sweep": {"target": {"kind": "detected"}, "alphas": (0.0, 2.0), "controls": 3},
        "replication": {"models": (OTHER,), "best": 2},
    }
)  # fmt: skip


def member(tier: str = "tier1", alpha: float = 0.0, model: str = MODEL, items: int = 96) -> Chosen:
    ablation = "zero" if alpha == 0 else None
    return Chosen(
        model=model, tier=tier, alpha=alpha, items=128, psi=0.1, delta=0.0, ablation=ablation, set_items=items
    )


def plan_of(detected: tuple[Chosen, ...], *, stage: str = "specificity", **known: object) -> Plan:
    shapes = {MODEL: Shape(layers=3, heads=8, neurons=16), OTHER: Shape(layers=2, heads=8, neurons=16)}
    plan = new_plan(STUDY, "key", shapes, {"tier1": 10**4, "tier2": 10**4})
    family = (member(), member(alpha=2.0), member("tier2"))
    here = {
        "stage": stage, "family": family, "targets": {MODEL: TARGET, OTHER: ("L0H3", "L1H3")},
        "detected": {each.id: "Harm" for each in detected}, "controls": {MODEL: (), OTHER: ()},
    }  # fmt: skip
    return plan.model_copy(update={**here, **known})


def test_only_cells_with_an_effect_ask_and_each_set_is_measured_once_on_the_same_items_of_every_seed() -> None:
    plan = plan_of((member(), member(alpha=2.0)))
    assert [each.id for each in asking(plan)] == [member().id, member(alpha=2.0).id]
    stage = next_stage(plan)
    assert stage is not None
    measured: dict[str, set[tuple[int, int, int]]] = {}
    for cell in stage.cells:
        assert len(cell.arms) <= ARMS
        assert (cell.stage, cell.split, cell.tier) == ("specificity", "confirm", "tier1")
        for arm in cell.arms:
            place = cell.seed, cell.start, cell.stop
            assert place not in measured.setdefault(arm.name, set()), "an arm is measured twice on an item"
            measured[arm.name].add(place)
    assert set(map(frozenset, measured.values())) == {frozenset({(seed, 0, 32) for seed in range(3)})}
    sets = (*(f"set{i}" for i in range(60)), *(f"within{i}" for i in range(15)))
    names = {"baseline"} | {f"{who}@{edit}" for who in ("target", *sets) for edit in ("zero", "2")}
    assert set(measured) == names
    sites = {
        arm.name: tuple(map(str, arm.intervention.sites)) for c in stage.cells for arm in c.arms if arm.intervention
    }
    assert [sites[f"set{i}@2"] for i in range(60)] == list(sets_of(plan, MODEL).sets)
    assert sites["target@zero"] == TARGET


def made(plan: Plan, effects: dict[str, float]) -> pl.DataFrame:
    """Rows of a confirmation and of the sets' stage in which each arm loses this share of the items."""
    stage = next_stage(plan)
    assert stage is not None
    rows: list[dict[str, object]] = []

    def row(where: str, seed: int, index: int, arm: str) -> None:
        right = index >= round(32 * effects.get(arm, 0.0))
        rows.append(
            {
                "stage": where, "model": MODEL, "tier": "tier1", "split": "confirm", "seed": seed, "index": index,
                "arm": arm, "item_id": f"{seed}-{index}", "correct": right, "answer_logprob": -1.0, "ties": 0,
                "margin": 1.0, "entropy": 1.0, "logit_diff": 1.0,
            }
        )  # fmt: skip

    for seed in range(3):
        for index in range(40):
            for arm in ("baseline", "target@zero"):
                row("confirm", seed, index, arm)
    for cell in stage.cells:
        for index in range(cell.start, cell.stop):
            for arm in cell.arms:
                row("specificity", cell.seed, index, arm.name)
    return pl.DataFrame(rows, schema=ITEMS)


def receipts(rows: pl.DataFrame, **changed: float) -> dict[tuple[str, str, str], float]:
    return {(MODEL, "tier1", arm): changed.get(arm.split("@")[0], 1.0) for arm in rows["arm"].unique() if "@" in arm}


def said(plan: Plan, rows: pl.DataFrame, **changed: float) -> GateVerdict:
    return judge(plan, Facts(rows, empty(PROMPTS), {}, receipts(rows, **changed)))


WEAK = {f"set{i}@zero": i / 128 for i in range(60)}


def test_a_target_beyond_all_its_sets_is_specific_and_the_plan_goes_on_with_that() -> None:
    plan = plan_of((member(),), family=(member(),))
    verdict = said(plan, made(plan, {**WEAK, "target@zero": 0.75}))
    found = verdict.saw(SpecificityEvidence).specific[member().id]
    assert (found.status, found.rank, found.sets, found.exist, found.items) == (
        "specific",
        1,
        60,
        231,
        96,
    )
    assert found.p == pytest.approx(1 / 61)
    assert found.target == pytest.approx(-0.75)
    assert found.effects[40] == pytest.approx(-round(32 * 40 / 128) / 32)
    assert verdict.saw(SpecificityEvidence).sets[member().id] == sets_of(plan, MODEL).sets
    assert amend(plan, verdict).specific == (member().id,)


def test_the_rank_within_its_own_layers_stands_beside_one_in_the_model_and_decides_nothing() -> None:
    plan = plan_of((member(),), family=(member(),))
    own = {f"within{i}@zero": 1.0 for i in range(5)}
    verdict = said(plan, made(plan, {**WEAK, **own, "target@zero": 0.75}))
    assert verdict.saw(SpecificityEvidence).specific[member().id].status == "specific"
    near = verdict.saw(SpecificityEvidence).within[member().id]
    assert (near.rank, near.exist, len(near.sets)) == (6, 15, 15)
    assert near.p == pytest.approx(6 / 16)
    assert all(site.startswith("L1") for one in near.sets for site in one)
    assert not any(set(one) & set(TARGET) for one in near.sets)


def test_a_target_that_many_sets_exceed_is_not_specific() -> None:
    plan = plan_of((member(),), family=(member(),))
    verdict = said(plan, made(plan, {**WEAK, "target@zero": 0.25}))
    found = verdict.saw(SpecificityEvidence).specific[member().id]
    assert found.status == "not specific"
    assert found.rank > 10
    assert amend(plan, verdict).specific == ()


def test_a_set_in_which_nothing_changed_is_left_out_and_named() -> None:
    plan = plan_of((member(),), family=(member(),))
    verdict = said(plan, made(plan, {**WEAK, "target@zero": 0.75}), set0=0.0, set7=0.0)
    found = verdict.saw(SpecificityEvidence).specific[member().id]
    assert (found.sets, verdict.saw(SpecificityEvidence).inert) == (58, {member().id: (0, 7)})
    assert "2 matched sets nothing changed" in amend(plan, verdict).notes[-1].text


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda rows: rows.filter((pl.col("arm") != "set3@zero") | (pl.col("index") > 0)), "set3@zero was not"),
        (lambda rows: pl.concat([rows, rows.filter(pl.col("arm") == "set3@zero").head(1)]), "set3@zero was not"),
        (
            lambda rows: rows.with_columns(
                correct=pl.when((pl.col("stage") == "specificity") & (pl.col("arm") == "baseline")).then(False)
                .otherwise(pl.col("correct"))
            ),
            "answers of baseline differ",
        ),
        (
            lambda rows: rows.with_columns(
                answer_logprob=pl.when((pl.col("stage") == "confirm") & (pl.col("arm") == "target@zero")).then(-2.0)
                .otherwise(pl.col("answer_logprob"))
            ),
            "log-probabilities of target@zero differ",
        ),
        (lambda rows: rows.filter((pl.col("stage") == "confirm") | (pl.col("arm") != "baseline")), "baseline has 0 of"),
    ],
)  # fmt: skip
def test_rows_that_cannot_be_trusted_make_a_cell_not_evaluable_with_the_reason(spoil, words: str) -> None:
    plan = plan_of((member(),), family=(member(),))
    verdict = said(plan, spoil(made(plan, {**WEAK, "target@zero": 0.75})))
    assert verdict.saw(SpecificityEvidence).specific == {}
    assert words in verdict.saw(SpecificityEvidence).spoiled[member().id]
    assert amend(plan, verdict).specific == ()


def test_an_arm_without_a_receipt_is_not_believed() -> None:
    plan = plan_of((member(),), family=(member(),))
    rows = made(plan, {**WEAK, "target@zero": 0.75})
    told = {key: change for key, change in receipts(rows).items() if key[2] != "set9@zero"}
    verdict = judge(plan, Facts(rows, empty(PROMPTS), {}, told))
    assert (
        "1 arms have no receipt, the first of them set9@zero" in verdict.saw(SpecificityEvidence).spoiled[member().id]
    )


def test_holm_counts_every_cell_that_may_ask_whether_its_effect_was_detected_or_not() -> None:
    """Where only strong effects are detected, those that ask are the extreme ones: all that may ask count."""
    plan = plan_of((member(),))
    found = said(plan, made(plan, {**WEAK, "target@zero": 0.75})).saw(SpecificityEvidence).specific[member().id]
    assert (found.status, found.rank) == ("not evaluable", 1)
    assert "3 cells that ask need 120 sets" in found.reason
    assert found.p_holm == pytest.approx(3 / 61)
    named = plan.study.model_copy(update={"claims": plan.study.claims.model_copy(update={"asking": ("tier2",)})})  # pyright: ignore
    assert may_ask(plan.model_copy(update={"study": named})) == [member("tier2")]
    control = plan.study.model_copy(update={"positive_control": "tier1"})
    assert may_ask(plan.model_copy(update={"study": control})) == [member(alpha=2.0), member("tier2")]


def test_after_the_confirmation_sets_are_measured_where_there_is_an_effect_and_nowhere_else() -> None:
    plan = plan_of((), stage="confirm", pending=(member().id, member("tier2").id))
    for verdict, stage in (("Harm", "specificity"), ("Null", "transfer")):
        cells = {member().id: cell_verdict(verdict), member("tier2").id: cell_verdict("Null")}
        assert amend(plan, gate("confirm", verdicts=cells)).stage == stage


def test_a_replication_asks_only_where_the_source_was_specific() -> None:
    replicas = (member(model=OTHER), member("tier2", model=OTHER))
    known = {"replicas": replicas, "configurations": (Configuration(tier="tier1", alpha=0.0, why="improvement"),)}
    plan = plan_of(replicas, stage="replicate_specificity", specific=(member().id,), **known)
    assert [each.id for each in asking(plan)] == [replicas[0].id]
    assert asking(plan.model_copy(update={"specific": ()})) == []


def discovered(square: float, spread: float) -> pl.DataFrame:
    """Discovery rows of a baseline that is always right and two sets that lose `square` +- `spread` of 200 items."""
    lost = {"baseline": 0.0, "control0@zero": square - spread, "control1@zero": square + spread}
    rows = [
        {
            "stage": "discovery", "model": MODEL, "tier": "tier1", "split": "discovery", "seed": 0, "index": index,
            "arm": arm, "item_id": "", "correct": index >= round(200 * share), "answer_logprob": -1.0, "ties": 0,
            "margin": 1.0, "entropy": 1.0, "logit_diff": 1.0,
        }
        for arm, share in lost.items()
        for index in range(200)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=ITEMS)


@pytest.mark.parametrize(
    ("square", "spread", "items"),
    [
        (0.2, 0.1, 250),  # 25 .2 / (.1 root 2)^2
        (0.2, 0.05, 384),  # the same wants 1,000; the cell has 384
        (0.1, 0.1, 125),
        (0.01, 0.0, 278),  # sets that hardly differ: 25 .01 / .03^2, the margin
        (0.0, 0.0, 96),  # nothing changed: the least number
    ],
)
def test_items_per_set_make_their_noise_a_fifth_of_the_sets_spread(square: float, spread: float, items: int) -> None:
    plan = plan_of((), stage="discovery", controls={MODEL: (("L0H1",), ("L0H2",))})
    chosen = member()
    assert set_items(plan, discovered(square, spread), chosen, 0.03, 1.0) == items
    assert seed_items(plan, chosen.model_copy(update={"set_items": items})) == -(-items // 3)
