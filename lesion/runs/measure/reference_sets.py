"""Reference items: what mean and resample ablation take activations from, and which items have enough of them.

They are discovery problems, never confirmation ones, put behind the item's own few-shot examples. For each layout of a
tier (lengths and roles of the question and its answer) they are the first `MOST` problems of the discovery part that
have it. An item has a reference when `ALIKE` others of its layout and prefix exist. The plan names the set of each
lane by a hash that the instrument stage found before anything was edited. A study of format 1 took the first items of
the confirmation lane itself, which is kept to repeat such runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

from lesion.engine.donors import Donors, Group, prompt_of
from lesion.engine.replacement_activations import Library, reference_hash
from lesion.errors import InterventionError
from lesion.identity import content_hash
from lesion.models.model import Model
from lesion.runs.measure.cell_items import block_of, compiled_block
from lesion.study.arms.arm import ALIKE
from lesion.study.plan import Cell, Plan, reference_items
from lesion.study.stages.cells import confirmation, discovery
from lesion.study.study import Study
from lesion.tasks.catalogue import make_task
from lesion.tasks.task import Draw, Item
from lesion.tasks.tokenizers.layouts import Layout, layout_of, problem_layout
from lesion.tasks.tokenizers.prompt_contract import Compiled

MOST = 16
"""Reference items of each layout."""
DEPTH = 20_000
"""Discovery problems that are looked through for them, at most."""
CHUNK = 1024
"""Problems that are looked through at a time; a chunk that adds none is the last."""
KEPT = 2
"""Reference sets whose activations are kept."""
_KEPT: dict[tuple[str, str], "Library | Lane"] = {}
_FOUND: dict[tuple[str, str, str], "Candidates"] = {}


class Candidates:
    """The reference problems of a tier, by layout: indices in the discovery lane."""

    def __init__(self, model: Model, study: Study, tier: str) -> None:
        self.by_layout: dict[Layout, list[int]] = {}
        draw, prints = discovery(study)._replace(prefix=0), list[tuple[int, ...]]()
        task = make_task(study.tasks[tier])
        held = min(DEPTH, task.capacity(draw))
        for start in count(0, CHUNK):
            added = 0
            block = compiled_block(model, study, tier, task.items(draw, start, min(start + CHUNK, held)))
            for item, compiled in block.asked:
                alike = self.by_layout.setdefault(problem_layout(compiled), [])
                if len(alike) < MOST:
                    alike.append(item.index)
                    prints.append(compiled.ids)
                    added += 1
            if not added or start + CHUNK >= held:
                break
        self.print = content_hash(prints)

    def named(self, draw: Draw) -> str:
        """Hash of the reference set of a lane: these problems, and the examples that they are put behind."""
        return content_hash([self.print, draw.examples_key(0), draw.prefixes])

    def covered(self, item: Compiled) -> bool:
        """Whether an item has enough reference items, as far as its question and answer tell."""
        return len(self.by_layout.get(problem_layout(item), ())) > ALIKE


def candidates(model: Model, study: Study, tier: str) -> Candidates:
    """The reference problems of a tier, looked for once per worker."""
    key = (model.name, study.hash(), tier)
    if key not in _FOUND:
        _FOUND[key] = Candidates(model, study, tier)
    return _FOUND[key]


def lane_draw(plan: Plan, lane: int) -> Draw:
    """The items of a lane: a confirmation seed, or -1 for discovery."""
    return discovery(plan.study) if lane < 0 else confirmation(plan, lane)


@dataclass(eq=False)
class Lane:
    """The reference items of one lane of a tier, compiled behind each prefix when they are first asked for."""

    model: Model
    study: Study
    tier: str
    draw: Draw
    """The lane whose examples they are put behind."""
    found: Candidates
    donors: Donors
    _groups: dict[tuple[int, Layout], Group] = field(default_factory=dict[tuple[int, Layout], Group], repr=False)

    def covering(self, asked: Sequence[tuple[Item, Compiled]]) -> list[tuple[Item, Compiled]]:
        """The items that have a reference; their groups are known to `donors` from then on."""
        covered: list[tuple[Item, Compiled]] = []
        for item, compiled in asked:
            group, prompt = self._group(item, compiled), prompt_of(compiled)
            if self.draw.split == "confirm" and len(group.others(prompt)) < len(group.items):
                raise InterventionError(
                    f"item {item.id[:16]} of {self.tier} is a question of the confirmation and a reference item as well"
                )
            if len(group.others(prompt)) >= ALIKE:
                self.donors.groups[prompt] = group
                covered.append((item, compiled))
        return covered

    def _group(self, item: Item, compiled: Compiled) -> Group:
        prefix = self.draw.prefix_of(item.index) if "shot" in compiled.roles else 0
        layout = layout_of(compiled.roles, compiled.prompt_length, len(compiled.answer_ids))
        if (prefix, layout) not in self._groups:
            behind = self._behind(prefix, self.found.by_layout.get(problem_layout(compiled), ()))
            alike = [one for one in behind if layout_of(one.roles, one.prompt_length, len(one.answer_ids)) == layout]
            self._groups[prefix, layout] = Group(tuple(alike))
        return self._groups[prefix, layout]

    def _behind(self, prefix: int, numbers: Sequence[int]) -> list[Compiled]:
        """Reference problems behind a prefix of the lane."""
        key = self.draw.examples or f"{self.draw.key}:{self.draw.seed}"
        draw = discovery(self.study)._replace(prefix=prefix, examples=key)
        task = make_task(self.study.tasks[self.tier])
        made = [next(iter(task.items(draw, number, number + 1))) for number in numbers]
        return [compiled for _, compiled in compiled_block(self.model, self.study, self.tier, made).asked]


def reference_hashes(model: Model, plan: Plan) -> dict[str, list[str]]:
    """Tier -> the hash of the reference set of each confirmation seed, and last of discovery's (not in format 1)."""
    seeds = range(plan.study.baseline.seeds)
    if plan.study.lesion == 1:
        return {
            tier: [reference_hash(_own_lane(model, plan, tier, seed)) for seed in seeds] for tier in plan.study.tasks
        }
    found = {tier: candidates(model, plan.study, tier) for tier in plan.study.tasks}
    return {tier: [each.named(lane_draw(plan, lane)) for lane in (*seeds, -1)] for tier, each in found.items()}


