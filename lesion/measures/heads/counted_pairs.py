"""Where a perfect head of each kind attends: pairs of query and key positions, on which every score is a sum.

Induction is the stripe of Olsson et al. 2022, "In-context Learning and Induction Heads": from a token of a later copy
to the token *after* the same token of an earlier one. With more than two copies a perfect head may use any of them, so
its attention to all earlier copies counts; with two copies that is the stripe itself.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lesion.errors import InputError, nearest
from lesion.measures.heads.repeated_sequences import Repeats

BESIDE = {"previous_token": -1, "first_token": 1}
"""Positional detectors, and where the key beside theirs lies: their control."""
BLOCKWISE = ("induction", "duplicate_token")
"""Detectors that look for a repetition; the others look for a position, which every text has."""


class Pairs(NamedTuple):
    """The attention that a detector counts."""

    query: Int[Tensor, "pairs"]
    """Query positions. Of a blockwise detector: copy after copy, each in the order of the block."""
    key: Int[Tensor, "pairs"]
    """The key position of each."""
    queries: int
    """Different query positions: the sum over pairs is divided by it."""


def pairs(detector: str, group: Repeats) -> Pairs:
    """Query and key positions of a detector on sequences of one shape.

    Raises:
        InputError: for a detector of which it is not known where a perfect head attends.
    """
    if detector in BLOCKWISE:
        offset = torch.arange(group.block)
        copies = range(1, group.copies)
        found = [(c * group.period, m * group.period) for c in copies for m in range(1, c + 1)]
        query = torch.cat([group.start + later + offset for later, _ in found])
        back = torch.cat([torch.full_like(offset, far) for _, far in found])
        return Pairs(query, query - back + int(detector == "induction"), len(copies) * group.block)
    if detector not in BESIDE:
        raise InputError(f"where a perfect head of '{detector}' attends is not known; {nearest(detector, BESIDE)}")
    query = torch.arange(1, group.ids.shape[1])
    return Pairs(query, query - 1 if detector == "previous_token" else torch.zeros_like(query), len(query))


def beside(detector: str, group: Repeats) -> Pairs:
    """The keys next to those of a positional detector: its control, on the same sequences."""
    query, key, queries = pairs(detector, group)
    return Pairs(query[1:], key[1:] + BESIDE[detector], queries - 1)


def each_score(pattern: Float[Tensor, "*batch heads query key"], counted: Pairs) -> Float[Tensor, "*batch heads"]:
    """Score of every sequence and head, 0 … 1."""
    return pattern[..., counted.query, counted.key].sum(-1) / counted.queries


def permuted_scores(
    mean: Float[Tensor, "heads query key"], detector: str, group: Repeats, draws: int, rng: np.random.Generator
) -> Float[Tensor, "draws heads"]:
    """Scores with the keys exchanged: what heads score that do not know which key belongs to a query.

    In a later copy every query sees every key of an earlier one, so a blockwise detector's keys are permuted among the
    queries of a copy; for the positional detectors a key is drawn evenly from those that the query sees.
    """
    counted, length = pairs(detector, group), mean.shape[-1]
    if detector in BLOCKWISE:
        order = torch.as_tensor(rng.permuted(np.tile(np.arange(group.block), (draws, 1)), axis=1))
        keys = counted.key.reshape(-1, group.block)[:, order].transpose(0, 1).flatten(1)
    else:
        query = counted.query.numpy(force=True)
        keys = torch.as_tensor(rng.integers(0, query + 1, (draws, len(query))))
    flat = mean.flatten(1)
    scores = [flat[:, counted.query * length + drawn].sum(-1) for drawn in keys.split(64)]
    return torch.cat(scores, dim=1).T / counted.queries
