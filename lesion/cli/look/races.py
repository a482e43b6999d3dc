"""`lesion screen --race` and `--few`: the top heads, or a map of all heads, from few exact passes."""

# ruff: noqa: PLC0415  (commands import what they need)

from collections.abc import Callable
from typing import Any, NamedTuple

from rich.console import Console

from lesion.errors import InputError


class Wanted(NamedTuple):
    """Which of the two, and the options of a race; null where they were not given."""

    race: bool
    few: int | None
    error: float | None
    budget: float | None


def heads_from_few_passes(
    model: str,
    task: str,
    items: int,
    alpha: float,
    top: int,
    towards: str,
    seed: int,
    wanted: Wanted,
    *,
    changed: bool,
) -> tuple[dict[str, Any], Callable[[Console, dict[str, Any]], None]]:
    """Run a race, or make a map; the document, and what prints it.

    Args:
        model: its name.
        task: spelling of the task.
        items: how many.
        alpha: what heads are scaled by.
        top: heads that a race looks for.
        towards: `scale` or `corrupted`.
        seed: of the items and their order.
        wanted: whether to race, items of a map, error, and budget.
        changed: whether options of the plain screen were given.

    Raises:
        InputError: for options that do not go together.
    """
    race, few, error, budget = wanted
    if race and few is not None:
        raise InputError("--race and --few do not go together: a race finds the top heads, --few makes a map of all")
    if not race and few is None:
        raise InputError("--error and --budget belong to a race: add --race")
    if few is not None and (error is not None or budget is not None):
        raise InputError("--error and --budget belong to a race, not to --few: a map measures all heads alike")
    if changed:
        raise InputError("--method, --steps, --sample and --every belong to a screen without --race and --few")
    from lesion.measures.attribution.gate_gradients import require_screen, require_towards
    from lesion.measures.attribution.patching import with_twins
    from lesion.measures.attribution.racing import RaceRule, map_heads, race_heads
    from lesion.measures.prompt_set import ask, known_task
    from lesion.models.model import open_model
    from lesion.report.terminal.look.races import print_map, print_race

    known_task(task)
    require_screen("gradient", alpha, 1)
    way = require_towards(towards)
    rule = RaceRule(top=top, error=0.05 if error is None else error, budget=0.2 if budget is None else budget)
    opened = open_model(model)
    asked = ask(opened, task, items, seed)
    if way == "corrupted":
        asked, _ = with_twins(asked)
    from lesion.engine.proof.cache import engine_for

    engine = engine_for(opened)
    found = (
        race_heads(engine, asked, rule, alpha=alpha, towards=way, seed=seed)
        if few is None
        else map_heads(engine, asked, few, alpha=alpha, towards=way, seed=seed)
    )
    document: dict[str, Any] = {
        "model": model,
        "task": task,
        "floor": engine.choice.floor,
        "refused": asked.refused,
        **found.model_dump(mode="json"),
    }
    return document, print_race if race else print_map
