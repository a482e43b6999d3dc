"""Format 2: every ablation on the same items, by one rule; chance and margins from what was measured before."""

import numpy as np
import polars as pl
import pytest

from lesion.study.gates.gate_verdict import GateVerdict, LookEvidence
from lesion.study.gates.judge import Facts
from lesion.study.plan import Chosen, Plan, Shape, new_plan
from lesion.study.results import PositiveControl, findings
from lesion.study.rows import ITEMS, PROMPTS
from lesion.study.stages.stage_table import amend, judge, next_stage
from lesion.study.study import Study
from tests.study.made import baseline_cell, gate, instrument_answer

MODEL, N, SEEDS = "tiny:llama", 2560, 3
REFERENCES = {MODEL: {"tier1": tuple(str(i) * 64 for i in range(4))}}
ID = f"{MODEL}|tier1|target@resample"


def study(**changes: object) -> Study:
    fields: dict[str, object] = {
        "name": "ablations", "question": "?", "models": (MODEL,), "tasks": {"tier1": {"task": "arithmetic"}},
        "block": 64, "sweep": {"items": 64, "alphas": (0.0, 1.5), "best": 0, "controls": 1},
        "positive_control": "tier1",
    }  # fmt: skip
    return Study.model_validate({**fields, **changes})


def looking(given: Study | None = None, **changes: object) -> Plan:
    """The plan at the first look, with one member that resamples its target."""
    plan = new_plan(given or study(), "key", {MODEL: Shape(layers=2, heads=4, neurons=8)}, {"tier1": 100_000})
    member = Chosen(
        model=MODEL, tier="tier1", alpha=0.0, items=N, psi=0.05, delta=0.0, ablation="resample", **changes  # pyright: ignore
    )  # fmt: skip
    state = {
        "stage": "confirm", "targets": {MODEL: ("L1H0",)}, "controls": {MODEL: (("L1H2",),)}, "references": REFERENCES,
        "primary": {MODEL: {"tier1": "resample"}}, "family": (member,), "pending": (member.id,),
    }  # fmt: skip
    return plan.model_copy(update=state)


def arm(name: str, right: np.ndarray, stage: str = "confirm", logprob: np.ndarray | None = None) -> pl.DataFrame:
    """Rows of an arm, [seeds, n]."""
    split = "discovery" if stage == "discovery" else "confirm"
    parts = [
        pl.DataFrame(
            {
                "stage": stage, "model": MODEL, "tier": "tier1", "split": split, "seed": seed,
                "index": np.arange(len(each)), "arm": name, "item_id": [f"{split}{seed}-{i}" for i in range(len(each))],
                "correct": each, "ties": 0, "margin": 1.0,
                "answer_logprob": -1.0 - np.arange(len(each)) % 7 / 10 if logprob is None else logprob[seed],
                "entropy": 0.1, "logit_diff": 1.0, "kl": 0.0, "digit_diff": 1.0, "first_digit_diff": 1.0,
            },
            schema=ITEMS,
        )
        for seed, each in enumerate(right)
    ]  # fmt: skip
    return pl.concat(parts)


def questions(n: int = N, split: str = "confirm", seeds: int = SEEDS) -> pl.DataFrame:
    parts = [
        pl.DataFrame(
            {
                "model": MODEL, "tier": "tier1", "split": split, "seed": seed, "index": np.arange(n),
                "item_id": [f"{split}{seed}-{i}" for i in range(n)], "prompt": "",
                "answer": [f"{i % 50};" for i in range(n)], "wrong": "",
                "buckets": [f'{{"prefix":"s{seed}p{i // 16 % 12:02d}"}}' for i in range(n)],
                "prompt_tokens": 1, "answer_tokens": 1, "prompt_hash": "", "refused": None,
            },
            schema=PROMPTS,
        )
        for seed in range(seeds)
    ]  # fmt: skip
    return pl.concat(parts)


def before() -> np.ndarray:
    return np.tile(np.arange(N) % 10 < 6, (SEEDS, 1))


