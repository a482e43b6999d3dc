"""Every gate can pass, fail and be ambiguous; rows that cannot be trusted make a cell Invalid."""

import numpy as np
import polars as pl
import pytest

from lesion.identity import canonical_json, generator
from lesion.study.gates.evidence.paired_arms import spoiled
from lesion.study.gates.gate_verdict import GateVerdict, LookEvidence
from lesion.study.gates.judge import Facts
from lesion.study.plan import Plan, Shape, new_plan
from lesion.study.results import findings
from lesion.study.rows import ITEMS, PROMPTS, empty, rows_hash
from lesion.study.stages.confirmatory_cells import Discovery, choose, discovery_table
from lesion.study.stages.stage_table import amend, judge, next_stage
from lesion.study.study import Study
from tests.study.made import BROKEN, detector_answer, instrument_answer, neuron_answer

MODEL = "tiny:llama"
N = 640


def study(**changes: object) -> Study:
    fields: dict[str, object] = {
        "lesion": 1,  # the first rule, by which records are recounted; tests/study/test_ablations.py has the second
        "name": "gates",
        "question": "?",
        "models": (MODEL,),
        "tasks": {"tier1": {"task": "arithmetic"}},
        "block": 64,
        "baseline": {"items": N},
        "sweep": {"items": 64, "alphas": (0.0, 1.5), "always": (0.0,), "best": 1, "controls": 1},
    }
    return Study.model_validate({**fields, **changes})


def plan_at(stage: str, **changes: object) -> Plan:
    chosen = study(**changes)
    plan = new_plan(chosen, "key", {MODEL: Shape(layers=2, heads=4, neurons=8)}, {"tier1": 100_000})
    row = {"model": MODEL, "tier": "tier1", "alpha": 0.0, "items": N, "psi": 0.05, "delta": -0.05}
    return Plan.model_validate(
        plan.model_dump()
        | {
            "stage": stage,
            "targets": {MODEL: ("L1H0",)},
            "controls": {MODEL: (("L1H2",),)},
            "family": [row],
            "pending": (f"{MODEL}|tier1|target@0",),
        }
    )


def rows(stage: str, arm: str, correct: dict[int, np.ndarray], start: int = 0) -> pl.DataFrame:
    """Rows of one arm; `correct` by seed."""
    parts = [
        pl.DataFrame(
            {
                "stage": stage, "model": MODEL, "tier": "tier1", "split": "confirm", "seed": seed,
                "index": np.arange(start, start + len(right)), "arm": arm,
                "item_id": [f"{seed}-{i}" for i in range(start, start + len(right))],
                "correct": right, "ties": 0, "margin": 1.0, "kl": 0.0, "digit_diff": 1.0, "first_digit_diff": 1.0,
                "answer_logprob": np.linspace(-1, -0.5, len(right)) - seed, "entropy": 0.1, "logit_diff": 1.0,
            },
            schema=ITEMS,
        )
        for seed, right in correct.items()
    ]  # fmt: skip
    return pl.concat(parts)


def prompts(n: int = N, refused: int = 0) -> pl.DataFrame:
    parts = [
        {
            "model": MODEL, "tier": "tier1", "split": "confirm", "seed": seed, "index": i, "item_id": f"{seed}-{i}",
            "prompt": "1+1=", "answer": "2;", "wrong": "3;", "prompt_tokens": 4, "answer_tokens": 2, "prompt_hash": "x",
            "buckets": canonical_json({"operator": "+-"[i % 2], "pair": "seen"}).decode(),
            "refused": "why" if i < refused else None,
        }
        for seed in range(3)
        for i in range(n)
    ]  # fmt: skip
    return pl.DataFrame(parts, schema=PROMPTS)


def flips(share: float, seeds: int = 3, n: int = N, salt: str = "") -> dict[int, np.ndarray]:
    return {s: generator("flips", s, salt).random(n) < share for s in range(seeds)}


