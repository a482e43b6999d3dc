"""The roadmap's baseline gate: tier accuracy must vary by less than 3 points over three independent seeds.

Sampling noise alone must not fail it: with q the Bonferroni quantile of the range of three standard normals, a cell
needs (q / spread)^2 p (1 - p) items per seed, else it is NotEvaluable, never Pass or Fail. A continuous outcome needs
(q sd / spread)^2.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from lesion.errors import InputError
from lesion.stats.distributions import range_quantile
from lesion.stats.verdict.decision_rule import seed_gate
from lesion.stats.verdict.rule import GATE_OUTCOMES, GateOutcome

PRECEDENCE: tuple[GateOutcome, ...] = ("Degenerate", "Fail", "NotEvaluable", "Pass")
"""The gate over all cells is the first of these that any cell has."""


@dataclass(frozen=True)
class BaselineCell:
    """What the gate saw in one cell (model x tier)."""

    correct: tuple[int, ...]
    """Correct answers by seed; empty for a continuous outcome."""
    n: int
    """Items per seed."""
    accuracies: tuple[float, ...]
    """Accuracy by seed; for a continuous outcome the mean, nats."""
    spread: float
    """Largest minus smallest of them."""
    needed_n: int
    """Items per seed without which sampling noise alone could fail the gate."""
    outcome: GateOutcome


@dataclass(frozen=True)
class BaselineGate:
    """The gate over all cells."""

    outcome: GateOutcome
    needed_n: int
    """Largest `needed_n` of any cell."""
    cells: Mapping[str, BaselineCell]


def baseline_gate(
    correct: Mapping[str, Sequence[int]],
    n: Mapping[str, int],
    *,
    spread: float = 0.03,
    cells: int | None = None,
    alpha: float = 0.05,
    fingerprints: Mapping[str, Sequence[str]] | None = None,
) -> BaselineGate:
    """Judges the stability of the baseline.

    Args:
        correct: number of correct answers by cell and seed.
        n: items per seed, by cell.
        spread: the range must stay strictly below this share.
        cells: how many cells share the error rate alpha; all that are given, by default.
        alpha: chance that sampling noise alone fails any cell.
        fingerprints: hash of each seed's items and outputs, by cell; two alike make the cell Degenerate.

    Raises:
        InputError: for no cell, fewer than three seeds, or counts outside 0 … n.
    """
    family = len(correct) if cells is None else cells
    if not correct or family < len(correct):
        raise InputError(f"{len(correct)} baseline cells in a gate declared for {family}; declare every cell")
    judged: dict[str, BaselineCell] = {}
    for name, counts in correct.items():
        _check(name, counts, n)
        prints = () if fingerprints is None else fingerprints[name]
        judged[name] = _judge(counts, n[name], spread, alpha / family, degenerate=len(set(prints)) < len(prints))
    return _whole(judged)


def _whole(judged: Mapping[str, BaselineCell]) -> BaselineGate:
    outcomes = {cell.outcome for cell in judged.values()}
    return BaselineGate(
        outcome=next(outcome for outcome in PRECEDENCE if outcome in outcomes),
        needed_n=max(cell.needed_n for cell in judged.values()),
        cells=judged,
    )


def _judge(counts: Sequence[int], n: int, spread: float, alpha: float, *, degenerate: bool) -> BaselineCell:
    share = sum(counts) / (n * len(counts))
    needed = ceil((range_quantile(1 - alpha, len(counts)) / spread) ** 2 * share * (1 - share))
    items = np.full(len(counts), n)
    code = seed_gate(np.array(counts), items, np.array(needed), spread, np.array(degenerate))
    return BaselineCell(
        correct=tuple(counts),
        n=n,
        accuracies=tuple(count / n for count in counts),
        spread=(max(counts) - min(counts)) / n,
        needed_n=needed,
        outcome=GATE_OUTCOMES[int(code)],
    )


def _check(name: str, counts: Sequence[int], n: Mapping[str, int]) -> None:
    if name not in n or n[name] < 1:
        raise InputError(f"baseline cell {name!r}: the number of items per seed is missing or not positive")
    if len(counts) < 3:
        raise InputError(f"baseline cell {name!r} has {len(counts)} seeds; stability needs three or more")
    if not all(0 <= count <= n[name] for count in counts):
        raise InputError(f"baseline cell {name!r}: correct counts {tuple(counts)} do not fit {n[name]} items per seed")
