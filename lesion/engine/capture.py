"""Activations that are declared beforehand, reduced where they arise, and streamed batch by batch.

There is no "cache everything": a read names one module, one side of it and what is kept of it, and only what the
reduction returns outlives the forward pass. So the memory is that of the reductions, not of the network.
"""

# pyright: reportUnknownVariableType=false

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from transformers import DynamicCache

from lesion.engine.batch import Batch
from lesion.engine.decode.kept import Kept, cache_name, chosen, kept_whole, rope_switch
from lesion.engine.hooks import watched
from lesion.errors import InputError, InterventionError
from lesion.models.model import Model

Reduce = Callable[[Tensor, Batch], Tensor]
LEAST_SHARED = 8
"""Fewer tokens that all rows share are read in each row."""


class Read(NamedTuple):
    """One thing to be read in every forward pass."""

    name: str
    """Its name in what comes back."""
    path: str
    """Dotted path of the module."""
    side: Literal["input", "output"]
    """The module's first input, or its (first) output."""
    reduce: Reduce
    """What is kept: called with the tensor, (batch, pos, width), while the pass goes on."""


class Captured(NamedTuple):
    """What one forward pass left behind."""

    batch: Batch
    kept: Mapping[str, Tensor]
    """The reductions, by name."""


def whole(tensor: Tensor, batch: Batch) -> Tensor:  # noqa: ARG001  (every reduction has the same arguments)
    """Everything: (batch, pos, width). Only for small batches."""
    return tensor.clone()


def at(places: Callable[[Batch], Tensor]) -> Reduce:
    """Each row's tensor at one position of its own, (batch, width); `places` gives the positions, (batch,)."""

    def reduce(tensor: Tensor, batch: Batch) -> Tensor:
        return tensor[torch.arange(len(tensor)), places(batch)].clone()

    return reduce


class _Enough(Exception):
    """Everything that is to be read was read; the rest of the pass is not run."""


def capture(
    model: Model, batches: Iterable[Batch], reads: Sequence[Read], *, answers: bool = False, whole_pass: bool = True
) -> Iterator[Captured]:
    """Run batches unedited and give back, for each, what the reads keep; one batch is held at a time.

    Args:
        model: the model.
        batches: what is run.
        reads: what is kept of it.
        answers: make logits at the answer positions only: a read of the unembedding gets (batch, answer, vocab).
        whole_pass: run every pass to its end, which shows a module that runs twice; else it ends with the last read.

    Raises:
        InputError: when two reads share a name.
        InterventionError: when a module that is to be read did not run exactly once.
    """
    if len({read.name for read in reads}) != len(reads):
        raise InputError("two reads have the same name")
    for batch in batches:
        yield Captured(batch, _pass(model, batch, reads, answers=answers, whole_pass=whole_pass))


def capture_places(model: Model, batch: Batch, reads: Sequence[Read]) -> Mapping[str, Tensor]:
    """What the reads keep of one batch, where each keeps something of every position: (batch, pos, ...).

    Tokens that all rows begin with are read once, for all of them, so a batch of few new tokens behind the same
    examples costs little more than these. The values are those of a whole pass, but for rounding.

    Raises:
        InterventionError: when a module that is to be read did not run exactly once in each pass.
    """
    shared = _shared(model, batch)
    if not shared:
        return _pass(model, batch, reads, answers=False, whole_pass=False)
    known: Kept = DynamicCache(config=model.module.config)
    one = {"rows": batch.rows[:1], "wrong": batch.wrong[:1], "roles": batch.roles[:1], "twins": None, "digits": None}
    first = replace(batch, ids=batch.ids[:1, : shared + 1], **one)
    before = _pass(model, first, reads, answers=False, whole_pass=False, known=known)
    rest = replace(batch, ids=batch.ids[:, shared:], prompt_length=batch.prompt_length - shared, twins=None)
    rows = len(batch.ids)
    behind = chosen(known, torch.zeros(rows, dtype=torch.long))
    after = _pass(model, rest, reads, answers=False, whole_pass=False, known=behind)
    return {name: torch.cat([before[name].expand(rows, *before[name].shape[1:]), after[name]], 1) for name in after}


def _shared(model: Model, batch: Batch) -> int:
    """Tokens that all rows begin with and that are read once; 0 where that saves little or cannot be.

    A sliding window would let go of the first of them, and rotary angles may depend on the length of what is read.
    """
    inputs, limit = batch.inputs, kept_whole(model.module)
    longest = inputs.shape[1]
    if len(inputs) < 2 or rope_switch(model.module) is not None or (limit is not None and longest > limit):
        return 0
    differ = (inputs != inputs[:1]).any(0).nonzero()
    alike = min(int(differ[0]) if len(differ) else longest, batch.prompt_length - 1, longest - 1)
    return alike if alike >= LEAST_SHARED else 0


def _pass(
    model: Model, batch: Batch, reads: Sequence[Read], *, answers: bool, whole_pass: bool, known: Kept = None
) -> dict[str, Tensor]:
    length, last = batch.inputs.shape[1], model.family.unembedding
    logits = length - batch.first if answers else length
    only: dict[str, Any] = {"logits_to_keep": logits} if answers else {}
    if known is not None:
        only[cache_name(model.module)] = known
    kept: dict[str, Tensor] = {}
    by_path: dict[str, list[Read]] = {}
    for read in reads:
        by_path.setdefault(read.path, []).append(read)

    def watcher(wanted: Sequence[Read]) -> Callable[[Tensor, Any], None]:
        def watch(given: Tensor, gave: Any) -> None:
            for read in wanted:
                if read.name in kept:
                    raise InterventionError(f"'{read.path}' ran twice in one forward pass")
                tensor = given if read.side == "input" else _first(gave)
                places = logits if read.path == last else length
                shaped = tensor.reshape(len(batch.inputs), places, -1)  # some families flatten rows and positions
                kept[read.name] = read.reduce(shaped, batch)
            if not whole_pass and len(kept) == len(reads):
                raise _Enough

        return watch

    watchers = {path: watcher(wanted) for path, wanted in by_path.items()}
    with suppress(_Enough), watched(model, watchers), torch.inference_mode():
        model.module(batch.inputs, use_cache=known is not None, **only)
    silent = [read.path for read in reads if read.name not in kept]
    if silent:
        raise InterventionError(f"these modules never ran: {', '.join(silent[:4])}")
    return kept


def _first(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def predicted_bytes(batch: Batch, widths: Sequence[int], itemsize: int = 4) -> int:
    """Bytes that reads without a reduction would keep of a batch, given the width of each."""
    return batch.inputs.numel() * sum(widths) * itemsize
