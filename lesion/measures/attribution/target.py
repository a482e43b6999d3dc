"""The number that diagnostics read from each item, and how edits change it: the one loop of all of them."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lesion.engine.batch import Batch
from lesion.engine.batched.memory import give_back
from lesion.engine.replacement_activations import Library
from lesion.engine.select_engine import Engine
from lesion.errors import InputError, nearest
from lesion.interventions.intervention import Intervention
from lesion.measures.prompt_set import Asked
from lesion.progress import stage
from lesion.stats.intervals import cluster_mean
from lesion.stats.paired.comparison import totals

Target = str
"""A name of `TARGETS`."""
TARGETS = ("logit_diff", "answer")


def require_target(target: str) -> None:
    """Make sure that a target exists.

    Raises:
        InputError: when it does not.
    """
    if target not in TARGETS:
        raise InputError(f"'{target}' is not a target; {nearest(target, TARGETS)}")


def places(batch: Batch, target: Target) -> Tensor:
    """The answer position that is read: the first for `answer`, the first where answer and wrong differ otherwise."""
    if target == "answer":
        return torch.zeros(len(batch.rows), dtype=torch.long)
    return (batch.answer != batch.wrong).int().argmax(1)


def values(logits: Tensor, batch: Batch, target: Target) -> NDArray[np.float64]:
    """The target of each row, from logits (batch, answer, vocab)."""
    row, place = torch.arange(len(logits)), places(batch, target)
    right = logits[row, place, batch.answer[row, place]].double()
    wrong = logits[row, place, batch.wrong[row, place]].double()
    return (right if target == "answer" else right - wrong).numpy(force=True)


def target_values(engine: Engine, asked: Asked, target: Target) -> NDArray[np.float64]:
    """The target of each item in the unedited run, logits; (items,)."""
    found = np.zeros(len(asked.compiled))
    for batch in asked.batches:
        found[list(batch.rows)] = values(engine.clean(batch), batch, target)
    return found


def target_changes(
    engine: Engine,
    asked: Asked,
    edits: Sequence[Intervention],
    target: Target,
    words: str,
    library: Library | None = None,
) -> NDArray[np.float64]:
    """How much each edit changes the target of each item: edited minus unedited, logits.

    Args:
        engine: the model and the way it is run.
        asked: the items.
        edits: each is made alone.
        target: what is read.
        words: what the progress bar says.
        library: makes the sources of edits that put something in place.

    Returns:
        (edits, items).

    Raises:
        InterventionError: for a site that the model does not have.
    """
    return edited_values(engine, asked, edits, target, words, library) - target_values(engine, asked, target)


def edited_values(
    engine: Engine,
    asked: Asked,
    edits: Sequence[Intervention],
    target: Target,
    words: str,
    library: Library | None = None,
) -> NDArray[np.float64]:
    """The target of each item under each edit, logits; (edits, items). Arguments as those of `target_changes`."""
    found = np.zeros((len(edits), len(asked.compiled)))
    with stage(words, len(asked.compiled) * len(edits)) as advance:
        for batch in asked.batches:
            sources = None if library is None else library.sources(batch, edits)
            for index, outcome in engine.run(batch, edits, None, sources):
                found[index, list(batch.rows)] = values(outcome.logits, batch, target)
                del outcome  # its logits, before the next pass makes its own
                advance(len(batch.rows))
            give_back()
    return found


def mean_interval(numbers: NDArray[np.float64], clusters: NDArray[Any] | None = None) -> tuple[float, float, float]:
    """The mean over items and its 95 % t interval, over clusters where items have them."""
    sums, sizes = (numbers, np.ones(len(numbers))) if clusters is None else totals(numbers, clusters)
    made = cluster_mean(sums, sizes)
    low, high = made.interval()
    return made.delta, low, high
