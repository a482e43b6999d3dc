"""How far a head's score depends on the block length and on a gap between the copies.

It qualifies a head that the standard probe named, and never removes it: short blocks drown real induction heads of
language models, and a gap breaks heads that look a fixed distance back.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from lesion.measures.heads.pattern_scores import condition_scores
from lesion.measures.heads.repeated_sequences import Probe, Repeats, probes
from lesion.models.model import Model
from lesion.progress import Stage

VARIATIONS = Probe(blocks=(6, 12, 24), sequences=8)
"""Block lengths and gaps that are tried by default."""
ROBUST = "robust"
UNTRIED = "not tried"


class Variation(NamedTuple):
    """Scores under one variation."""

    block: int
    """Block length, tokens."""
    gapped: bool
    """Whether there are random gaps between the copies."""
    means: NDArray[np.float64]
    """Mean score of every head, (heads,)."""


def readable(model: Model, ordinary: int, wanted: Probe) -> Probe | None:
    """The variations that a model can read: shorter lists of blocks, at the end one block with narrower gaps.

    Args:
        model: the model.
        ordinary: ordinary tokens to draw from.
        wanted: what is tried where there is room.
    """
    limit, prefix = model.sizes.max_positions, int(model.bos is not None)

    def room(block: int) -> int:
        """Widest gap that fits."""
        inside = wanted.widest if limit is None else limit - prefix - 2 * block
        return min(inside, ordinary - block)

    blocks = tuple(block for block in wanted.blocks if room(block) >= wanted.widest)
    if blocks:
        return wanted.model_copy(update={"blocks": blocks})
    shortest = min(wanted.blocks)
    if room(shortest) < 1:
        return None
    return wanted.model_copy(update={"blocks": (shortest,), "widest": room(shortest)})


def varied_groups(ordinary: NDArray[np.int64], bos: int | None, probe: Probe | None) -> list[list[Repeats]]:
    """The sequences of all variations; none for no probe."""
    return [] if probe is None else list(probes(ordinary, bos, probe))


def varied_scores(
    model: Model, conditions: Sequence[Sequence[Repeats]], detectors: Sequence[str], advance: Stage
) -> dict[str, list[Variation]]:
    """Mean scores under every variation, by detector; every sequence goes through the model once."""
    found: dict[str, list[Variation]] = {name: [] for name in detectors}
    for groups in conditions:
        scores = condition_scores(model.module, groups, detectors)
        for name in detectors:
            means = torch.flatten(scores[name]).double().numpy(force=True)
            found[name].append(Variation(groups[0].block, groups[0].gap > 0, means))
        advance(sum(group.ids.numel() for group in groups))
    return found


def smallest(varied: Sequence[Variation], head: int) -> float | None:
    """Smallest mean score of a head over the variations; None where there are none."""
    return min((float(one.means[head]) for one in varied), default=None)


def holds(varied: Sequence[Variation], head: int, threshold: float) -> str:
    """In words, under which variations a head's score reaches the threshold."""
    if not varied:
        return UNTRIED
    reached = {(one.block, one.gapped): float(one.means[head]) >= threshold for one in varied}
    if all(reached.values()):
        return ROBUST
    blocks = sorted({one.block for one in varied})
    if not any(reached.values()):
        return f"only at blocks above {blocks[-1]}"
    for block in blocks[1:]:
        if all(held == (at >= block) for (at, _), held in reached.items()):
            return f"only at blocks of {block} or more"
    if all(held != gapped for (_, gapped), held in reached.items()):
        return "only without a gap"
    missed = [f"{block} with a gap" if gapped else str(block) for (block, gapped), held in reached.items() if not held]
    return f"not at blocks of {', '.join(missed)}"
