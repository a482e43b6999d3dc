"""Ablations named as the edit, and targets that a screen picks: what is asked, what is measured, what is refused."""

import polars as pl
import pytest

from lesion.errors import InputError
from lesion.interventions.intervention import Median, Resample
from lesion.models.model import open_model
from lesion.runs.execute.prepare import prepare_plan
from lesion.runs.measure import measure_cell
from lesion.runs.measure.reference_sets import reference_hashes
from lesion.study.arms.targets import ScreenedSites, kind_of, named_sites
from lesion.study.forecast.reachable_specificity import reaches
from lesion.study.format.load import parse_document
from lesion.study.gates.detection.gate import detect_gate
from lesion.study.gates.evidence.model_answers import InstrumentAnswer, RankedAnswer, ReferenceCoverage
from lesion.study.gates.evidence.paired_arms import _expected  # pyright: ignore[reportPrivateUsage]
from lesion.study.gates.evidence.soundness import unsound_receipts
from lesion.study.gates.judge import Facts, _controls  # pyright: ignore[reportPrivateUsage]
from lesion.study.plan import Cell, Chosen, Plan, swept
from lesion.study.stages.cells import detect_cells, discovery_cells
from lesion.study.stages.edits import edited, measured, others_of
from lesion.study.stages.matched_sets import sets_of
from lesion.study.stages.transitions import _aim, _primary  # pyright: ignore[reportPrivateUsage]
from lesion.study.study import Study

MODEL = "tiny:llama"
TEXT = """\
name: named
question: Are these sites needed?
models: [tiny:llama]
tasks: {tier: {task: arithmetic, operators: ["+"], low: 10, high: 99, shots: 1}}
block: 16
baseline: {items: 64, spread: 0.9}
sweep: {edit: {kind: EDIT}, target: TARGET, items: 64, controls: 1}
claims: CLAIMS
verdict: {margin: 0.3, effect: 0.5, spread: 0.9}
exclusions: 0.5
"""
NOTHING = pl.DataFrame()
GIVEN = "{kind: sites, sites: [L0H1, L1H0]}"


def study(edit: str, target: str = GIVEN, claims: str = "{sets: 19}") -> Study:
    text = TEXT.replace("EDIT", edit).replace("TARGET", target).replace("CLAIMS", claims)
    return parse_document(text, "named.yaml", Study)


def plan(edit: str, target: str = GIVEN) -> Plan:
    made = prepare_plan(study(edit, target), "key")
    kept = made.model_copy(update={"targets": {MODEL: ("L0H1", "L1H0")}, "primary": {MODEL: {"tier": edit}}})
    names = {MODEL: {"tier": tuple(reference_hashes(open_model(MODEL), kept)["tier"])}}
    return kept.model_copy(update={"references": names, "controls": {MODEL: sets_of(kept, MODEL).sets[:1]}})


@pytest.mark.parametrize("edit", ["mean", "median", "resample"])
def test_a_named_ablation_decides_and_the_others_stand_beside_it(edit: str) -> None:
    asked = study(edit)
    assert (asked.primary, swept(asked), asked.sweep.best, asked.sweep.ablates) == (edit, (0.0,), 0, True)
    answers = {
        MODEL: InstrumentAnswer.model_construct(covered={"tier": ReferenceCoverage(items=9, covered=0, layouts=1)})
    }
    assert _primary(asked, answers) == {MODEL: {"tier": edit}}, "whatever items have a reference"
    chosen = Chosen(model=MODEL, tier="tier", alpha=0.0, items=64, psi=0.0, delta=0.0, ablation=edit)  # pyright: ignore
    assert {*measured(chosen)} == {"zero", "mean", "resample", edit}
    assert edit not in others_of(chosen)
    assert chosen.arm == f"target@{edit}"


def test_a_median_is_measured_with_receipts_and_is_no_mean() -> None:
    whole = plan("median")
    (cell, *_) = discovery_cells(whole)
    arm = edited(
        "target",
        ("L0H1",),
        Chosen(model=MODEL, tier="tier", alpha=0.0, items=64, psi=0, delta=0, ablation="median"),
        whole,
        -1,
    )
    assert isinstance(arm.intervention, Median)
    assert any(isinstance(each.intervention, Resample) for each in cell.arms)
    assert {"target@zero", "target@mean", "target@median", "target@resample", "control0@median"} <= {
        each.name for each in cell.arms
    }
    result = measure_cell.work(cell, whole)
    told = {each.arm: each.receipt for each in result.receipts}
    assert not list(unsound_receipts(cell, told.items(), result.items)), "it counts what a mean counts"  # pyright: ignore
    assert told["target@median"].l2_change > 0
    assert told["target@median"].l2_change != told["target@mean"].l2_change


