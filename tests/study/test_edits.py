"""Edits without a factor in a study: what may be asked, what its arms do, and that patching all changes places."""

from pathlib import Path

import polars as pl
import pytest

from lesion.errors import InputError
from lesion.interventions.intervention import KnockOut, Patch
from lesion.models.model import open_model
from lesion.runs.execute.prepare import prepare_plan
from lesion.runs.measure import measure_cell
from lesion.runs.measure.cell_items import block_of
from lesion.runs.measure.proof import _gaps  # pyright: ignore[reportPrivateUsage]
from lesion.study.arms.condition import Condition
from lesion.study.format.load import parse_document
from lesion.study.gates.evidence.model_answers import PairGap
from lesion.study.gates.evidence.soundness import does_as_named, unsound, unsound_receipts
from lesion.study.plan import Cell, Chosen, Plan, Stage, new_plan, swept
from lesion.study.stages.cells import discovery_cells
from lesion.study.stages.edits import edge_set, edited
from lesion.study.stages.matched_sets import ENDLESS, sets_of
from lesion.study.study import Study
from lesion.tasks.tokenizers.prompt_contract import Compiled

MODEL = "tiny:llama"
TEXT = """\
name: pairs
question: Are these sites needed?
models: [tiny:llama]
tasks: {tier: {task: arithmetic, operators: ["+"], low: 10, high: 99, shots: 1}}
block: 16
baseline: {items: 64, spread: 2.0}
sweep: {edit: EDIT, target: {kind: sites, sites: [SITES]}, items: 64, controls: 1}
claims: {outcome: logit_diff}
verdict: {margin: 0.3, effect: 0.5, spread: 0.9}
exclusions: 0.5
"""
NOISING, DENOISING = "{kind: patch, direction: noising}", "{kind: patch, direction: denoising}"


def study(edit: str, sites: str = "L0H1, L1H0", text: str = TEXT) -> Study:
    return parse_document(text.replace("EDIT", edit).replace("SITES", sites), "pairs.yaml", Study)


def plan(edit: str, sites: str = "L0H1, L1H0", text: str = TEXT) -> Plan:
    asked = study(edit, sites, text)
    made = prepare_plan(asked, "key")
    kept = made.model_copy(update={"targets": {MODEL: asked.sweep.target.sites}})  # pyright: ignore
    return kept.model_copy(update={"controls": {MODEL: sets_of(kept, MODEL).sets[:1]}})


def rows(edit: str) -> pl.DataFrame:
    """A cell in which the whole first stream is patched, which a study itself may not ask for."""
    asked = plan(edit, "L0.resid_pre", TEXT.replace("items: 64, controls", "positions: last, items: 64, controls"))
    sweep = asked.study.sweep.model_copy(update={"positions": "all"})
    whole = asked.model_copy(update={"study": asked.study.model_copy(update={"sweep": sweep})})
    (cell, *_) = discovery_cells(whole)
    return measure_cell.work(cell, whole).items  # pyright: ignore


def numbers(table: pl.DataFrame, role: str) -> list[float]:
    return table.filter(pl.col("role") == role).sort("index")["logit_diff"].to_list()


def test_an_edit_without_a_factor_is_one_cell_and_the_default_hash_does_not_know_it() -> None:
    assert swept(study(NOISING)) == (0.0,)
    assert study(NOISING).sweep.best == 0
    assert "edit" not in Study.model_validate(study("{kind: scale}").model_dump()).sweep.model_dump()
    again = parse_document(study(NOISING).model_dump_json(), "again.json", Study)
    assert again == study(NOISING)


