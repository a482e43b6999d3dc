"""The baseline gate for a continuous outcome: the mean in nats must vary by less than the spread over the seeds.

The noise rule is that of accuracy with another variance: with q the Bonferroni quantile of the range of standard
normals, a seed's mean varies by within^2 / n + between^2 / clusters, so n must be q^2 within^2 / (spread^2 - q^2
between^2 / clusters) or more; else the cell is NotEvaluable, never Pass or Fail.
"""

from collections.abc import Mapping, Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray

from lesion.errors import InputError
from lesion.stats.baseline_gate import PRECEDENCE, BaselineCell, BaselineGate
from lesion.stats.distributions import range_quantile
from lesion.stats.power import UNREACHABLE
from lesion.stats.verdict.rule import Discovered, GateOutcome

Values = NDArray[np.float64]
Labels = NDArray[np.generic]


def baseline_numbers_gate(
    values: Mapping[str, Sequence[Values]],
    *,
    spread: float,
    clusters: Mapping[str, Sequence[Labels] | None] | None = None,
    alpha: float = 0.05,
    fingerprints: Mapping[str, Sequence[str]] | None = None,
) -> BaselineGate:
    """Judges the stability of a baseline that is measured in nats.

    Args:
        values: by cell, each seed's outcomes [n], nats; as many of every seed.
        spread: the range of the seeds' means must stay strictly below this, nats.
        clusters: by cell, each seed's cluster labels [n]; nothing where items are independent.
        alpha: chance that sampling noise alone fails any cell.
        fingerprints: hash of each seed's items and outputs, by cell; two alike make the cell Degenerate.

    Raises:
        InputError: for no cell, fewer than three seeds, seeds that differ in size, or a number that is not finite.
    """
    if not values:
        raise InputError("0 baseline cells in a gate; declare every cell")
    cells: dict[str, BaselineCell] = {}
    for name, seeds in values.items():
        sizes = {each.size for each in seeds}
        if len(seeds) < 3 or len(sizes) != 1 or min(sizes) < 2:
            raise InputError(
                f"baseline cell {name!r}: three or more seeds of one size are needed, found {sorted(sizes)}"
            )
        if not all(np.isfinite(seed).all() for seed in seeds):
            raise InputError(f"baseline cell {name!r}: an outcome is not a finite number")
        prints = () if fingerprints is None else fingerprints[name]
        labels = None if clusters is None else clusters[name]
        needed = _needed(seeds, labels, spread, alpha / len(values))
        cells[name] = _judged(seeds, needed, spread, degenerate=len(set(prints)) < len(prints))
    outcomes = {cell.outcome for cell in cells.values()}
    return BaselineGate(
        outcome=next(outcome for outcome in PRECEDENCE if outcome in outcomes),
        needed_n=max(cell.needed_n for cell in cells.values()),
        cells=cells,
    )


def _judged(seeds: Sequence[Values], needed: int, spread: float, *, degenerate: bool) -> BaselineCell:
    means = [float(each.mean()) for each in seeds]
    found, n = max(means) - min(means), seeds[0].size
    outcome: GateOutcome = "Pass" if found < spread else "Fail"
    if n < needed:
        outcome = "NotEvaluable"
    return BaselineCell(
        correct=(),
        n=n,
        accuracies=tuple(means),
        spread=found,
        needed_n=needed,
        outcome="Degenerate" if degenerate else outcome,
    )


def _needed(seeds: Sequence[Values], labels: Sequence[Labels] | None, spread: float, alpha: float) -> int:
    """Items per seed without which sampling noise alone could fail the gate."""
    centred = np.concatenate([each - each.mean() for each in seeds])
    cluster, many = None, 0
    if labels is not None:
        cluster = np.concatenate([np.char.add(f"{seed} ", each.astype(str)) for seed, each in enumerate(labels)])
        many = min(len(np.unique(each)) for each in labels)
    found = Discovered.from_numbers(centred, cluster)
    factor = range_quantile(1 - alpha, len(seeds)) ** 2
    room = spread**2 - (factor * found.between**2 / many if many else 0.0)
    return ceil(factor * found.variance / room) if room > 0 else UNREACHABLE
