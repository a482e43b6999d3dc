"""The questions about double dissociations of a study, judged from the rows of the first look. Pure.

A question is judged once, on the items that all targets of a tier have at the first look: what a second look adds
depends on the verdict of a single cell. A part of a tier (`sums:operator=+`) has the items of one stratum.
docs/dissociation.md states the rule.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lesion.errors import InputError, nearest
from lesion.stats.dissociation.judge import Rows, TaskRows, judge_dissociations, matrix
from lesion.stats.dissociation.question import Asked, CellEffect, Dissociation, every_question
from lesion.study.gates.evidence.paired_arms import outcome_rows
from lesion.study.gates.margins import chance_of, margin_of
from lesion.study.plan import Chosen, Plan
from lesion.study.stages.confirmatory_cells import rule_of
from lesion.study.study import Study


class Dissociations(NamedTuple):
    """What the first look says about targets and tasks."""

    verdicts: dict[str, dict[str, Dissociation]]
    """Model -> question -> its verdict."""
    matrix: dict[str, tuple[CellEffect, ...]]
    """Model -> what every target does to every task."""


NOTHING = Dissociations({}, {})


def questions(study: Study) -> tuple[Asked, ...]:
    """What a study asks of each model; nothing where it asks for no dissociation."""
    asked = study.claims.dissociation if study.claims is not None else ()
    if asked == "all":
        return every_question(tuple(study.sweep.targets), tuple(study.tasks))
    return tuple(
        Asked(first, second, (one, other))
        for (first, second), (one, other) in ((each.targets, each.tasks) for each in asked)
    )


def dissociations(plan: Plan, items: pl.DataFrame, prompts: pl.DataFrame, invalid: Mapping[str, str]) -> Dissociations:
    """The verdict on every question, for every model; nothing at a second look.

    Args:
        plan: at the first look.
        items: rows of the run.
        prompts: its questions.
        invalid: cell -> why its rows cannot be trusted.
    """
    asked = questions(plan.study)
    if not asked or plan.attempt or plan.stage != "confirm":
        return NOTHING
    verdicts, effects = dict[str, dict[str, Dissociation]](), dict[str, tuple[CellEffect, ...]]()
    for model in plan.study.models:
        found = _Confirmed(plan, items, prompts, model, invalid)
        tasks, faults = found.tasks(asked), found.faults(asked)
        rule, exhaustive = rule_of(plan.study), [task for task in tasks if _tier(task) in plan.study.exhaustive]
        verdicts[model] = judge_dissociations(
            tasks, asked, rule, invalid=faults, exhaustive=exhaustive, family_size=len(asked) * len(plan.study.models)
        )
        effects[model] = matrix({name: each for name, each in tasks.items() if each.arms}, rule)
    return Dissociations(verdicts, effects)


def _tier(task: str) -> str:
    """The tier of a task: `sums` of `sums:operator=+`."""
    return task.partition(":")[0]


class _Confirmed(NamedTuple):
    """The first look at one model."""

    plan: Plan
    items: pl.DataFrame
    prompts: pl.DataFrame
    model: str
    invalid: Mapping[str, str]

    def cell(self, target: str, task: str) -> Chosen | None:
        """The cell in which a target is ablated, patched or cut on a tier; nothing where it was not confirmed."""
        here = (each for each in self.plan.family if (each.model, each.tier) == (self.model, _tier(task)))
        return next((each for each in here if each.target == target and each.alpha == 0), None)

    def faults(self, asked: Sequence[Asked]) -> dict[tuple[str, str], str]:
        """(target, task) -> why its rows cannot be used."""
        pairs = {(name, task): self.cell(name, task) for name, task in _pairs(asked)}
        missing = {pair: "the cell was not confirmed" for pair, cell in pairs.items() if cell is None}
        return missing | {
            pair: self.invalid[cell.id] for pair, cell in pairs.items() if cell is not None and cell.id in self.invalid
        }

    def tasks(self, asked: Sequence[Asked]) -> dict[str, TaskRows]:
        """Rows of every task under every target that can be used, on the items that all of them have."""
        study, model = self.plan.study, self.model
        found: dict[str, TaskRows] = {}
        for task in dict.fromkeys(task for each in asked for task in each.tasks):
            tier = _tier(task)
            margin = margin_of(self.plan, self.items, self.prompts, model, tier)
            chance = chance_of(study, self.prompts, model, tier).value
            found[task] = TaskRows(_common(self._arms(study.sweep.targets, task)), chance, margin)
        return found

    def _arms(self, targets: Iterable[str], task: str) -> dict[str, Rows]:
        cells = {name: self.cell(name, task) for name in targets}
        rows = {
            name: outcome_rows(self.plan, self.items, self.prompts, cell, cell.arm)
            for name, cell in cells.items()
            if cell is not None and cell.id not in self.invalid
        }
        return {name: _part(each, task) for name, each in rows.items()}


def _pairs(asked: Sequence[Asked]) -> set[tuple[str, str]]:
    return {(name, task) for each in asked for name in (each.first, each.second) for task in each.tasks}


def _part(rows: Rows, task: str) -> Rows:
    """The items of one stratum of a tier.

    Raises:
        InputError: for a stratum that no item has.
    """
    _, _, stratum = task.partition(":")
    if not stratum:
        return rows
    levels = rows.levels()
    if stratum not in levels:
        raise InputError(f"claims.dissociation, {task}: {nearest(stratum, levels)}")
    return rows.where(levels[stratum])


def _common(arms: Mapping[str, Rows]) -> dict[str, Rows]:
    """The rows of the items that every target has, in their order."""
    names = {name: _keys(rows) for name, rows in arms.items()}
    shared = set[tuple[int, str]].intersection(*map(set, names.values())) if names else set[tuple[int, str]]()
    kept = {name: np.array([key in shared for key in keys], dtype=np.bool_) for name, keys in names.items()}
    return {name: rows if kept[name].all() else rows.where(kept[name]) for name, rows in arms.items()}


def _keys(rows: Rows) -> list[tuple[int, str]]:
    item: NDArray[Any] = np.arange(rows.n) if rows.item is None else rows.item
    return list(zip(rows.seed.tolist(), map(str, item.tolist()), strict=True))