def coverage(model: Model, plan: Plan) -> dict[str, dict[str, int]]:
    """Tier -> how many discovery items there are, how many have a reference, and how many layouts they have."""
    told: dict[str, dict[str, int]] = {}
    for tier in plan.study.tasks:
        cell = Cell(stage="discovery", model=model.name, tier=tier, stop=plan.study.sweep.items)
        found, block = candidates(model, plan.study, tier), block_of(model, cell, plan)
        layouts = {problem_layout(compiled) for _, compiled in block.asked}
        covered = sum(found.covered(compiled) for _, compiled in block.asked)
        told[tier] = {"items": len(block.asked), "covered": covered, "layouts": len(layouts)}
    return told


def library_of(model: Model, plan: Plan, tier: str, lane: int) -> "Library | Lane":
    """What makes the sources of mean and resample ablations for a tier and lane (a confirmation seed, or -1)."""
    name = plan.references[model.name][tier][lane]
    key = (model.name, name)
    if key not in _KEPT or _KEPT[key].model is not model:
        while len(_KEPT) >= KEPT:
            _KEPT.pop(next(iter(_KEPT)))
        if plan.study.lesion == 1:
            _KEPT[key] = Library(model, _own_lane(model, plan, tier, lane), keep=True)
        else:
            found = candidates(model, plan.study, tier)
            _KEPT[key] = Lane(model, plan.study, tier, lane_draw(plan, lane), found, Donors(model, name))
    return _KEPT[key]


def covered_by(library: "Library | Lane", asked: Sequence[tuple[Item, Compiled]]) -> list[tuple[Item, Compiled]]:
    """The items with enough others in the reference set whose lengths and roles stand as their own."""
    if isinstance(library, Lane):
        return library.covering(asked)
    return [(item, compiled) for item, compiled in asked if len(library.others(compiled)) >= ALIKE]


def _own_lane(model: Model, plan: Plan, tier: str, seed: int) -> list[Compiled]:
    """Format 1: the first items of the confirmation lane; those that break the prompt contract are left out."""
    cell = Cell(
        stage="confirm", model=model.name, tier=tier, split="confirm", seed=seed, stop=reference_items(plan, tier)
    )
    return [compiled for _, compiled in block_of(model, cell, plan).asked]
