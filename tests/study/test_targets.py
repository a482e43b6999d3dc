"""Several targets in one study: each has its own arms, matched sets, cells and names."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lesion.errors import InputError
from lesion.runs.execute.costs import basis_of
from lesion.runs.execute.prepare import prepare_plan
from lesion.runs.measure import measure_cell
from lesion.study.arms.condition import Condition, member_of
from lesion.study.arms.condition_columns import older_condition, with_conditions
from lesion.study.arms.targets import aim
from lesion.study.forecast.forecast import forecast
from lesion.study.forecast.reachable_specificity import reaches
from lesion.study.format.load import parse_document
from lesion.study.gates import specificity
from lesion.study.gates.evidence.soundness import unsound
from lesion.study.gates.judge import Facts
from lesion.study.plan import Chosen, Plan, Stage
from lesion.study.stages.cells import discovery_cells
from lesion.study.stages.confirmatory_cells import Discovery, choose, discovery_table, family_size
from lesion.study.stages.matched_sets import sets_of
from lesion.study.stages.stage_table import STAGES, judge, next_stage
from lesion.study.study import Study
from tests.study.made import detector_answer

MODEL = "tiny:llama"
TEXT = """\
name: several
question: Which of them is needed?
models: [tiny:llama]
tasks: {tier: {task: arithmetic, operators: ["+"], low: 10, high: 99, shots: 1}}
block: 16
baseline: {items: 64, spread: 0.9}
sweep: {TARGETS, alphas: [0.0], best: 0, items: 64, controls: 1}
claims: {primary: zero, why_zero: the smallest case, sets: 3, set_items: 16}
verdict: {margin: 0.3, effect: 0.5, spread: 0.9}
exclusions: 0.5
"""
TWO = "targets: {late: {kind: sites, sites: [L1H0, L1H2]}, early: {kind: sites, sites: [L0H1]}}"
FOUND = "targets: {seen: {kind: detected, threshold: 0.4, most: 2}, found: {kind: detected, detector: previous_token}}"


def study(targets: str = TWO, text: str = TEXT, **changes: Any) -> Study:
    return parse_document(text.replace("TARGETS", targets), "several.yaml", Study, changes)


def plan(targets: str = TWO, sites: dict[str, tuple[str, ...]] | None = None) -> Plan:
    """Ready for discovery, without references: zero alone decides."""
    made = prepare_plan(study(targets), "key")
    known = sites or {aim(MODEL, "early"): ("L0H1",), aim(MODEL, "late"): ("L1H0", "L1H2")}
    made = made.model_copy(update={"targets": known, "stage": "discovery", "primary": {MODEL: {"tier": "zero"}}})
    made = made.model_copy(update={"references": {MODEL: {"tier": tuple(letter * 64 for letter in "abcd")}}})
    sets = {aim(each.model, each.target): sets_of(made, each.model, each.target).sets[:1] for each in made.aims()}
    return made.model_copy(update={"controls": sets})


def zeroed(asked: Plan) -> pl.DataFrame:
    """The first discovery cell of a plan, without the ablations that need references."""
    (cell, *_) = discovery_cells(asked)
    arms = tuple(arm for arm in cell.arms if arm.edit not in ("mean", "resample") and arm.role != "single")
    return measure_cell.work(cell.model_copy(update={"arms": arms}), asked).items  # pyright: ignore


def test_targets_are_sorted_by_name_and_read_back_as_they_were() -> None:
    assert [*study().sweep.named] == ["early", "late"]
    assert study().sweep.target is None
    assert parse_document(study().model_dump_json(), "again.json", Study) == study()
    one = study("target: {kind: sites, sites: [L0H1]}")
    assert [*one.sweep.named] == [""]
    assert "targets" not in one.model_dump()["sweep"]


@pytest.mark.parametrize(
    ("targets", "changes", "said"),
    [
        (f"{TWO}, target: {{kind: sites, sites: [L0H1]}}", {}, "give one of the two"),
        ("targets: {1st: {kind: sites, sites: [L0H1]}}", {}, "1st"),
        (TWO, {"positive_control": "tier"}, "positive_control: not with several targets"),
        (TWO, {"lesion": 1}, "lesion: 2"),
        (FOUND, {"replication": {"models": ["tiny:gpt2"]}}, "replication: not with several targets"),
        (f"{FOUND}, staged: 2", {}, "sweep.staged: not with several targets"),
        ("targets: {one: {kind: neurons, tier: other}}", {}, "sweep.target.tier"),
    ],
)
def test_what_several_targets_cannot_do_is_refused(targets: str, changes: dict[str, Any], said: str) -> None:
    text = TEXT if changes.get("lesion") != 1 else TEXT.replace("claims: {primary", "# claims: {primary")
    with pytest.raises(InputError, match=said):
        study(targets, text, **changes)


def test_a_site_that_no_model_has_is_refused_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="L9H0"):
        prepare_plan(study(TWO.replace("L0H1", "L9H0")), "key")


@pytest.mark.parametrize(
    ("name", "role", "member"),
    [
        ("target:early@mean", "target", "early"), ("set:early:7@mean", "set", "early:7"), ("set7@0", "set", "7"),
        ("control:a-b_c:0@0.5", "control", "a-b_c:0"), ("placebo:early", "placebo", "early"),
        ("placebo", "placebo", ""),
    ],
)  # fmt: skip
def test_a_name_with_a_target_is_read_back(name: str, role: str, member: str) -> None:
    read = older_condition(name)
    assert (read.role, read.member, read.name) == (role, member, name)
    assert read.target == (member.partition(":")[0] if ":" in name else "")
    with pytest.raises(InputError):
        with_conditions(pl.DataFrame({"arm": ["target:@mean"]}))


def test_the_members_of_a_target_carry_its_name() -> None:
    assert (member_of("", 7), member_of("early", 7), member_of("early")) == ("7", "early:7", "early")
    assert Condition("single", "scale", 0.0, "L1H0").target == ""


def test_each_target_does_what_it_does_alone() -> None:
    """Known answer: the same rows as in a study of this target only, and other rows than the other target's."""
    both = zeroed(plan())
    alone = zeroed(plan("target: {kind: sites, sites: [L1H0, L1H2]}", {MODEL: ("L1H0", "L1H2")}))

    def numbers(rows: pl.DataFrame, arm: str) -> list[float]:
        return rows.filter(arm=arm).sort("index")["answer_logprob"].to_list()

    assert numbers(both, "target:late@0") == pytest.approx(numbers(alone, "target@0"), abs=1e-5)
    assert numbers(both, "target:early@0") != pytest.approx(numbers(both, "target:late@0"), abs=1e-5)
    assert {"control:early:0@0", "control:late:0@0"} <= {*both["arm"]}
    with_conditions(both)


