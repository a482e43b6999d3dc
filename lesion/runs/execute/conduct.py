"""The one straight line: a fold over the stages of a plan.

    while stage := next_stage(plan): do its cells, judge its gate, amend the plan

Dry runs and replays go down the same line; nothing in it asks which of them it is.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from lesion.errors import BudgetSpent, LesionError, Tampered
from lesion.runs.execute.logs import LOGGER
from lesion.runs.folder.as_it_grew import AsItGrew
from lesion.runs.folder.run_folder import Result, RunFolder, Unit
from lesion.study.arms.targets import aim
from lesion.study.gates.evidence.model_answers import AnyAnswer
from lesion.study.gates.evidence.soundness import foreign_rows, unsound, unsound_receipts
from lesion.study.gates.gate_verdict import GateVerdict
from lesion.study.gates.judge import Facts
from lesion.study.gates.specificity import RANKED
from lesion.study.plan import Cell, Plan, Stage
from lesion.study.stages.stage_table import amend, judge, next_stage
from lesion.study.stages.transitions import stop
from lesion.study.study import Budget

Executor = Callable[[Callable[[Cell], Result], Sequence[Cell]], Iterator[tuple[Cell, Result]]]
Judged = Callable[[Plan, GateVerdict], None]
"""Told of every verdict, with the plan that was judged."""


class Spent(NamedTuple):
    """What a run has used of its budget."""

    cpu_seconds: float
    gpu_seconds: float
    wall_seconds: float
    """Since this process began; a run that was cut off starts this clock anew."""

    def shares(self, budget: Budget) -> dict[str, tuple[float, float]]:
        """Name of the limit -> used and limit, in the limit's unit."""
        return {
            "cpu_hours": (self.cpu_seconds / 3600, budget.cpu_hours),
            "gpu_hours": (self.gpu_seconds / 3600, budget.gpu_hours),
            "wall_minutes": (self.wall_seconds / 60, budget.wall_minutes),
        }


class Reading(NamedTuple):
    """What the meter shows."""

    spent: Spent
    by_stage: Mapping[str, tuple[float, float]]
    """Processor and accelerator seconds of each stage so far."""


Afford = Callable[[Plan, Reading], Plan]
"""Asked once, when the baseline has passed: what is put off, given what was spent so far."""


class Tick(NamedTuple):
    """Progress: called for every finished cell."""

    stage: str
    done: int
    """Cells of this stage."""
    total: int
    spent: Spent
    budget: Budget


Progress = Callable[[Tick], None]


class Conducted(NamedTuple):
    """How a plan ended."""

    plan: Plan
    gates: tuple[GateVerdict, ...]
    plan_hashes: tuple[str, ...]
    spent: Spent
    budget_spent: bool

    @property
    def cpu_seconds(self) -> float:
        """Processor seconds of all units."""
        return self.spent.cpu_seconds


def keep_all(plan: Plan, reading: Reading) -> Plan:  # noqa: ARG001  (what it costs is nothing to it)
    """Puts nothing off."""
    return plan


def tell_nobody(plan: Plan, verdict: GateVerdict) -> None:
    """Says nothing of a verdict."""


def conduct(
    plan: Plan,
    folder: RunFolder,
    work: Callable[[Cell, Plan], Result],
    execute: Executor,
    progress: Progress,
    *,
    afford: Afford = keep_all,
    judged: Judged = tell_nobody,
    metered: bool = True,
) -> Conducted:
    """Do every stage until the plan ends. A gate sees the units that the plan has asked for so far, and no others.

    Args:
        plan: at its first stage.
        folder: where finished units are; one that is there already is not computed again, but is charged when the
            plan asks for it.
        work: what is done for a cell; runs in a worker.
        execute: where it is done.
        progress: told of every finished cell.
        afford: what is put off where the budget will not do; decides before the first intervention.
        judged: told of every verdict.
        metered: whether the budget ends the run; going over finished rows again costs nothing.
    """
    seen = AsItGrew(folder)
    gates: list[GateVerdict] = []
    hashes = [plan.hash()]
    meter = _Meter(plan, metered)
    _try_meter(plan)
    try:
        while stage := next_stage(plan):
            _refuse(unsound(plan, stage), "the plan is not sound, so nothing more is run: ")
            answers = _do(stage, plan, seen, work, execute, progress, meter)
            changed = seen.changed(stage.name) if stage.name in RANKED else {}
            verdict = judge(plan, Facts(seen.items(), seen.prompts(), answers, changed))
            facts = {"gate": verdict.stage, "attempt": verdict.attempt, "outcome": verdict.outcome}
            said = "gate %s: %s: %s", verdict.stage, verdict.outcome, verdict.reason
            LOGGER.info(*said, extra={"facts": {**facts, "reason": verdict.reason}})
            gates.append(verdict)
            judged(plan, verdict)
            plan = amend(plan, verdict)
            if (verdict.stage, verdict.outcome) == ("baseline", "Pass"):
                plan = afford(plan, Reading(meter.spent(), meter.by_stage))
            hashes.append(plan.hash())
    except BudgetSpent as spent:
        plan = stop(plan, str(spent))
        hashes.append(plan.hash())
    return Conducted(plan, tuple(gates), tuple(hashes), meter.spent(), meter.over)