def facts(items: pl.DataFrame, asked: pl.DataFrame | None = None, **answers: object) -> Facts:
    return Facts(items, prompts() if asked is None else asked, answers)  # pyright: ignore


def test_the_instrument_passes_when_every_identity_holds() -> None:
    answers = {MODEL: instrument_answer()}
    assert judge(plan_at("instrument"), Facts(empty(ITEMS), empty(PROMPTS), answers)).outcome == "Pass"


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"identities": [BROKEN]}, "sum of heads"),
        ({"placebo_bit_equal": False}, "scaling by 1"),
        ({"repeat_flips": 2}, "2 answers flip"),
        ({"contract": {"tier1": {"items": 64, "refused": 9}}}, "9 of 64 prompts"),
    ],
)
def test_the_instrument_fails_and_says_what_is_broken(broken: dict[str, object], said: str) -> None:
    verdict = judge(plan_at("instrument"), Facts(empty(ITEMS), empty(PROMPTS), {MODEL: instrument_answer(**broken)}))
    assert verdict.outcome == "Fail"
    assert said in verdict.reason


def baseline_of(correct: dict[int, np.ndarray], **changes: object) -> GateVerdict:
    return judge(plan_at("baseline", **changes), facts(rows("baseline", "baseline", correct)))


def test_a_stable_baseline_passes() -> None:
    verdict = baseline_of(dict.fromkeys(range(3), np.arange(N) > 3))
    assert verdict.outcome == "Pass"


def test_a_baseline_that_differs_between_seeds_fails() -> None:
    verdict = baseline_of({0: np.arange(N) > 3, 1: np.arange(N) > 2, 2: np.arange(N) > 40})
    assert verdict.outcome == "Fail"
    assert "Fail" in verdict.reason


def test_too_few_items_for_the_accuracy_are_ambiguous_never_a_pass() -> None:
    verdict = baseline_of(dict.fromkeys(range(3), np.arange(N) % 2 == 0))
    assert verdict.outcome == "Ambiguous"
    assert "needed" in verdict.reason


def test_seeds_that_change_nothing_stop_the_study() -> None:
    same = rows("baseline", "baseline", {0: np.arange(N) > 3})
    table = pl.concat([same.with_columns(pl.lit(s, dtype=pl.Int64).alias("seed")) for s in range(3)])
    plan = plan_at("baseline")
    verdict = judge(plan, facts(table))
    assert verdict.outcome == "Fail"
    assert "Degenerate" in verdict.reason
    ended = amend(plan, verdict).ending
    assert ended is not None
    assert ended.outcome == "stopped"


def test_too_many_prompts_that_break_the_contract_stop_the_study() -> None:
    plan = plan_at("baseline")
    table = rows("baseline", "baseline", dict.fromkeys(range(3), np.arange(N) > 3))
    verdict = judge(plan, facts(table, prompts(refused=20)))
    assert verdict.outcome == "Fail"
    assert amend(plan, verdict).ending is not None


def test_a_detector_that_finds_nothing_says_so_and_ends_the_study() -> None:
    plan = plan_at("detect")
    verdict = judge(plan, facts(empty(ITEMS), **{MODEL: detector_answer([[0.1, 0.49], [0.2, 0.3]])}))
    assert verdict.outcome == "Fail"
    assert "no head" in verdict.reason
    assert amend(plan, verdict).ending is not None


def test_the_detector_gate_picks_the_highest_scores_above_the_threshold() -> None:
    scores = [[0.1, 0.6, 0.2, 0.2], [0.9, 0.5, 0.1, 0.55]]
    target = {"kind": "detected", "most": 3}
    plan = plan_at("detect", sweep={"items": 64, "alphas": (0.0, 1.5), "controls": 1, "target": target})
    verdict = judge(plan, facts(empty(ITEMS), **{MODEL: detector_answer(scores)}))
    assert verdict.outcome == "Pass"
    aimed = amend(plan, verdict)
    assert aimed.targets[MODEL] == ("L1H0", "L0H1", "L1H3")
    assert all("L1H1" not in chosen for chosen in aimed.controls[MODEL])