def test_the_family_has_a_cell_for_each_target_and_counts_them_all() -> None:
    asked = plan()
    table = zeroed(asked)
    items = pl.concat([table.with_columns(index=pl.col("index") + 16 * i) for i in range(4)])
    prompts = table.filter(arm="baseline").select("model", "tier", "split", "seed", "index")
    prompts = pl.concat([prompts.with_columns(index=pl.col("index") + 16 * i) for i in range(4)])
    prompts = prompts.with_columns(buckets=pl.lit("{}"), refused=pl.lit(None, dtype=pl.String), answer=pl.lit("1"))
    family, dropped = choose(asked, Discovery(discovery_table(items), items, prompts))
    assert not dropped
    assert [each.id for each in family] == [f"{MODEL}|tier|target:{name}@zero" for name in ("early", "late")]
    first = family[0]
    assert (first.aim, first.short, first.placebo) == (
        f"{MODEL}|early", "early: zero", "placebo:early",
    )  # fmt: skip
    assert family_size(asked.study) == 2


@pytest.mark.parametrize(
    ("asking", "may"),
    [
        ((), {("early", "a"), ("early", "b"), ("late", "a"), ("late", "b")}),
        (("b",), {("early", "b"), ("late", "b")}),
        ({"early": ("a",), "late": ("b",)}, {("early", "a"), ("late", "b")}),
        ({"late": ("a", "b")}, {("late", "a"), ("late", "b")}),
    ],
)
def test_each_target_asks_where_it_is_named_and_elsewhere_no_sets_are_measured_foreseen_or_counted(
    asking: Any, may: set[tuple[str, str]]
) -> None:
    """The gate, the forecast and Holm's count go by the same rule."""
    asked = prepare_plan(study(text=asks(asking)), "key")
    known = {aim(MODEL, "early"): ("L0H1",), aim(MODEL, "late"): ("L1H0", "L1H2")}
    cells = tuple(
        Chosen(
            model=MODEL, tier=tier, alpha=0.0, items=16, psi=0.2, delta=0.0, ablation="zero", target=name, set_items=16
        )
        for name in ("early", "late")
        for tier in ("a", "b")
    )
    found = {each.id: "Harm" for each in cells}
    at = asked.model_copy(update={"targets": known, "stage": "specificity", "family": cells, "detected": found})
    assert {(each.target, each.tier) for each in specificity.asking(at)} == may
    units = specificity.specificity_cells(at)
    assert {(name, u.tier) for u in units for a in u.arms for name in known_names(a.name)} == may
    assert {reach.asking for plan in (asked, at) for reach in reaches(plan)} == {len(may)}
    cost = next(each for each in forecast(at, basis_of(at.study)) if each.stage == "specificity")
    assert cost.rows == 16 * sum(arm.name != "baseline" for unit in units if unit.seed == 0 for arm in unit.arms)


