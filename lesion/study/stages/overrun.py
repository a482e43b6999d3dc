"""The overrun contingency: what is put off before any intervention, when the forecast exceeds the budget. Pure.

The roadmap's order: tier 1 of the first model is kept to the last; the replication and other models go first.
"""

from collections.abc import Callable, Mapping

from lesion.study.plan import Plan, pair_name
from lesion.study.stages.transitions import noted

OVERRUN = "overrun"
"""Topic of the note that says what was put off."""


def defer(plan: Plan, left_out: tuple[str, ...], why: str) -> Plan:
    """The plan without these `model|tier` pairs, and a note that says why."""
    return noted(plan, OVERRUN, why).model_copy(update={"deferred": left_out})


def afford(plan: Plan, spent: Mapping[str, float], left: Callable[[Plan], Mapping[str, float]]) -> Plan:
    """The overrun contingency, asked once, when the baseline has passed and no intervention was run yet.

    When what is left would exceed a limit of the budget, the replication is put off; if that is not enough, models
    after the first; and then tiers after the first, too. What still does not fit is run until the budget ends it.

    Args:
        plan: about to open its first intervention.
        spent: so far, by limit (`cpu_hours`, `gpu_hours`, `wall_minutes`), in the limit's unit.
        left: what a plan still takes, by the forecast, in the same units.
    """
    over = _overrun(plan, spent, left(plan))
    if not over:
        return plan
    first_model, first_tier = plan.study.models[0], next(iter(plan.study.tasks))
    others = tuple(pair_name(*pair) for pair in plan.pairs() if pair[0] not in plan.study.models)
    across = tuple(pair_name(*pair) for pair in plan.pairs() if pair[0] != first_model)
    beyond = tuple(pair_name(*pair) for pair in plan.pairs() if pair != (first_model, first_tier))
    for left_out in dict.fromkeys((others, across, beyond)):
        if left_out and (left_out == beyond or not _overrun(plan, spent, left(defer(plan, left_out, "")))):
            why = f"The forecast ({over}) exceeds the budget before any intervention: {', '.join(left_out)} put off."
            return defer(plan, left_out, why)
    return plan


LIMITS = {"cpu_hours": "processor hours", "gpu_hours": "GPU hours", "wall_minutes": "minutes of wall time"}
"""The budget's limits, in words."""


def _overrun(plan: Plan, spent: Mapping[str, float], left: Mapping[str, float]) -> str:
    """The limits that would be exceeded, each with the forecast; empty where none is."""
    budget = plan.study.budget
    limits = {"cpu_hours": budget.cpu_hours, "gpu_hours": budget.gpu_hours, "wall_minutes": budget.wall_minutes}
    return ", ".join(
        f"{spent[name] + left[name]:.3f} of {limit:g} {LIMITS[name]}"
        for name, limit in limits.items()
        if spent[name] + left[name] > limit
    )


def as_before(old: Plan, plan: Plan) -> Plan:
    """What a replay does in place of `afford`: it puts off what its run put off, whatever this machine's speed.

    It draws the sets of an older run as that run did, too.
    """
    plan = plan.model_copy(update={"pools": old.pools})
    if not old.deferred:
        return plan
    return defer(plan, old.deferred, next(note.text for note in old.notes if note.topic == OVERRUN))