@pytest.mark.parametrize(
    ("edit", "claims", "said"),
    [
        ("zero", "{sets: 19}", "why_zero"),
        ("mean", "{sets: 19, primary: resample}", "which decides"),
        ("mode", "{sets: 19}", "median"),
    ],
)
def test_what_cannot_decide_is_refused_in_a_sentence(edit: str, claims: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        study(edit, claims=claims)


def test_zero_decides_where_a_reason_is_given() -> None:
    asked = study("zero", claims="{sets: 19, primary: zero, why_zero: known to be off}")
    assert asked.primary == "zero"


@pytest.mark.parametrize(
    ("of", "kind"), [("head", "head"), ("neuron", "neuron"), ("mlp", "mlp_out"), ("attention", "attn_out")]
)
def test_a_screen_picks_the_sites_with_the_largest_losses(of: str, kind: str) -> None:
    target = f"{{kind: screened, tier: tier, of: {of}, most: 2}}"
    asked = prepare_plan(study("mean", target), "key")
    assert kind_of(asked.study.sweep.named[""]) == kind
    (cell,) = detect_cells(asked)
    answer = measure_cell.work(cell, asked).answer
    assert isinstance(answer, RankedAnswer)
    losses = [loss for _, loss in answer.ranked]
    assert losses == sorted(losses, reverse=True)
    assert reaches(asked)[0].least >= 0
    outcome, said, evidence = detect_gate(asked, Facts(NOTHING, NOTHING, {MODEL: answer}))  # pyright: ignore
    if losses[0] > 0:
        assert (outcome, evidence.picked[MODEL]) == ("Pass", tuple(s for s, loss in answer.ranked if loss > 0))  # pyright: ignore
    none = answer.model_copy(update={"ranked": tuple((site, -1.0) for site, _ in answer.ranked)})
    outcome, said, _ = detect_gate(asked, Facts(NOTHING, NOTHING, {MODEL: none}))  # pyright: ignore
    assert outcome == "Fail"
    assert "loses anything" in said


def test_a_screen_ranks_on_a_tier_of_the_study() -> None:
    with pytest.raises(InputError, match="tier"):
        study("mean", "{kind: screened, tier: nowhere}")
    assert ScreenedSites(kind="screened", tier="tier").most == 4
    assert isinstance(Cell(stage="detect", model=MODEL), Cell)


def test_all_but_edits_every_other_head_and_has_no_matched_sets() -> None:
    asked = prepare_plan(study("mean", "{kind: all_but, sites: [L0H1, L1H0]}"), "key")
    shape, target = asked.shapes[MODEL], asked.study.sweep.target
    rest = named_sites(target, shape.layers, shape.heads)  # pyright: ignore
    every = {f"L{layer}H{head}" for layer in range(shape.layers) for head in range(shape.heads)}
    assert {*rest} | {"L0H1", "L1H0"} == every
    assert len(rest) == len(every) - 2
    aimed = _aim(asked)
    assert aimed.targets == {MODEL: rest}
    assert not sets_of(aimed, MODEL).sets
    assert reaches(aimed)[0].cells == 0
    assert not detect_cells(asked)


@pytest.mark.parametrize(
    ("sites", "said"), [("[L0N1]", "keeps heads"), ("[L0H99]", "99"), ("ALL", "nothing is edited")]
)
def test_a_set_that_cannot_be_kept_is_refused(sites: str, said: str) -> None:
    sizes = open_model(MODEL).sizes
    every = [f"L{layer}H{head}" for layer in range(sizes.n_layers) for head in range(sizes.n_heads)]
    text = sites.replace("ALL", f"[{', '.join(every)}]")
    with pytest.raises(InputError, match=said):
        prepare_plan(study("mean", f"{{kind: all_but, sites: {text}}}"), "key")


def test_a_loud_control_under_a_median_is_seen_and_its_rows_are_those_of_a_mean() -> None:
    whole = plan("median")
    table = pl.DataFrame(
        {"model": [MODEL], "tier": ["tier"], "arm": ["control0@median"], "gained": [0], "lost": [60], "n": [64]}
    )
    assert [check.outcome for check in _controls(whole, table)] == ["Fail"]
    place = {"stage": "confirm", "model": MODEL, "tier": "tier", "split": "confirm", "seed": 0}
    items = pl.DataFrame({**place, "index": [0, 1, 2], "arm": "baseline"})
    some = items.head(2).with_columns(pl.lit("target@mean").alias("arm"))
    chosen = Chosen(model=MODEL, tier="tier", alpha=0.0, items=64, psi=0, delta=0, ablation="median")
    confirming = whole.model_copy(update={"stage": "confirm", "family": (chosen,), "pending": (chosen.id,)})
    asked = items.with_columns(pl.lit("x").alias("item_id"))
    found = _expected(confirming, pl.concat([items, some]), chosen, "target@median", asked)
    assert found["index"].to_list() == [0, 1], "items with a reference, as under a mean"


def test_a_screen_does_not_pick_what_denoising_edits() -> None:
    text = TEXT.replace("EDIT", "patch, direction: denoising").replace("TARGET", "{kind: screened, tier: tier}")
    text = text.replace("CLAIMS", "{sets: 19, outcome: logit_diff}")
    with pytest.raises(InputError, match="a screen ranks what is lost"):
        parse_document(text, "named.yaml", Study)