def discovery_rows(*arms: tuple[str, float]) -> pl.DataFrame:
    base = {0: np.ones(64, bool)}
    edited = [rows("discovery", arm, {0: np.arange(64) >= lost * 64}) for arm, lost in arms]
    return pl.concat([rows("discovery", "baseline", base), *edited])


def test_discovery_puts_forward_the_preregistered_factors_and_the_best_other() -> None:
    items = discovery_rows(("target@0", 0.5), ("target@1.5", 0.0), ("target@0.5", 0.25))
    sweep = {"items": 64, "alphas": (0.0, 0.5, 1.5), "always": (0.0,), "best": 1}
    family, dropped = choose(
        plan_at("discovery", sweep=sweep), Discovery(discovery_table(items), items, empty(PROMPTS))
    )
    assert [chosen.alpha for chosen in family] == [0.0, 1.5]
    assert dropped == []
    assert family[0].psi == 0.5
    assert family[0].delta == -0.5
    assert family[0].items >= 12_200 * 0.25


def test_a_cell_that_its_pool_cannot_hold_is_left_out_and_never_made_smaller() -> None:
    items = discovery_rows(("target@0", 0.5), ("target@1.5", 0.0))
    plan = plan_at("discovery").model_copy(update={"capacity": {"tier1": 2000}})
    verdict = judge(plan, facts(items))
    assert verdict.outcome == "Pass"
    ready = amend(plan, verdict)
    assert [chosen.alpha for chosen in ready.family] == [1.5]
    assert "never lowered" in ready.notes[-1].text


def confirm_items(lost: float, **changes: dict[int, np.ndarray]) -> pl.DataFrame:
    base = flips(0.97, salt="base")
    arms = {
        "target@0": {
            s: right & ~hit for (s, right), hit in zip(base.items(), flips(lost, salt="t").values(), strict=True)
        },
        "control@0": base,
        "placebo": base,
    }
    confirm = [rows("confirm", arm, correct) for arm, correct in {"baseline": base, **arms, **changes}.items()]
    return pl.concat([rows("baseline", "baseline", base), *confirm])


def test_a_large_loss_is_harm_and_specific_against_a_quiet_control() -> None:
    plan = plan_at("confirm")
    verdict = judge(plan, facts(confirm_items(0.2)))
    results = findings(amend(plan, verdict), [verdict])
    assert results.cells[f"{MODEL}|tier1|target@0"].verdict == "Harm"
    assert results.scenario == "Harm"
    assert results.contrasts[f"{MODEL}|tier1|target@0"].holds


def test_what_is_ambiguous_at_the_first_look_gets_a_second_one() -> None:
    plan = plan_at("confirm")
    other = {seed: generator("other", seed).random(N) < 0.5 for seed in range(3)}
    half = {seed: generator("half", seed).random(N) < 0.5 for seed in range(3)}
    tables = {"baseline": half, "placebo": half, "control@0": half, "target@0": other}
    table = pl.concat([rows("confirm", arm, right) for arm, right in tables.items()])
    verdict = judge(plan, facts(table))
    assert verdict.outcome == "Ambiguous"
    again = amend(plan, verdict)
    assert (again.stage, again.attempt) == ("confirm", 1)
    assert findings(again, [verdict]).scenario == "Inconclusive"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda t: pl.concat([t, t.filter(pl.col("arm") == "target@0").head(1)]), "doubled"),
        (lambda t: t.filter(~((pl.col("arm") == "target@0") & (pl.col("index") == 7))), "missing"),
        (lambda t: t.filter(~((pl.col("arm") == "baseline") & (pl.col("stage") == "confirm"))), "missing"),
        (
            lambda t: t.with_columns(
                pl.when((pl.col("arm") == "target@0") & (pl.col("index") == 3))
                .then(float("nan"))
                .otherwise("answer_logprob")
                .alias("answer_logprob")
            ),
            "not finite",
        ),
        (
            lambda t: t.with_columns(
                pl.when(pl.col("arm") == "target@0").then(pl.lit("other")).otherwise("item_id").alias("item_id")
            ),
            "other items",
        ),
        (
            lambda t: t.with_columns(
                pl.when(pl.col("arm") == "placebo").then(~pl.col("correct")).otherwise("correct").alias("correct")
            ),
            "placebo",
        ),
        (
            lambda t: t.with_columns(
                pl.when(pl.col("stage") == "baseline").then(~pl.col("correct")).otherwise("correct").alias("correct")
            ),
            "baseline stage",
        ),
    ],
)
def test_rows_that_cannot_be_trusted_make_the_cell_invalid(spoil, said: str) -> None:
    plan = plan_at("confirm")
    table = spoil(confirm_items(0.2))
    assert said in spoiled(plan, table, prompts())[f"{MODEL}|tier1|target@0"]
    verdict = judge(plan, facts(table))
    assert findings(amend(plan, verdict), [verdict]).invalid == (f"{MODEL}|tier1|target@0",)


