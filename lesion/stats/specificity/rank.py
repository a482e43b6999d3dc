"""Is the effect the target's own? Its rank among the effects of many matched sets, on the same items.

The set is the exchangeable unit (Fisher 1935; Phipson & Smyth 2010): if the target is one of the sets, every rank is as
likely, whatever the sets' effects are and however noisy, as long as all were measured alike. Then
p = (1 + sets at least as extreme) / (1 + sets). Ties count against the target. A target is specific where
p < alpha_look. Less, not equal: with 199 sets the rate of false claims is then .02 in each direction.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lesion.errors import InputError
from lesion.stats.multiplicity import holm
from lesion.stats.verdict.rule import Rule, Verdict

Status = Literal["specific", "not specific", "not evaluable", "not asked"]
TIE = 1e-9
"""Effects nearer than this are equal."""
STRONGEST = 5


@dataclass(frozen=True)
class SetEffects:
    """What was measured for one cell: the target and the matched sets, on the same items with the same edit."""

    verdict: Verdict
    """The cell's verdict; only Improvement and Harm ask."""
    target: float
    """Mean paired difference of the target (share or nats)."""
    effects: tuple[float, ...]
    """The same for every set."""
    items: int
    """Items of each, all seeds together."""
    exist: int
    """Matched sets that exist."""
    population: str = "layer"
    """What they are matched to: the target's layers ("layer"), or any of the model ("model")."""

    def __post_init__(self) -> None:
        if not np.isfinite([self.target, *self.effects]).all():
            raise InputError("an effect of the target or of a matched set is not a finite number")


@dataclass(frozen=True)
class RankSpecificity:
    """Where the target's effect stands among those of the matched sets."""

    status: Status
    reason: str
    """Why it is not evaluable; else empty."""
    population: str
    """"layer" or "model"."""
    sets: int
    """S, sets measured."""
    exist: int
    """How many exist."""
    items: int
    """Items of each set, all seeds together."""
    target: float
    """Effect of the target on these items (share or nats)."""
    effects: tuple[float, ...]
    """Effect of every set, in the order of the sets."""
    rank: int
    """1: the target is the most extreme, in the direction of its effect; last where it has none in that direction."""
    p: float
    """(1 + #{sets at least as extreme}) / (1 + S), one-sided in that direction."""
    p_holm: float
    """The same, Holm-adjusted over the cells that ask; 1 for a cell that does not."""
    strongest: tuple[int, ...]
    """Indices of the five most extreme sets, the most extreme first."""


@dataclass(frozen=True)
class Within:
    """The target among sets of its own layers: shown beside a rank in the whole model, and no claim."""

    sets: tuple[tuple[str, ...], ...]
    effects: tuple[float, ...]
    """Of every set (share or nats)."""
    exist: int
    """How many such sets there are."""
    rank: int
    """1: the target is the most extreme, in the direction of its effect."""
    p: float
    """(1 + sets at least as extreme) / (1 + sets); not corrected."""


def rank_specificity(cells: Mapping[str, SetEffects], rule: Rule, *, asking: int) -> dict[str, RankSpecificity]:
    """Ranks every cell's target among its matched sets; Holm over the cells that ask.

    Args:
        cells: what was measured, by cell.
        rule: its alpha_look is the level.
        asking: how many cells ask; more than are given count as p = 1.

    Raises:
        InputError: when more cells ask than `asking` says.
    """
    asks = [name for name, cell in cells.items() if cell.verdict in ("Improvement", "Harm")]
    if asking < len(asks):
        raise InputError(f"{len(asks)} cells ask whether they are specific, but {asking} were declared")
    ranks = {name: _rank(cell) for name, cell in cells.items()}
    p = {name: ranks[name] / (1 + len(cells[name].effects)) for name in cells}
    adjusted = _holm({name: p[name] for name in asks}, asking)
    best = _holm({name: 1 / (1 + len(cells[name].effects)) for name in asks}, asking)
    found: dict[str, RankSpecificity] = {}
    for name, cell in cells.items():
        status, reason = _status(cell, adjusted.get(name), best.get(name), rule, asking)
        found[name] = RankSpecificity(
            status=status,
            reason=reason,
            population=cell.population,
            sets=len(cell.effects),
            exist=cell.exist,
            items=cell.items,
            target=cell.target,
            effects=cell.effects,
            rank=ranks[name],
            p=p[name],
            p_holm=adjusted.get(name, 1.0),
            strongest=_strongest(cell),
        )
    return found


def evaluable(sets: int, rule: Rule, *, asking: int = 1) -> int:
    """How many of `asking` cells with so many sets each can be shown specific at all; 0: none.

    >>> evaluable(39, Rule()), evaluable(15, Rule()), evaluable(199, Rule(), asking=4), evaluable(199, Rule(), asking=5)
    (0, 0, 4, 0)
    """
    return asking if below(asking / (1 + sets), rule) else 0


def below(p: float, rule: Rule) -> bool:
    """Whether a corrected rank p shows that a target is specific: less than alpha_look.

    >>> below(5 / 200, Rule()), below(4 / 200, Rule())
    (False, True)
    """
    return p < rule.alpha_look - 1e-12


def fewest_sets(rule: Rule, *, asking: int = 1) -> int:
    """Sets without which none of `asking` cells can be shown specific.

    >>> fewest_sets(Rule()), fewest_sets(Rule(), asking=5)
    (40, 200)
    """
    return int(np.floor(asking / rule.alpha_look - 1 + 1e-9)) + 1


def ranks(target: NDArray[np.float64], effects: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rank [...] of targets [...] among sets [..., S], where larger is more extreme; ties count against the target."""
    return 1 + (effects >= target[..., None] - TIE).sum(axis=-1)


def _signed(cell: SetEffects) -> tuple[float, NDArray[np.float64]]:
    """Target and sets, turned so that larger is more extreme."""
    falling = cell.target < 0 if cell.verdict not in ("Improvement", "Harm") else cell.verdict == "Harm"
    sign = -1.0 if falling else 1.0
    return sign * cell.target, sign * np.array(cell.effects, dtype=np.float64)


def _rank(cell: SetEffects) -> int:
    """The rank; last where the effect that was detected does not show on these items at all."""
    target, effects = _signed(cell)
    if target <= 0 and cell.verdict in ("Improvement", "Harm"):
        return 1 + len(effects)
    return int(ranks(np.array(target), effects))


def _strongest(cell: SetEffects) -> tuple[int, ...]:
    _, effects = _signed(cell)
    return tuple(np.argsort(-effects, kind="stable")[:STRONGEST].tolist())


def _holm(p: Mapping[str, float], asking: int) -> dict[str, float]:
    return dict(zip(p, holm(list(p.values()), asking).tolist(), strict=True)) if p else {}


def _status(cell: SetEffects, p_holm: float | None, best: float | None, rule: Rule, asking: int) -> tuple[Status, str]:
    if p_holm is None or best is None:
        return "not asked", ""
    if not below(best, rule):
        lowest = 1 / (1 + len(cell.effects))
        return "not evaluable", (
            f"{len(cell.effects)} sets give no p below {lowest:.3g}; {asking} cells that ask need"
            f" {fewest_sets(rule, asking=asking)} sets or more"
        )
    return ("specific" if below(p_holm, rule) else "not specific"), ""
