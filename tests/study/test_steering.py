"""A study that steers: its vector is fixed before any edit, its sets are random vectors, and every fault is refused."""

import base64

import numpy as np
import pytest
import torch

from lesion.errors import InputError
from lesion.identity import file_hash
from lesion.interventions.direction import direction_hash
from lesion.interventions.intervention import Steer
from lesion.interventions.site import parse_site
from lesion.measures.effects.steering import contrast
from lesion.measures.prompt_set import of
from lesion.models.model import Model, open_model
from lesion.runs.execute.prepare import prepare_plan
from lesion.runs.measure import measure_cell
from lesion.runs.measure.cell_items import block_of
from lesion.runs.measure.steering_vectors import added_vectors, steering_vectors
from lesion.study.arms.vectors import SteeringVector, random_vector
from lesion.study.format.load import parse_document
from lesion.study.gates.evidence.soundness import does_as_named, unsound, unsound_receipts
from lesion.study.plan import Plan, Stage
from lesion.study.stages.cells import discovery_cells
from lesion.study.stages.edits import control_vector
from lesion.study.stages.matched_sets import ENDLESS, sets_of, sets_within
from lesion.study.study import Study
from lesion.tasks.tokenizers.prompt_contract import Compiled

MODEL, SITE = "tiny:llama", "L1.resid_pre"
TEXT = """\
name: steered
question: Does the direction move the answer?
models: [tiny:llama]
tasks: {tier: {task: arithmetic, operators: ["+"], low: 10, high: 99, shots: 1}}
block: 16
baseline: {items: 64, spread: 2.0}
sweep:
  edit: {kind: steer, vector: VECTOR, strength: 0.5}
  target: {kind: sites, sites: [L1.resid_pre]}
  positions: last
  items: 64
claims: {outcome: logit_diff, sets: 19}
verdict: {margin: 0.3, effect: 0.5, spread: 0.9}
exclusions: 0.5
"""
PAIRS = "{of: pairs, tier: tier}"
CONTRAST = (
    "{of: contrast, shown: {task: symbolic, patterns: [repeat], shortest: 6, longest: 8},"
    " other: {task: arithmetic, low: 10, high: 99}}"
)


SHUFFLED = TEXT.replace("strength: 0.5", "strength: 0.5, control: shuffled")


def study(vector: str = PAIRS, text: str = TEXT) -> Study:
    return parse_document(text.replace("VECTOR", vector), "steered.yaml", Study)


@pytest.fixture(scope="module")
def plan() -> Plan:
    made = prepare_plan(study(), "key")
    (found,) = steering_vectors(open_model(MODEL), made).values()
    vectors = {MODEL: SteeringVector.model_validate(found)}
    made = made.model_copy(update={"targets": {MODEL: (SITE,)}, "vectors": vectors})
    return made.model_copy(update={"controls": {MODEL: sets_of(made, MODEL).sets[:2]}})


def test_the_vector_of_pairs_is_the_mean_difference_of_clean_and_corrupted_streams(plan: Plan) -> None:
    model, found = open_model(MODEL), plan.vectors[MODEL]
    cells = [cell.model_copy(update={"arms": ()}) for cell in discovery_cells(plan)]
    rows = [row for cell in cells for _, row in block_of(model, cell, plan).asked if row.twin_ids is not None]
    assert found.items == len(rows), "made from discovery items alone"
    difference = torch.stack([_last(model, row, row.ids) - _last(model, row, row.twin_ids) for row in rows]).mean(0)
    assert found.length == pytest.approx(float(difference.norm()), rel=1e-4)
    assert torch.allclose(torch.tensor(found.numbers), difference / difference.norm(), atol=1e-5)
    assert direction_hash(np.array(found.numbers, np.float32)) == found.name


def _last(model: Model, row: Compiled, ids: tuple[int, ...]) -> torch.Tensor:
    """The stream that enters block 1 at the last prompt token, by the model's own hidden states."""
    with torch.inference_mode():
        states = model.module(torch.tensor([ids]), output_hidden_states=True).hidden_states
    return states[1][0, row.prompt_length - 1]


@pytest.mark.parametrize("vector", [PAIRS, CONTRAST])
def test_a_vector_is_the_same_when_it_is_made_again(vector: str) -> None:
    made = prepare_plan(study(vector), "key")
    first, again = (steering_vectors(open_model(MODEL), made) for _ in range(2))
    assert first == again


