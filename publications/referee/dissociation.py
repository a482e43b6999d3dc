"""Double dissociations a second time, from docs/dissociation.md: leads, their tests, the verdict."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from publications.referee.check import Check, check
from publications.referee.published import Run
from publications.referee.rule import Array, Cell, above, adjusted, compared, error_of_level


class Side(NamedTuple):
    """One task of a question: under its own target, under the other one."""

    own: Cell
    other: Cell

    @property
    def lead(self) -> Array:
        """By how much its own target harms an item more than the other one."""
        return self.other.after.astype(float) - self.own.after.astype(float)


def dissociations(run: Run) -> Iterator[Check]:
    """Every question of every model, from the rows."""
    for model, questions in (run.manifest["results"].get("dissociations") or {}).items():
        valid = {name: each for name, each in questions.items() if each["verdict"] != "Invalid"}
        sides = {name: _sides(run, model, each) for name, each in valid.items()}
        size = sum(map(len, run.manifest["results"]["dissociations"].values()))
        p = adjusted([_largest(run, *sides[name]) for name in valid], size)
        none = adjusted([_none(run, *sides[name]) for name in valid], size)
        for (name, told), double, absent in zip(valid.items(), p, none, strict=True):
            about = f"{run.name}: {model}, {name}"
            for lead, side in zip(told["leads"], sides[name], strict=True):
                yield from _lead(run, f"{about}, {lead['task']}", lead, side)
            yield check(f"{about}: Holm p", told["p_holm"], double)
            yield check(f"{about}: verdict", told["verdict"], _word(run, sides[name], double, absent))


def _sides(run: Run, model: str, told: dict[str, Any]) -> tuple[Side, Side]:
    found: list[Side] = []
    for task, own, other in zip(
        told["tasks"], (told["first"], told["second"]), (told["second"], told["first"]), strict=True
    ):
        arms = [_arm(run, model, task, name) for name in (own, other)]
        found.append(Side(run.cell(model, task, arms[0], like=arms[1]), run.cell(model, task, arms[1], like=arms[0])))
    return found[0], found[1]


def _arm(run: Run, model: str, task: str, target: str) -> str:
    """The arm in which a target is ablated on a task."""
    cells = run.manifest["results"]["cells"]
    return next(name.rsplit("|", 1)[1] for name in cells if name.startswith(f"{model}|{task}|target:{target}@"))


def _lead(run: Run, about: str, told: dict[str, Any], side: Side) -> Iterator[Check]:
    own, whole = side.own, run.settings.whole
    found = compared(side.lead, own.cluster, run.settings.margin, 1 - 2 * run.settings.level, whole=whole)
    values = {
        "n": own.before.size,
        "harm": -own.change.mean(),
        "other_harm": -side.other.change.mean(),
        "lead": side.lead.mean(),
        "low": found.low,
        "high": found.high,
        "p_harm": above(-own.change, own.cluster, 0.0, whole=whole),
        "p_lead": above(side.lead, own.cluster, run.settings.margin, whole=whole),
    }
    for name, value in values.items():
        yield check(f"{about}: {name}", told[name], value)


def _largest(run: Run, first: Side, second: Side) -> float:
    """The largest of the six p-values."""
    whole, margin = run.settings.whole, run.settings.margin
    parts = [above(-side.own.change, side.own.cluster, 0.0, whole=whole) for side in (first, second)]
    parts += [above(side.lead, side.own.cluster, margin, whole=whole) for side in (first, second)]
    parts += [_larger(_share(first.own), _share(second.other)), _larger(_share(second.own), _share(first.other))]
    return max(parts)


def _none(run: Run, first: Side, second: Side) -> float:
    """Twice the smaller p that a lead lies below the margin."""
    whole, margin = run.settings.whole, run.settings.margin
    below = [above(-side.lead, side.own.cluster, -margin, whole=whole) for side in (first, second)]
    return min(1.0, 2 * min(below))


def _share(cell: Cell) -> tuple[float, float, float]:
    """Harm as a share of the headroom, its error over clusters, and the degrees of freedom."""
    groups = np.arange(cell.before.size) if cell.cluster is None else np.unique(cell.cluster, return_inverse=True)[1]
    harm = np.bincount(groups, weights=-cell.change)
    room = np.bincount(groups, weights=cell.before.astype(float) - cell.chance)
    sizes, count = np.bincount(groups), harm.size
    share = harm.sum() / room.sum()
    error = np.sqrt(count / (count - 1) * ((harm - share * room) ** 2).sum()) / room.sum()
    return float(share), float(error), float(sizes.sum() ** 2 / (sizes**2).sum() - 1)


def _larger(one: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    """Welch's one-sided p that one share is larger than the other."""
    gap, variance = one[0] - other[0], one[1] ** 2 + other[1] ** 2
    freedom = variance**2 / (one[1] ** 4 / one[2] + other[1] ** 4 / other[2])
    return float(stats.t(freedom).sf(gap / np.sqrt(variance)))


def _word(run: Run, sides: tuple[Side, Side], p: float, none: float) -> str:
    able = all(_has_room(run, side.own) for side in sides)
    seeds = [side.lead[side.own.seed == seed].mean() for side in sides for seed in np.unique(side.own.seed)]
    if p <= run.settings.level and able and min(seeds) > 0:
        return "Double dissociation"
    return "No double dissociation" if none <= run.settings.level and able else "Inconclusive"


def _has_room(run: Run, cell: Cell) -> bool:
    room = float(cell.before.mean()) - cell.chance
    return room > max(run.settings.margin, 2 * error_of_level(cell, run.settings))
