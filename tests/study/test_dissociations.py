"""Questions about double dissociations in a study: what is asked, and how rows of the first look answer it."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from lesion.errors import InputError
from lesion.runs.execute.prepare import prepare_plan
from lesion.stats.dissociation.question import Asked
from lesion.study.arms.targets import aim
from lesion.study.forecast.feasibility import foreseen
from lesion.study.forecast.reachable_leads import lead_words
from lesion.study.format.load import parse_document
from lesion.study.gates.dissociations import dissociations, questions
from lesion.study.plan import Chosen, Plan
from lesion.study.rows import ITEMS, PROMPTS
from lesion.study.study import Study

MODEL = "tiny:llama"
TEXT = """\
name: apart
question: Does each target have its own task?
models: [tiny:llama]
tasks:
  copies: {task: arithmetic, operators: ["+"], low: 10, high: 99, shots: 1}
  sums: {task: arithmetic, operators: ["+", "-"], low: 10, high: 99, shots: 1}
sweep: {targets: {late: {kind: sites, sites: [L1H0]}, early: {kind: sites, sites: [L0H1]}}, alphas: [0.0], best: 0}
claims: {primary: zero, why_zero: the smallest case, sets: 3, ASKED}
"""
TARGETS = "targets: {late: {kind: sites, sites: [L1H0]}, early: {kind: sites, sites: [L0H1]}}"
ONE = "dissociation: [{targets: [late, early], tasks: [copies, sums]}]"
PER_SEED, SEEDS = 216, 3


def study(asked: str = ONE, text: str = TEXT, **changes: Any) -> Study:
    return parse_document(text.replace("ASKED", asked), "apart.yaml", Study, changes)


def plan(asked: str = ONE) -> Plan:
    """At the first look; all four cells are confirmed."""
    made = prepare_plan(study(asked), "key")
    cells = [
        Chosen(model=MODEL, tier=t, alpha=0.0, items=PER_SEED, psi=0.2, delta=0.0, ablation="zero", target=target)
        for t in ("copies", "sums")
        for target in ("early", "late")
    ]
    known = {aim(MODEL, "early"): ("L0H1",), aim(MODEL, "late"): ("L1H0",)}
    pending = tuple(each.id for each in cells)
    return made.model_copy(update={"targets": known, "stage": "confirm", "family": tuple(cells), "pending": pending})


def rows(asked: Plan, kept: dict[str, dict[str, float]], baseline: float = 0.9) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows in which each target leaves these shares of a tier's right answers, and their questions."""
    rng, items, prompts = np.random.default_rng(3), list[dict[str, Any]](), list[dict[str, Any]]()
    for tier, shares in kept.items():
        for seed in range(SEEDS):
            for index in range(PER_SEED):
                key = {"model": MODEL, "tier": tier, "split": "confirm", "seed": seed, "index": index}
                named = {"item_id": f"{tier}{seed}-{index}"}
                buckets = f'{{"operator":"{"+-"[index % 2]}","prefix":"s{seed}p{index // 18:02d}"}}'
                prompts.append({**key, **named, "buckets": buckets, "answer": str(index % 10)})
                prompts.append({**prompts[-1], "split": "discovery"})
                right = bool(rng.random() < baseline)
                outcomes = {"baseline": right} | {
                    f"target:{name}@zero": right and bool(rng.random() < share) for name, share in shares.items()
                }
                items += [
                    {"stage": "confirm", **key, **named, "arm": arm, "correct": value, "answer_logprob": -1.0}
                    for arm, value in outcomes.items()
                ]
    return _table(items, ITEMS), _table(prompts, PROMPTS)


def _table(found: list[dict[str, Any]], shape: dict[str, Any]) -> pl.DataFrame:
    table = pl.DataFrame(found, schema_overrides={name: kind for name, kind in shape.items() if name in found[0]})
    return table.with_columns(pl.lit(None, dtype=kind).alias(n) for n, kind in shape.items() if n not in table.columns)


APART = {"copies": {"late": 0.3, "early": 0.99}, "sums": {"late": 0.99, "early": 0.4}}


def found(asked: Plan, kept: dict[str, dict[str, float]], **faults: str) -> dict[str, Any]:
    return dissociations(asked, *rows(asked, kept), faults).verdicts[MODEL]