def test_a_contrast_is_that_of_lesion_steer(monkeypatch: pytest.MonkeyPatch) -> None:
    made, seen = prepare_plan(study(CONTRAST), "key"), []
    from lesion.runs.measure import steering_vectors as module

    monkeypatch.setattr(module, "contrast", lambda *given: seen.append(given) or contrast(*given))
    (found,) = module.steering_vectors(open_model(MODEL), made).values()
    model, site, shown, other = seen[0]
    assert site == parse_site(SITE)
    expected = contrast(model, site, of(shown.compiled), of(other.compiled))
    assert torch.allclose(torch.tensor(found["numbers"]), expected / expected.norm(), atol=1e-5)


def test_a_file_is_pinned_by_its_hash(tmp_path) -> None:
    np.save(tmp_path / "v.npy", np.eye(1, open_model(MODEL).sizes.d_model)[0])
    path = tmp_path / "v.npy"
    with pytest.raises(InputError, match=f"sha256: {file_hash(path)}"):
        prepare_plan(study(f"{{of: file, path: {path}}}"), "key")
    made = prepare_plan(study(f"{{of: file, path: {path}, sha256: {file_hash(path)}}}"), "key")
    (found,) = steering_vectors(open_model(MODEL), made).values()
    assert found["numbers"][0] == 1.0
    np.save(path, np.ones(5))
    wrong = study(f"{{of: file, path: {path}, sha256: {file_hash(path)}}}")
    with pytest.raises(InputError, match="streams of"):
        steering_vectors(open_model(MODEL), prepare_plan(wrong, "key"))


def test_sets_are_random_vectors_of_the_same_length_at_the_same_place(plan: Plan) -> None:
    matched = sets_of(plan, MODEL)
    assert matched == ((((SITE,),) * 19), ENDLESS)
    assert not sets_within(plan, MODEL).sets
    (cell, *_) = discovery_cells(plan)
    pushes = [arm.intervention for arm in cell.arms if isinstance(arm.intervention, Steer)]
    assert [arm.role for arm in cell.arms] == ["baseline", "target", "control", "control"]
    assert len({push.vector for push in pushes}) == 3
    assert len({push.coefficient for push in pushes}) == 1
    assert pushes[0].coefficient == pytest.approx(0.5 * plan.vectors[MODEL].stream, rel=1e-4)
    held = added_vectors(plan, MODEL, cell.arms)
    assert {direction_hash(vector.numpy()) for vector in held.values()} == {push.vector for push in pushes}
    assert all(vector.norm().item() == pytest.approx(1, abs=1e-5) for vector in held.values())
    assert not np.array_equal(random_vector("key", MODEL, 0, 16), random_vector("other", MODEL, 0, 16))


@pytest.mark.parametrize("vector", [PAIRS, CONTRAST])
def test_vectors_of_shuffled_pairs_turn_pairs_round(vector: str) -> None:
    made = prepare_plan(study(vector, SHUFFLED), "key")
    (told,) = steering_vectors(open_model(MODEL), made).values()
    found = SteeringVector.model_validate(told)
    plan = made.model_copy(update={"targets": {MODEL: (SITE,)}, "vectors": {MODEL: found}})
    rows = np.frombuffer(base64.b64decode(found.differences), "<f2").reshape(-1, len(found.numbers)).astype(float)
    assert len(rows) == min(found.items, 64)
    unshuffled = rows.mean(0) / np.linalg.norm(rows.mean(0))
    if found.items == len(rows):
        assert np.allclose(unshuffled, found.numbers, atol=2e-3), "no pair turned round: the vector itself"
    drawn = [control_vector(plan, MODEL, number).astype(float) for number in range(50)]
    for one in drawn:
        assert np.linalg.norm(one) == pytest.approx(1, abs=1e-5)
        signs = np.linalg.lstsq(rows.T, one, rcond=None)[0] if len(rows) <= rows.shape[1] else None
        if signs is not None:
            assert np.allclose(np.abs(signs), np.abs(signs).mean(), rtol=0.05), "each pair counts as much, either way"
    against = [float(one @ np.array(found.numbers)) for one in drawn]
    assert abs(float(np.mean(against))) < 4 * float(np.std(against)) / len(against) ** 0.5
    assert direction_hash(control_vector(plan, MODEL, 3)) != direction_hash(control_vector(plan, MODEL, 4))
    plan = plan.model_copy(update={"controls": {MODEL: sets_of(plan, MODEL).sets[:2]}})
    (cell, *_) = discovery_cells(plan)
    held = added_vectors(plan, MODEL, cell.arms)
    pushes = [arm.intervention for arm in cell.arms if isinstance(arm.intervention, Steer)]
    assert {push.vector for push in pushes} == {*held}
    assert len(held) == 3


