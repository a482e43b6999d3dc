"""The vectors of a study that steers: made or read by the instrument stage, and held by workers under their hashes."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from lesion.errors import InputError
from lesion.interventions.intervention import Steer
from lesion.interventions.site import Site
from lesion.measures.effects.steering import contrast, streams
from lesion.measures.effects.vector_file import read_vector
from lesion.measures.prompt_set import Asked, of
from lesion.models.model import Model
from lesion.runs.measure.cell_items import block_of, written_block
from lesion.study.arms.arm import Arm
from lesion.study.arms.edits import Steering
from lesion.study.arms.targets import GivenSites, aim
from lesion.study.arms.vectors import (
    SHUFFLED_FROM,
    ContrastVector,
    FileVector,
    PairsVector,
    SteeringVector,
    written_differences,
)
from lesion.study.plan import Cell, Plan
from lesion.study.stages.cells import discovery
from lesion.study.stages.edits import control_vector
from lesion.tasks.catalogue import make_task
from lesion.tasks.config import TaskConfig
from lesion.tasks.tokenizers.prompt_contract import Compiled

MADE_FROM = 256
"""Items of each kind that a vector is made from, at most."""
FEWEST_PAIRS = 16
"""Fewer pairs have too few different shuffles."""
NORM_ITEMS = 64
"""Discovery items of each tier whose streams are measured."""


def steering_vectors(model: Model, plan: Plan) -> dict[str, dict[str, object]]:
    """Name of a target -> the vector that is added there.

    Raises:
        InputError: when there is nothing to make it from, or the file holds no vector of the stream's width.
    """
    asked = _asked(row for tier in plan.study.tasks for row in _rows(model, plan, tier, NORM_ITEMS))
    found: dict[str, dict[str, object]] = {}
    for name, target in plan.study.sweep.named.items():
        assert isinstance(target, GivenSites)  # a study that steers names its streams
        found[name] = _found(model, plan, target.parsed()[0], asked).model_dump(mode="json")
    return found


def _found(model: Model, plan: Plan, site: Site, asked: Asked) -> SteeringVector:
    vector, items, differences = _vector(model, plan, site)
    length = float(vector.norm())
    if vector.shape != (model.sizes.d_model,) or not length > 0:
        raise InputError(
            f"sweep.edit.vector: {model.name} has streams of {model.sizes.d_model} numbers, and the vector has the "
            f"shape {tuple(vector.shape)} and the length {length:g}; give another one"
        )
    unit = (vector.double() / length).float()
    size = float(streams(model, site, asked).norm(dim=1).mean())
    numbers = tuple(float(f"{number:.9g}") for number in unit.tolist())
    return SteeringVector(
        site=str(site), numbers=numbers, length=length, stream=size, items=items, differences=differences
    )


def _vector(model: Model, plan: Plan, site: Site) -> tuple[Tensor, int, str]:
    """The vector before it is normalised, how many items it was made from, and what shuffled pairs are made from."""
    edit = plan.study.sweep.edit
    assert isinstance(edit, Steering)
    source = edit.vector
    if isinstance(source, FileVector):
        return read_vector(Path(source.path), site, source.key, source.sha256), 0, ""
    if isinstance(source, PairsVector):
        rows = [row for row in _rows(model, plan, source.tier, MADE_FROM) if row.twin_ids is not None]
        others = [replace(row, ids=row.twin_ids or row.ids, twin_ids=None) for row in rows]
    else:
        assert isinstance(source, ContrastVector)
        rows, others = (_discovered(model, plan, task) for task in (source.shown, source.other))
    differences = _differences(model, site, rows, others) if edit.control == "shuffled" else ""
    return contrast(model, site, _asked(rows), _asked(others)), len(rows), differences


def _differences(model: Model, site: Site, rows: Sequence[Compiled], others: Sequence[Compiled]) -> str:
    """Of the first pairs, the difference between the streams of the two prompts."""
    pairs = min(len(rows), len(others), SHUFFLED_FROM)
    if pairs < FEWEST_PAIRS:
        raise InputError(
            f"sweep.edit.control: shuffled needs {FEWEST_PAIRS} pairs of prompts, and discovery has {pairs}; raise "
            "sweep.items, or take random vectors (control: random)"
        )
    shown, other = (_in_order(model, site, _asked(each[:pairs])) for each in (rows, others))
    return written_differences((shown - other).numpy())


def _in_order(model: Model, site: Site, asked: Asked) -> Tensor:
    """The stream of each item, in the order of the items; batches hold rows of equal lengths."""
    read = streams(model, site, asked)
    places = torch.tensor([row for batch in asked.batches for row in batch.rows])
    return read[places.argsort()]


def _rows(model: Model, plan: Plan, tier: str, many: int) -> list[Compiled]:
    """The first discovery items of a tier."""
    cell = Cell(stage="discovery", model=model.name, tier=tier, stop=min(plan.study.sweep.items, many))
    return [row for _, row in block_of(model, cell, plan).asked]


def _discovered(model: Model, plan: Plan, task: TaskConfig) -> list[Compiled]:
    """The first discovery items of a task that need not be a tier of the study."""
    draw, made = discovery(plan.study), make_task(task)
    items = islice(made.items(draw, 0, min(MADE_FROM, made.capacity(draw))), MADE_FROM)
    return [row for _, row in written_block(model, plan.study, task, items).asked]


def _asked(rows: Iterable[Compiled]) -> Asked:
    kept = [*rows]
    if not kept:
        raise InputError(
            "sweep.edit.vector: no discovery item keeps the prompt contract and has what the vector is made from; "
            "see `lesion tokens`"
        )
    return of(kept)


def added_vectors(plan: Plan, model: str, arms: Sequence[Arm]) -> dict[str, Tensor]:
    """Hash -> vector, of every vector that these arms add."""
    wanted: dict[str, Tensor] = {}
    for arm in arms:
        if not isinstance(arm.intervention, Steer) or arm.intervention.vector in wanted:
            continue
        key = aim(model, arm.condition.target)
        if arm.role == "target":
            wanted[arm.intervention.vector] = torch.tensor(plan.vectors[key].numbers, dtype=torch.float32)
        else:
            number = int(arm.member.rpartition(":")[2])
            wanted[arm.intervention.vector] = torch.from_numpy(control_vector(plan, key, number))
    return wanted