class _Meter:
    """What the run has cost so far, held against the study's budget."""

    def __init__(self, plan: Plan, metered: bool) -> None:
        self.budget, self.metered = plan.study.budget, metered
        self.started = time.monotonic()
        self.cpu_seconds = self.gpu_seconds = 0.0
        self.by_stage: dict[str, tuple[float, float]] = {}
        self.over = False

    def spent(self) -> Spent:
        """Up to now."""
        return Spent(self.cpu_seconds, self.gpu_seconds, time.monotonic() - self.started)

    def add(self, unit: Unit) -> None:
        """Charge a finished unit.

        Raises:
            BudgetSpent: when the budget is used up.
        """
        self.cpu_seconds += unit.cpu_seconds
        self.gpu_seconds += unit.gpu_seconds
        stage = unit.cell.stage
        cpu, gpu = self.by_stage.get(stage, (0.0, 0.0))
        self.by_stage[stage] = cpu + unit.cpu_seconds, gpu + unit.gpu_seconds
        for name, (used, limit) in self.spent().shares(self.budget).items():
            if self.metered and used > limit:
                self.over = True
                raise BudgetSpent(f"the budget is spent: {name} {used:.3f} of {limit:g}")


def _try_meter(plan: Plan) -> None:
    """Charge a meter more than the budget holds.

    Raises:
        LesionError: when it goes on.
    """
    budget = plan.study.budget
    for cpu, gpu in ((budget.cpu_hours * 3600 + 1, 0.0), (0.0, budget.gpu_hours * 3600 + 1)):
        dear = Unit(
            cell=Cell(stage="baseline", model="dear"), rows_hash="", file_hash=None, answer=None, receipts=(),
            cpu_seconds=cpu, engine={}, gpu_seconds=gpu,
        )  # fmt: skip
        try:
            _Meter(plan, metered=True).add(dear)
        except BudgetSpent:
            continue
        raise LesionError("the meter lets a study go over its budget, so nothing is run; install the package again")


def _do(
    stage: Stage,
    plan: Plan,
    folder: AsItGrew,
    work: Callable[[Cell, Plan], Result],
    execute: Executor,
    progress: Progress,
    meter: _Meter,
) -> dict[str, AnyAnswer]:
    """Compute the cells of a stage that are not on disk yet; answers by `aim(model, target)`, in the plan's order."""
    units = {cell: unit for cell in stage.cells if (unit := folder.unit(cell))}
    LOGGER.info(
        "stage %s, attempt %d: %d cells", stage.name, stage.attempt, len(stage.cells),
        extra={"facts": _begins(stage, len(units), folder)},
    )  # fmt: skip

    def tell() -> None:
        progress(Tick(stage.name, len(units), len(stage.cells), meter.spent(), plan.study.budget))

    weights = weights_of(folder.whole.units())
    for unit in units.values():
        meter.add(unit)
    tell()
    for cell, result in execute(_Task(work, plan), [cell for cell in stage.cells if cell not in units]):
        if not same_weights(weights, cell.model, result.engine):
            raise Tampered(
                f"{cell.model}: its weights changed while the run went on, so its rows would mix two models; put the "
                "old weights back, or start a new run"
            )
        if result.items is not None:
            _refuse(filter(None, [foreign_rows(cell, result.items)]), "a result is not its cell's: ")
            receipts = ((each.arm, each.receipt) for each in result.receipts)
            wrong = unsound_receipts(cell, receipts, result.items, plan.study.dtype)
            _refuse(wrong, "a receipt does not fit its cell: ")
        units[cell] = folder.append(cell, result)
        meter.add(units[cell])
        tell()
    answers = ((aim(cell.model, cell.target), units[cell].answer) for cell in stage.cells)
    return {key: answer for key, answer in answers if answer is not None}


def _begins(stage: Stage, done: int, folder: RunFolder) -> dict[str, Any]:
    """What the log tells of a stage that begins, so that a reader can count its finished cells; `lesion view` does."""
    units = sum(1 for _ in (folder.path / "units").glob("*.json"))
    return {"stage": stage.name, "attempt": stage.attempt, "cells": len(stage.cells), "done": done, "units": units}


def _refuse(said: Iterable[str], what: str) -> None:
    """End the run for the first thing that was said.

    Raises:
        LesionError: when anything was.
    """
    for fault in said:
        raise LesionError(f"{what}{fault}; install the package again, or undo what was changed in it")


def weights_of(units: Iterable[Unit]) -> dict[str, str]:
    """Model -> hash of the weights that its first unit was computed with."""
    found: dict[str, str] = {}
    for unit in units:
        same_weights(found, unit.cell.model, unit.engine)
    return found


def same_weights(weights: dict[str, str], model: str, engine: Mapping[str, Any]) -> bool:
    """Whether a unit was computed with the weights that are known of its model; the first of a model is remembered."""
    digest = engine.get("weights_hash")
    return digest is None or weights.setdefault(model, digest) == digest


class _Task(NamedTuple):
    """The work on a cell of this plan, as something that can be sent to a process."""

    work: Callable[[Cell, Plan], Result]
    plan: Plan

    def __call__(self, cell: Cell) -> Result:
        return self.work(cell, self.plan)