@pytest.mark.parametrize(("nats", "said"), [(0.5, ""), (0.7, "diverge by 0.7 nats"), (None, "was not measured")])
def test_edited_answers_that_diverge_beyond_the_limit_make_the_cell_invalid(nats: float | None, said: str) -> None:
    plan, table = plan_at("confirm"), confirm_items(0.2).with_columns(kl=pl.lit(nats, pl.Float64))
    assert not spoiled(plan, table, prompts()), "without a limit nothing is asked"
    rule = plan.study.verdict.model_copy(update={"most_kl": 0.6})
    limited = plan.model_copy(update={"study": plan.study.model_copy(update={"verdict": rule})})
    assert said in spoiled(limited, table, prompts()).get(f"{MODEL}|tier1|target@0", "")


def test_the_hash_of_rows_does_not_depend_on_their_order_and_does_on_every_number() -> None:
    table = confirm_items(0.2)
    assert rows_hash(table.sample(fraction=1, shuffle=True, seed=1)) == rows_hash(table)
    nudged = table.with_columns(pl.col("entropy") + pl.when(pl.col("index") == 5).then(1e-12).otherwise(0.0))
    assert rows_hash(nudged) != rows_hash(table)
    assert rows_hash(table.with_columns(~pl.col("correct"))) != rows_hash(table)


def test_an_instrument_that_could_not_be_tried_is_ambiguous_and_proved_once_more_before_the_study_stops() -> None:
    answers = {MODEL: instrument_answer(contract={"tier1": {"items": 64, "refused": 64}})}
    verdict = judge(plan_at("instrument", exclusions=0.999), Facts(empty(ITEMS), empty(PROMPTS), answers))
    assert verdict.outcome == "Ambiguous"
    assert "0 prompts of tier1 could be tried" in verdict.reason
    again = amend(plan_at("instrument"), verdict)
    stage = next_stage(again)
    assert stage is not None
    assert stage.cells[0] != next_stage(plan_at("instrument")).cells[0], "the proof is made anew, not read back"
    assert amend(again, verdict).ending is not None


def test_a_detector_that_contradicts_itself_is_tried_once_more_and_then_stops_the_study() -> None:
    target = {"kind": "detected"}
    plan = plan_at("detect", sweep={"items": 64, "alphas": (0.0, 1.5), "controls": 1, "target": target})
    answer = detector_answer([[0.1, 0.6], [0.1, 0.2]], again=[[0.1, 0.4], [0.1, 0.2]])
    verdict = judge(plan, facts(empty(ITEMS), **{MODEL: answer}))
    assert verdict.outcome == "Ambiguous"
    again = amend(plan, verdict)
    assert (again.stage, again.attempt) == ("detect", 1)
    assert again.notes[-1].topic == "detector-ambiguous"
    ended = amend(again, judge(again, facts(empty(ITEMS), **{MODEL: answer}))).ending
    assert ended is not None
    assert "both sets" in ended.reason


