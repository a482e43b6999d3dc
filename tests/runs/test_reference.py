"""Reference items: discovery problems, behind the item's own examples, found for every layout of a tier."""

import pytest

from lesion.models.model import open_model
from lesion.runs.measure.cell_items import block_of
from lesion.runs.measure.reference_sets import MOST, candidates, coverage, covered_by, library_of, reference_hashes
from lesion.study.plan import Cell, Plan, Shape, new_plan
from lesion.study.stages.cells import confirmation, discovery
from lesion.study.study import Study
from lesion.tasks.catalogue import make_task

MODEL = "tiny:llama"
TASKS = {
    "sums": {"task": "arithmetic", "operators": ("+", "-"), "low": 0, "high": 29, "shots": 1},
    "repeats": {"task": "symbolic", "patterns": ("repeat",), "shortest": 6, "longest": 16},
}


@pytest.fixture(scope="module")
def model():
    return open_model(MODEL)


@pytest.fixture(scope="module")
def plan(model) -> Plan:
    study = Study.model_validate(
        {"name": "r", "question": "?", "models": (MODEL,), "tasks": TASKS, "block": 192, "sweep": {"items": 192}}
    )
    bare = new_plan(study, "key", {MODEL: Shape(layers=2, heads=4, neurons=8)}, {"sums": 192, "repeats": 192})
    hashes = {tier: tuple(each) for tier, each in reference_hashes(model, bare).items()}
    return bare.model_copy(update={"references": {MODEL: hashes}})


def asked(model, plan: Plan, tier: str, lane: int = 1):
    split = "discovery" if lane < 0 else "confirm"
    cell = Cell(stage="confirm", model=MODEL, tier=tier, split=split, seed=max(lane, 0), stop=192)
    return block_of(model, cell, plan).asked


def problem(item) -> tuple[str, ...]:
    return tuple(segment.text for segment in item.segments if segment.role != "shot")


def test_references_are_discovery_problems_behind_the_items_own_examples(model, plan):
    task, library = make_task(plan.study.tasks["sums"]), library_of(model, plan, "sums", 1)
    lane = discovery(plan.study)
    known = {item.answer + "".join(problem(item)) for item in task.items(lane, 0, task.capacity(lane))}
    mine = {item.answer + "".join(problem(item)) for item in task.items(confirmation(plan, 1), 0, 192)}
    covered = covered_by(library, asked(model, plan, "sums"))
    assert covered
    text = model.tokenizer.decode
    for item, compiled in covered:
        group = library.donors.groups[compiled.ids[: compiled.prompt_length]]
        shown = "".join(segment.text for segment in item.segments if segment.role == "shot")
        for other in group.items:
            whole = text(list(other.ids)).replace(" ", "")
            assert shown.replace(" ", "") in whole
            assert other.roles == compiled.roles
            question = whole.split(shown.replace(" ", ""))[1]
            assert any(question == (q.split(";")[1] + q.split(";")[0] + ";") for q in known)
            assert not any(question == (q.split(";")[1] + q.split(";")[0] + ";") for q in mine)


def test_every_repeated_pattern_has_a_reference(model, plan):
    for lane in (0, -1):
        items = asked(model, plan, "repeats", lane)
        assert [item.index for item, _ in covered_by(library_of(model, plan, "repeats", lane), items)] == [
            item.index for item, _ in items
        ]
    told = coverage(model, plan)["repeats"]
    assert told["covered"] == told["items"] == 192


def test_a_layout_has_sixteen_reference_problems_at_most_and_lanes_have_names_of_their_own(model, plan):
    assert max(map(len, candidates(model, plan.study, "repeats").by_layout.values())) == MOST
    names = plan.references[MODEL]["sums"]
    assert len(names) == len({*names}) == 4
    other = plan.model_copy(update={"key": "another"})
    assert reference_hashes(model, other)["sums"][-1] == names[-1]
    assert not {*reference_hashes(model, other)["sums"][:3]} & {*names}
