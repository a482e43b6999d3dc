"""The reference set of a confirmation seed, and which items have a companion in it.

It is made of the first items of the seed's own lane, so that it has the same few-shot examples; the plan names it by
its hash, which the instrument stage found before anything was edited. A set is compiled, and run, once per worker.
"""

from collections.abc import Sequence

from lesion.engine.sources import Library, reference_hash
from lesion.models.model import Model
from lesion.runs.block import block_of
from lesion.study.arm import ALIKE
from lesion.study.plan import Cell, Plan, reference_items
from lesion.tasks.task import Item
from lesion.tasks.tokenization import Compiled

_KEPT: dict[str, Library] = {}
MOST = 2
"""Reference sets whose activations are kept."""


def reference_of(model: Model, plan: Plan, tier: str, seed: int) -> list[Compiled]:
    """The compiled reference items; those that break the prompt contract are left out."""
    cell = Cell(
        stage="confirm", model=model.name, tier=tier, split="confirm", seed=seed, stop=reference_items(plan, tier)
    )
    return [compiled for _, compiled in block_of(model, cell, plan).asked]


def reference_hashes(model: Model, plan: Plan) -> dict[str, list[str]]:
    """Tier -> by confirmation seed, the hash of its reference set."""
    seeds = range(plan.study.baseline.seeds)
    return {
        tier: [reference_hash(reference_of(model, plan, tier, seed)) for seed in seeds] for tier in plan.study.tasks
    }


def library_of(model: Model, plan: Plan, tier: str, seed: int) -> Library:
    """What makes the companions' sources for a tier and seed."""
    name = plan.references[model.name][tier][seed]
    if name not in _KEPT or _KEPT[name].model is not model:
        while len(_KEPT) >= MOST:
            _KEPT.pop(next(iter(_KEPT)))
        _KEPT[name] = Library(model, reference_of(model, plan, tier, seed), keep=True)
    return _KEPT[name]


def accompanied(library: Library, asked: Sequence[tuple[Item, Compiled]]) -> list[tuple[Item, Compiled]]:
    """The items with enough others in the reference set whose lengths and roles stand as their own."""
    return [(item, compiled) for item, compiled in asked if len(library.others(compiled)) >= ALIKE]