def lost(every: int) -> np.ndarray:
    """One right answer in so many becomes wrong, evenly over the prefixes."""
    right = before()
    right[:, (np.arange(N) // 10 % every == 0) & (np.arange(N) % 10 == 0)] = False
    return right


SAME = {"baseline": before(), "placebo": before(), "target@zero": before(), "target@mean": before()}
DISCOVERED = [
    arm(name, before()[:1, :512], "discovery") for name in ("baseline", "target@zero", "target@mean", "target@resample")
]


def facts(arms: dict[str, np.ndarray], without: dict[str, pl.Expr] | None = None) -> Facts:
    tables = []
    for name, right in arms.items():
        shift = None if name in ("baseline", "placebo") else np.tile(-1.1 - np.arange(N) % 7 / 10, (SEEDS, 1))
        rows = arm(name, right, logprob=shift)
        tables.append(rows.filter((without or {}).get(name, pl.lit(value=True))))
    items = pl.concat([*tables, *DISCOVERED])
    return Facts(items, pl.concat([questions(), questions(512, "discovery", 1)]), {})


def looked(arms: dict[str, np.ndarray], plan: Plan | None = None, **without: pl.Expr) -> LookEvidence:
    gone = {f"target@{name}": condition for name, condition in without.items()}
    return judge(plan or looking(), facts(arms, gone)).saw(LookEvidence)


def test_the_stage_measures_the_primary_ablation_and_the_two_others_and_no_control():
    stage = next_stage(looking())
    assert stage is not None
    names = {each.name for cell in stage.cells for each in cell.arms}
    assert names == {"baseline", "placebo", "target@zero", "target@mean", "target@resample"}
    for cell in stage.cells:
        named = {each.intervention.reference for each in cell.arms if hasattr(each.intervention, "reference")}  # pyright: ignore
        assert named == {str(cell.seed) * 64}


def test_discovery_measures_all_ablations_of_the_target_and_controls_under_the_primary_one():
    stage = next_stage(looking().model_copy(update={"stage": "discovery", "family": (), "pending": ()}))
    assert stage is not None
    names = [each.name for each in stage.cells[0].arms]
    assert {"target@0", "target@zero", "target@mean", "target@resample", "control0@resample"} <= {*names}
    assert "control0@mean" not in names
    drawn = next(each.intervention for each in stage.cells[0].arms if each.name == "target@resample")
    assert drawn.reference == "3" * 64  # pyright: ignore


def test_ablations_that_agree_leave_the_verdict_untagged():
    seen = looked({**SAME, "target@resample": before()})
    (verdict,) = seen.verdicts.values()
    assert (verdict.verdict, verdict.tags) == ("Null", ())
    assert {kind: each.verdict for kind, each in seen.ablations[ID].items()} == dict.fromkeys(
        ("zero", "mean", "resample"), "Null"
    )
    assert seen.chance == {f"{MODEL}|tier1": 22 / 512}


def test_the_primary_ablation_decides_and_one_that_differs_is_told():
    seen = looked({**SAME, "target@zero": lost(2), "target@resample": before()})
    verdict = seen.verdicts[ID]
    assert (verdict.verdict, verdict.tags) == ("Null", ("ablation_dependent",))
    assert seen.ablations[ID]["zero"].verdict == "Harm"
    clause = verdict.clauses[-1]
    assert (clause.name, clause.holds) == ("ablations agree", False)
    assert clause.quantity.startswith("zero: Harm on 7680 items; mean: Null")


def test_the_positive_control_is_found_whatever_ablation_decides():
    given = judge(looking(), facts({**SAME, "target@resample": lost(2)}))
    told = findings(looking(), [given]).positive_control
    assert told == PositiveControl(tier="tier1", verdicts={MODEL: "Harm"}, holds={MODEL: True})


def test_items_without_a_reference_are_left_out_of_every_ablation():
    covered = pl.col("index") % 10 != 3
    arms = {**SAME, "target@resample": before()}
    seen = looked(arms, resample=covered, mean=covered)
    every = seen.ablations[ID]
    assert {kind: each.n for kind, each in every.items()} == dict.fromkeys(every, N * SEEDS * 9 // 10)


@pytest.mark.parametrize(
    ("without", "part"),
    [
        ({"resample": pl.col("index") != 5}, "rows are missing"),
        ({"zero": pl.col("index") != 5}, "rows of the zero ablation are missing"),
        ({"resample": pl.col("index") % 3 == 0, "mean": pl.col("index") % 3 == 0}, "items have a reference"),
    ],
)
def test_lost_rows_and_too_few_references_make_a_cell_invalid(without: dict[str, pl.Expr], part: str):
    seen = looked({**SAME, "target@resample": before()}, **without)
    verdict = seen.verdicts[ID]
    assert verdict.verdict == "Invalid"
    assert part in verdict.reason


def test_an_ablation_that_changed_no_number_is_invalid():
    plan, known = looking(), facts({**SAME, "target@resample": before()})
    base = known.items.filter(pl.col("arm") == "baseline")["answer_logprob"]
    still = known.items.filter(pl.col("arm") == "target@resample").with_columns(answer_logprob=base)
    items = pl.concat([known.items.filter(pl.col("arm") != "target@resample"), still])
    verdict = judge(plan, known._replace(items=items)).saw(LookEvidence).verdicts[ID]
    assert "changed no number" in verdict.reason


def test_a_baseline_at_the_counted_chance_allows_neither_harm_nor_null():
    nothing = np.zeros((SEEDS, N), dtype=bool)
    verdict = looked({**dict.fromkeys([*SAME, "target@resample"], nothing)}).verdicts[ID]
    assert verdict.verdict == "Ambiguous"
    assert "floor" in verdict.tags


def test_a_continuous_outcome_is_judged_in_nats():
    nats = {"margin": 0.2, "effect": 0.4, "spread": 0.3}
    given = study(claims={"outcome": "answer_logprob"}, verdict=nats, baseline={"spread": 0.5})
    plan = looking(given, sd=0.5)
    known = facts({**SAME, "target@resample": before()})
    varied = pl.col("answer_logprob") + (pl.col("index") % 3 - 1.0) / 20 * (pl.col("arm") == "target@resample")
    seen = judge(plan, known._replace(items=known.items.with_columns(answer_logprob=varied))).saw(LookEvidence)
    verdict = seen.verdicts[ID]
    assert verdict.verdict == "Null"
    assert verdict.delta == pytest.approx(-0.1, abs=0.002)
    assert verdict.psi is None


def test_a_margin_can_be_a_share_of_the_headroom():
    given = study(claims={"margin_of": "headroom"}, verdict={"margin": 0.1})
    known = facts({**SAME, "target@resample": before()})
    items = pl.concat([known.items, arm("baseline", before(), "baseline")])
    seen = judge(looking(given), known._replace(items=items)).saw(LookEvidence)
    assert seen.margins == {f"{MODEL}|tier1": pytest.approx(0.1 * (0.6 - 22 / 512))}


def instrument(covered: int) -> GateVerdict:
    known = {"references": REFERENCES[MODEL], "covered": {"tier1": {"items": 100, "covered": covered, "layouts": 5}}}
    return gate("instrument", models={MODEL: instrument_answer(**known)})


@pytest.mark.parametrize(("covered", "kind", "noted"), [(90, "resample", 0), (89, "mean", 0), (40, "mean", 1)])
def test_the_instrument_stage_decides_which_ablation_is_primary(covered: int, kind: str, noted: int):
    plan = new_plan(study(), "key", {MODEL: Shape(layers=2, heads=4, neurons=8)}, {"tier1": 100_000})
    after = amend(plan, instrument(covered))
    assert after.primary == {MODEL: {"tier1": kind}}
    assert [note.topic for note in after.notes] == ["few-references"] * noted


def test_a_pool_that_cannot_carry_the_baseline_names_three_ways_out():
    plan = new_plan(study(), "key", {MODEL: Shape(layers=2, heads=4, neurons=8)}, {"tier1": 2000})
    plan = plan.model_copy(update={"stage": "baseline"})
    cells = {f"{MODEL}|tier1": baseline_cell("NotEvaluable", needed_n=2579)}
    stopped = amend(plan, gate("baseline", "Ambiguous", cells=cells))
    assert stopped.ending is not None
    for word in ("claims.outcome: answer_logprob", "larger range", "another tier", "baseline.spread"):
        assert word in stopped.ending.reason