def test_planted_rows_of_two_circuits_are_a_double_dissociation_and_of_one_are_none() -> None:
    (apart,) = found(plan(), APART).values()
    assert apart.verdict == "Double dissociation"
    assert apart.leads[0].clusters == 36
    (shared,) = found(plan(), {"copies": {"late": 0.3, "early": 0.7}, "sums": {"late": 0.4, "early": 0.8}}).values()
    assert shared.verdict == "No double dissociation"


def test_all_asks_every_pair_both_ways_and_the_matrix_has_every_cell() -> None:
    asked = plan("dissociation: all")
    assert questions(asked.study) == (
        Asked("early", "late", ("copies", "sums")), Asked("early", "late", ("sums", "copies")),
    )  # fmt: skip
    told = dissociations(asked, *rows(asked, APART), {})
    assert [each.verdict for each in told.verdicts[MODEL].values()] == ["No double dissociation", "Double dissociation"]
    effects = {(each.target, each.task): each.delta for each in told.matrix[MODEL]}
    assert effects["late", "copies"] < -0.5 < -0.1 < effects["early", "copies"]
    assert {each.n for each in told.matrix[MODEL]} == {PER_SEED * SEEDS}


def test_a_stratum_of_a_tier_is_a_task_of_its_own() -> None:
    asked = plan("dissociation: [{targets: [late, early], tasks: [copies, 'sums:operator=-']}]")
    (each,) = found(asked, APART).values()
    assert each.leads[1].n == PER_SEED * SEEDS // 2
    with pytest.raises(InputError, match=r"operator=-"):
        found(plan("dissociation: [{targets: [late, early], tasks: [copies, 'sums:operator=*']}]"), APART)


def test_a_spoiled_or_missing_cell_makes_its_question_invalid() -> None:
    asked = plan()
    cell = next(each for each in asked.family if (each.tier, each.target) == ("sums", "early"))
    (each,) = dissociations(asked, *rows(asked, APART), {cell.id: "a hook did not fire"}).verdicts[MODEL].values()
    assert (each.verdict, each.reason) == ("Invalid", "early on sums: a hook did not fire")
    less = asked.model_copy(update={"family": tuple(one for one in asked.family if one != cell)})
    (each,) = dissociations(less, *rows(asked, APART), {}).verdicts[MODEL].values()
    assert each.reason == "early on sums: the cell was not confirmed"


def test_a_second_look_asks_nothing_again() -> None:
    later = plan().model_copy(update={"attempt": 1})
    assert dissociations(later, *rows(later, APART), {}).verdicts == {}


@pytest.mark.parametrize(
    ("asked", "instead", "said"),
    [
        ("dissociation: [{targets: [late, later], tasks: [copies, sums]}]", "", "mean 'late'"),
        ("dissociation: [{targets: [late, early], tasks: [copies, sum]}]", "", "mean 'sums'"),
        ("dissociation: [{targets: [late, early], tasks: [copies, 'sums:sign=+']}]", "", "allowed: .*operator"),
        ("dissociation: [{targets: [late, late], tasks: [copies, sums]}]", "", "two targets"),
        ("dissociation: all", "target: {kind: sites, sites: [L0H1]}", "two sweep.targets"),
        ("dissociation: all", f"{TARGETS}, always: [0.5]", "needs 0.0 among sweep.always"),
    ],
)
def test_questions_that_a_study_cannot_answer_are_refused(asked: str, instead: str, said: str) -> None:
    text = TEXT.replace(TARGETS, instead) if instead else TEXT
    with pytest.raises(InputError, match=said):
        study(asked, text)


def test_a_study_without_questions_is_stored_as_before() -> None:
    assert "dissociation" not in study("set_items: 16").model_dump()["claims"]
    again = parse_document(study().model_dump_json(), "again.json", Study)
    assert again == study()


def test_a_plan_says_how_many_questions_there_are_and_which_leads_they_can_show() -> None:
    (said,) = lead_words(study("dissociation: all"))
    assert "2 questions" in said
    assert "points on both tasks (power 80%" in said
    assert lead_words(study("set_items: 16")) == []
    assert said in foreseen(prepare_plan(study("dissociation: all"), "key"))


def test_bfloat16_is_refused_since_no_floor_is_known_for_leads() -> None:
    with pytest.raises(InputError, match="float32 only"):
        study(text=TEXT + "dtype: bfloat16\n")
