"""Which tokens of a batch are the same for several rows: the prompts as a trie, cut into levels.

Two rows share a token when they have the same tokens, edited in the same way, up to and including it, and it lies
before the first position that is read. A level costs some small products of its own in every block, so one that saves
next to nothing is joined to the level after it. All of it follows from the tokens alone.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Int
from torch import Tensor

from lesion.engine.batched.token_order import Layout, Level

WORTH = 32
"""A level stays where it saves more than one token in so many."""


def trie(
    ids: Int[Tensor, "rows length"], first: int, edits: Int[Tensor, "rows length"] | None = None, *, worth: int = WORTH
) -> Layout:
    """The layout that holds every shared token of a batch once.

    Args:
        ids: the tokens.
        first: the first position whose logits are read; from there on each row is on its own.
        edits: how each token is edited; equal numbers mean equal edits. None: nothing is edited.
        worth: a level stays where it saves more than one token in so many.
    """
    rows, length = ids.shape
    order, parting = _parting(ids[:, :first], torch.zeros_like(ids[:, :first]) if edits is None else edits[:, :first])
    cuts = [*sorted({0, *parting.tolist()} & set(range(first))), first]
    levels: list[Level] = []
    for start, stop in pairwise(cuts):
        of = torch.zeros(rows, dtype=torch.long)
        of[order[1:]] = (parting <= start).cumsum(0)
        levels.append(Level(start, stop, tuple(of.tolist())))
    return Layout(rows, length, first, _joined([*levels, Level(first, length, tuple(range(rows)))], worth))


def apart(ids: Int[Tensor, "rows length"], first: int) -> Layout:
    """The layout in which no row shares anything."""
    rows, length = ids.shape
    return Layout(rows, length, first, (Level(0, length, tuple(range(rows))),))


def _parting(
    ids: Int[Tensor, "rows width"], edits: Int[Tensor, "rows width"]
) -> tuple[Int[Tensor, " rows"], Int[Tensor, " pairs"]]:
    """The rows in lexical order, and where each parts from the one before; the width where it never does."""
    both = torch.stack([ids, edits], dim=-1).flatten(1)
    if not both.shape[1]:
        return torch.arange(len(ids)), torch.zeros(len(ids) - 1, dtype=torch.long)
    order = torch.unique(both, dim=0, return_inverse=True)[1].argsort(stable=True)
    ordered = both[order].view(*ids.shape, 2)
    same = (ordered[1:] == ordered[:-1]).all(-1)
    return order, same.long().cumprod(1).sum(1)


def _joined(levels: Sequence[Level], worth: int) -> tuple[Level, ...]:
    """The levels that save enough, from the last one down; the others are joined to the one after them."""
    most = sum(level.count * level.width for level in levels) // worth
    kept, lost = [levels[-1]], 0
    for level in reversed(levels[:-1]):
        after = kept[-1]
        lost += level.width * (after.count - level.count)
        if lost <= most:
            kept[-1] = Level(level.start, after.stop, after.of)
        else:
            kept.append(level)
            lost = 0
    return tuple(reversed(kept))