def test_a_loud_control_and_a_baseline_at_its_ceiling_are_noted_and_stop_nothing() -> None:
    items = discovery_rows(("target@0", 0.0), ("target@1.5", 0.0), ("control0@0", 0.5), ("control0@1.5", 0.0))
    plan = plan_at("discovery")
    ready = amend(plan, judge(plan, facts(items)))
    assert ready.stage == "confirm"
    assert [note.topic for note in ready.notes] == ["control-quietness"]
    assert "control0@0" in ready.notes[0].text
    plan = plan_at("baseline")
    ready = amend(plan, baseline_of(dict.fromkeys(range(3), np.arange(N) > 3)))
    assert ready.stage == "detect"
    assert [note.topic for note in ready.notes] == ["floor-and-ceiling"]


def neuron_plan(**target: object) -> Plan:
    aimed = {"kind": "neurons", "tier": "tier1", "most": 2, **target}
    plan = plan_at("detect", sweep={"items": 64, "alphas": (0.0, 1.5), "controls": 1, "target": aimed})
    return plan.model_copy(update={"tenths": {MODEL: ("00112233", "00001111")}})


def test_the_neurons_that_write_most_are_the_target_and_their_controls_write_as_long_vectors() -> None:
    plan = neuron_plan()
    verdict = judge(plan, facts(empty(ITEMS), **{MODEL: neuron_answer(("L1N5", 3.0), ("L0N2", 2.0))}))
    aimed = amend(plan, verdict)
    assert aimed.targets[MODEL] == ("L1N5", "L0N2")
    ((first, second),) = aimed.controls[MODEL]
    assert first == "L0N3", "the only other neuron of layer 0 in its tenth"
    assert second in {"L1N4", "L1N6", "L1N7"}


def test_too_few_neurons_that_write_anything_fail_the_gate() -> None:
    plan = neuron_plan()
    verdict = judge(plan, facts(empty(ITEMS), **{MODEL: neuron_answer(("L1N5", 3.0), ("L0N2", 0.0))}))
    assert verdict.outcome == "Fail"
    assert "fewer than 2 neurons" in amend(plan, verdict).ending.reason


def test_items_made_from_templates_are_judged_by_template() -> None:
    table = confirm_items(0.2)

    def of_templates(number: int) -> pl.DataFrame:
        names = (pl.col("index") % number).cast(pl.String)
        text = pl.concat_str(pl.lit('{"operator":"+","template":"t'), names, pl.lit('"}'))
        return prompts().with_columns(text.alias("buckets"))

    plan = plan_at("confirm")
    verdict = judge(plan, Facts(table, of_templates(12), {}))
    cell = verdict.saw(LookEvidence).verdicts[f"{MODEL}|tier1|target@0"]
    assert cell.p == pytest.approx(2 / 2**12), "the smallest p of twelve sign flips"
    few = judge(plan, Facts(table, of_templates(5), {})).saw(LookEvidence).verdicts[f"{MODEL}|tier1|target@0"]
    assert few.verdict == "Invalid"


def test_an_identity_about_sites_that_the_study_does_not_edit_is_written_down_and_blocks_nothing() -> None:
    other = instrument_answer(identities=[{**BROKEN, "about": "pattern"}])
    verdict = judge(plan_at("instrument"), Facts(empty(ITEMS), empty(PROMPTS), {MODEL: other}))
    assert verdict.outcome == "Pass"
    assert any(check.outcome == "Fail" for check in verdict.evidence.checks)
    used = instrument_answer(identities=[{**BROKEN, "about": "head"}])
    assert judge(plan_at("instrument"), Facts(empty(ITEMS), empty(PROMPTS), {MODEL: used})).outcome == "Fail"