def test_the_differences_are_those_of_each_pair_whatever_the_lengths(plan: Plan) -> None:
    """Items of unequal length are read in batches of equal ones: a difference must not mix two pairs."""
    text = SHUFFLED.replace("low: 10, high: 99", "low: 1, high: 99")
    made, model = prepare_plan(study(PAIRS, text), "key"), open_model(MODEL)
    (told,) = steering_vectors(model, made).values()
    found = SteeringVector.model_validate(told)
    rows = np.frombuffer(base64.b64decode(found.differences), "<f2").reshape(-1, len(found.numbers)).astype(float)
    asked = plan.model_copy(update={"study": made.study})
    cells = [cell.model_copy(update={"arms": ()}) for cell in discovery_cells(asked)]
    pairs = [row for cell in cells for _, row in block_of(model, cell, asked).asked if row.twin_ids is not None]
    assert len({len(row.ids) for row in pairs}) > 1
    expected = torch.stack([_last(model, row, row.ids) - _last(model, row, row.twin_ids) for row in pairs[: len(rows)]])
    assert np.allclose(rows, (expected / expected.abs().max()).numpy(), atol=2e-3)


def test_a_cell_is_measured_with_receipts_and_raises_no_alarm(plan: Plan) -> None:
    (cell, *_) = discovery_cells(plan)
    result = measure_cell.work(cell, plan)
    told = {each.arm: each.receipt for each in result.receipts}
    assert {*told} == {"target@steer", "control0@steer", "control1@steer"}
    assert not list(unsound_receipts(cell, told.items(), result.items))  # pyright: ignore
    assert not list(unsound(plan, Stage(name="discovery", attempt=0, cells=(cell,))))
    assert all(map(does_as_named, cell.arms))


def test_a_set_that_adds_the_targets_vector_is_found(plan: Plan) -> None:
    (cell, *_) = discovery_cells(plan)
    target, control = cell.arms[1], cell.arms[2]
    same = control.model_copy(update={"intervention": target.intervention})
    forged = cell.model_copy(update={"arms": (*cell.arms[:2], same)})
    (said,) = unsound(plan, Stage(name="discovery", attempt=0, cells=(forged,)))
    assert "does to the same sites what is done to target@steer" in said
    assert control.intervention is not None
    edit = control.intervention.model_copy(update={"coefficient": 9.0})
    pushed = cell.model_copy(update={"arms": (*cell.arms[:2], control.model_copy(update={"intervention": edit}))})
    (said,) = unsound(plan, Stage(name="discovery", attempt=0, cells=(pushed,)))
    assert "not of one length" in said
    away = control.intervention.model_copy(update={"sites": (parse_site("L2.resid_pre"),)})
    moved = cell.model_copy(update={"arms": (*cell.arms[:2], control.model_copy(update={"intervention": away}))})
    (said,) = unsound(plan, Stage(name="discovery", attempt=0, cells=(moved,)))
    assert "other sites than the target" in said


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (("L1.resid_pre", "L1H0"), "one stream"),
        (("[L1.resid_pre]", "[L1.resid_pre, L2.resid_pre]"), "one stream"),
        (("strength: 0.5", "strength: 0"), "adds nothing"),
        (("strength: 0.5", "strength: 0.5, control: nearest"), "allowed: random, shuffled"),
        ((PAIRS, "{of: file, path: v.npy, sha256: " + "0" * 64 + "}, control: shuffled"), "no pairs to shuffle"),
        (("tier: tier", "tier: nowhere"), "tier"),
        (("positions: last", "positions: last\n  alphas: [2.0]"), "has no factor"),
    ],
)
def test_what_cannot_be_steered_is_refused_in_a_sentence(changed: tuple[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        study(text=TEXT.replace("VECTOR", PAIRS).replace(*changed))