@pytest.mark.parametrize(
    ("edit", "sites", "changed", "said"),
    [
        (NOISING, "L0H1", ("items: 64, controls", "alphas: [0.5], items: 64, controls"), "has no factor"),
        (
            DENOISING,
            "L0H1",
            ("claims: {outcome: logit_diff}", "claims: {}"),
            "nats|logit_diff or answer_logprob|below 1",
        ),
        (NOISING, "L0H1", ("logit_diff}", "logit_diff, primary: mean}"), "is no ablation"),
        ("{kind: knock_out}", "L0N1", ("", ""), "knocked out of heads"),
        ("{kind: knock_out, keys: nowhere}", "L0H1", ("", ""), "keys"),
        ("{kind: swap}", "L0H1", ("", ""), "patch"),
        (NOISING, "L0H1", ("exclusions", "positive_control: tier\nexclusions"), "positive_control"),
        (NOISING, "L0H1", ("logit_diff}", "logit_diff, margin_of: headroom}"), "headroom"),
        (NOISING, "L1.resid_pre", ("", ""), "is the whole run"),
        (NOISING, "L0H1", ("block: 16", "block: 16\nlesion: 1"), "format 1"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_a_sentence(edit, sites, changed, said) -> None:
    with pytest.raises(InputError, match=said):
        study(edit, sites, TEXT.replace(*changed) if changed[0] else TEXT)


def test_a_task_without_corrupted_prompts_cannot_be_patched(tmp_path: Path) -> None:
    text = TEXT.replace(
        '{task: arithmetic, operators: ["+"], low: 10, high: 99, shots: 1}', "{task: gsm8k, path: FILE}"
    )
    path = tmp_path / "words.jsonl"
    path.write_text("\n".join(f'{{"question": "What is {n}?", "answer": "{n} #### {n}"}}' for n in range(800)))
    with pytest.raises(InputError, match="no corrupted prompts"):
        prepare_plan(study(NOISING, text=text.replace("FILE", str(path))), "key")


@pytest.mark.parametrize(
    ("edit", "kind", "name"),
    [(NOISING, Patch, "noising"), (DENOISING, Patch, "denoising"), ("{kind: knock_out}", KnockOut, "knock_out")],
)
def test_target_and_sets_are_edited_alike_and_named_by_the_edit(edit: str, kind: type, name: str) -> None:
    whole = plan(edit)
    (first, *_) = discovery_cells(whole)
    assert [(arm.role, arm.edit) for arm in first.arms] == [("baseline", "none"), ("target", name), ("control", name)]
    assert all(isinstance(arm.intervention, kind) for arm in first.arms[1:])
    assert all(map(does_as_named, first.arms))
    assert not list(unsound(whole, Stage(name="discovery", attempt=0, cells=(first,))))
    chosen = Chosen(model=MODEL, tier="tier", alpha=0.0, items=64, psi=0.0, delta=0.0, exchange=name)  # pyright: ignore
    assert edited("set", ("L1H1",), chosen, whole, 0, 3).condition == Condition("set", name, None, "3")  # pyright: ignore
    assert chosen.id == f"{MODEL}|tier|target@{name}"


def test_denoising_asks_the_corrupted_prompt_and_keeps_the_clean_answer() -> None:
    model, cell = open_model(MODEL), Cell(stage="discovery", model=MODEL, tier="tier", stop=16)
    clean, corrupted = (block_of(model, cell, plan(edit)) for edit in (NOISING, DENOISING))
    for one, other in zip(clean.compiled, corrupted.compiled, strict=True):
        if isinstance(one, Compiled) and isinstance(other, Compiled) and one.twin_ids is not None:
            length = one.prompt_length
            assert other.answer_ids == one.answer_ids
            assert other.ids[:length] == one.twin_ids[:length]
            assert other.twin_ids == one.ids
    assert {item.answer for item in clean.items} == {item.answer for item in corrupted.items}
    assert clean.items[0].prompt != corrupted.items[0].prompt


def test_patching_the_whole_stream_exchanges_the_two_runs() -> None:
    """A known answer: noising everything is the corrupted run, denoising everything is the clean one."""
    noised, restored = rows(NOISING), rows(DENOISING)
    clean, corrupted = numbers(noised, "baseline"), numbers(restored, "baseline")
    assert numbers(restored, "target") == pytest.approx(clean, abs=1e-4)
    assert max(abs(a - b) for a, b in zip(clean, corrupted, strict=True)) > 1e-2, "the prompts differ"
    # the answer's later tokens are the corrupted prompt's own under noising, so one token is compared
    first = numbers(noised, "target")
    assert sum(abs(a - b) < 1e-4 for a, b in zip(first, corrupted, strict=True)) > len(first) / 2


def test_the_gap_between_the_prompts_of_a_pair_is_the_same_from_both_sides() -> None:
    noised, restored = (_gaps(open_model(MODEL), plan(edit))["tier"] for edit in (NOISING, DENOISING))
    assert noised["items"] == restored["items"] > 0
    assert noised["asked"] == pytest.approx(restored["other"], abs=1e-4)
    assert noised["other"] == pytest.approx(restored["asked"], abs=1e-4)
    gap = PairGap.model_validate(noised)
    assert gap.model_copy(update={"error": 0.0}).share(gap.other - gap.asked) == pytest.approx(1)
    assert gap.error > 0
    assert PairGap(items=64, asked=0.5, other=0.52, error=0.03).share(0.1) is None, "no part of next to nothing"


def test_sets_of_a_stream_are_streams_of_other_layers() -> None:
    whole = plan(NOISING, "L0.resid_mid")
    assert sorted(sets_of(whole, MODEL).sets) == [("L1.resid_mid",), ("L2.resid_mid",)]


def test_as_many_edges_cut_in_every_set_raise_no_alarm() -> None:
    text = TEXT.replace("items: 64, controls", "positions: last, items: 64, controls")
    whole = plan("{kind: knock_out, keys: 'index:0'}", text=text)
    (cell, *_) = discovery_cells(whole)
    result = measure_cell.work(cell, whole)
    told = {each.arm: each.receipt for each in result.receipts}
    assert {receipt.elements for receipt in told.values()} != {0}
    assert not list(unsound_receipts(cell, told.items(), result.items))  # pyright: ignore


def test_new_plans_of_older_studies_are_what_they_were() -> None:
    made = new_plan(study("{kind: scale}"), "key", plan(NOISING).shapes, {"tier": 320})
    assert "exchange" not in Chosen(model="m", tier="t", alpha=0, items=1, psi=0, delta=0).model_dump()
    assert swept(made.study) == (0.0, 0.5, 0.75, 1.25, 1.5, 2.0)


def test_random_edges_of_the_same_heads_stand_beside_the_pattern() -> None:
    text = TEXT.replace("claims: {outcome: logit_diff}", "claims: {outcome: logit_diff, sets: 19}")
    whole = plan("{kind: knock_out, control: edges}", text=text)
    assert sets_of(whole, MODEL) == ((("L0H1", "L1H0"),) * 19, ENDLESS)
    two = whole.model_copy(update={"controls": {MODEL: sets_of(whole, MODEL).sets[:2]}})
    (cell, *_) = discovery_cells(two)
    cut = [arm.intervention for arm in cell.arms if isinstance(arm.intervention, KnockOut)]
    numbers = [edge_set(two, MODEL, number) for number in (0, 1)]
    assert [each.keys for each in cut] == ["induction", *(f"random:{number}" for number in numbers)]
    assert numbers != [edge_set(two.model_copy(update={"key": "other"}), MODEL, number) for number in (0, 1)]
    assert len({each.sites for each in cut}) == 1
    assert not list(unsound(two, Stage(name="discovery", attempt=0, cells=(cell,))))
    same = cell.arms[2].model_copy(update={"intervention": cell.arms[1].intervention})
    forged = cell.model_copy(update={"arms": (*cell.arms[:2], same)})
    (said,) = unsound(two, Stage(name="discovery", attempt=0, cells=(forged,)))
    assert "the same sites" in said
    result = measure_cell.work(cell, two)
    told = {each.arm: each.receipt for each in result.receipts}
    assert told["target@knock_out"].elements > 0
    assert not list(unsound_receipts(cell, told.items(), result.items))  # pyright: ignore
    with pytest.raises(InputError, match="beside the induction pattern"):
        study("{kind: knock_out, keys: last, control: edges}")