@pytest.mark.parametrize(
    ("asking", "targets", "said"),
    [
        ({"erly": ["a"]}, TWO, "claims.asking: did you mean 'early'"),
        ({"early": ["c"]}, TWO, "claims.asking: .*allowed: a, b"),
        ({"early": ["a"]}, "target: {kind: sites, sites: [L0H1]}", "list the tasks"),
    ],
)
def test_asking_names_targets_and_tasks_of_the_study(asking: Any, targets: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        study(targets, asks(asking))


def asks(asking: Any) -> str:
    """The study's text with two tasks, and `claims.asking`."""
    one = '{tier: {task: arithmetic, operators: ["+"], low: 10, high: 99, shots: 1}}'
    two = "{a: {task: arithmetic}, b: {task: symbolic, patterns: [repeat]}}"
    return TEXT.replace(one, two).replace("set_items: 16", f"set_items: 16, asking: {json.dumps(asking)}")


def known_names(arm: str) -> set[str]:
    """The target that an arm edits, if any."""
    return {name for name in ("early", "late") if f":{name}" in arm}


def test_each_target_has_matched_sets_of_its_own_that_share_no_site_with_it() -> None:
    asked = plan()
    early, late = (sets_of(asked, MODEL, name).sets for name in ("early", "late"))
    assert {len(one) for one in early} == {1}
    assert {len(one) for one in late} == {2}
    assert not {site for one in early for site in one} & {"L0H1"}
    (cell, *_) = discovery_cells(asked)
    stage = Stage(name="discovery", attempt=0, cells=(cell,))
    assert not list(unsound(asked, stage))
    spoiled = asked.model_copy(update={"controls": {**asked.controls, aim(MODEL, "early"): (("L0H1",),)}})
    assert any("shares L0H1 with the target" in said for said in unsound(spoiled, stage))
    arms = tuple(arm.model_copy(update={"member": "late:0"}) if arm.role == "control" else arm for arm in cell.arms)
    wrong = cell.model_copy(update={"arms": tuple(arm for arm in arms if arm.role == "control")})
    other = asked.model_copy(
        update={"targets": {**asked.targets, aim(MODEL, "late"): asked.controls[f"{MODEL}|early"][0]}}
    )
    assert any(
        "which the target edits" in said for said in unsound(other, stage.model_copy(update={"cells": (wrong,)}))
    )


def test_every_detector_is_asked_and_the_one_that_finds_nothing_is_named() -> None:
    asked = prepare_plan(study(FOUND), "key").model_copy(update={"stage": "detect"})
    stage = next_stage(asked)
    assert stage is not None
    assert [cell.target for cell in stage.cells] == ["found", "seen"]
    nothing = pl.DataFrame()
    high, low = detector_answer(((0.9, 0.45), (0.6, 0.1))), detector_answer(((0.1, 0.2), (0.1, 0.2)))
    keys = aim(MODEL, "found"), aim(MODEL, "seen")
    verdict = judge(asked, Facts(nothing, nothing, dict(zip(keys, (high, high), strict=True))))
    assert verdict.outcome == "Pass"
    assert verdict.evidence.picked == {keys[0]: ("L0H0", "L1H0"), keys[1]: ("L0H0", "L1H0")}  # pyright: ignore
    failed = judge(asked, Facts(nothing, nothing, dict(zip(keys, (high, low), strict=True))))
    assert failed.outcome == "Fail"
    assert failed.reason.startswith("seen: no head of tiny:llama has a score of 0.4 or more")
    after = STAGES["detect"].transition(asked, verdict)
    assert [(each.target, each.sites) for each in after.aims()] == [
        ("found", ("L0H0", "L1H0")), ("seen", ("L0H0", "L1H0")),
    ]  # fmt: skip
    assert [note.text for note in after.notes if note.topic == "shared-sites"] == [
        "tiny:llama: the targets found and seen share L0H0, L1H0."
    ]
