"""Edge attribution: the effect of every edge estimated from gradients, all at once.

The estimate of an edge is what its sender adds in the corrupted run minus the clean one, times the gradient of the
target at the reader's input, summed over positions. The methods differ in where the gradient is taken:

- `eap`: in the clean run (Syed et al. 2023, arXiv:2310.10348);
- `eap-ig`: averaged over runs whose embeddings lie k/steps of the way from corrupted to clean, k = 0 … steps - 1
  (Hanna et al. 2024, arXiv:2403.17806, EAP-IG-inputs; so the sum includes the corrupted end, not the clean one);
- `eap-ig-activations`: averaged over clean runs in which one layer's heads, one MLP or the embeddings lie k/steps of
  the way, k = 1 … steps. As in the authors' code, an edge's gradient is averaged over *all* these runs, also those
  that move other nodes than its sender.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lesion.engine.batch import Batch, in_parts
from lesion.engine.edges.contributions import Written, differences, path_of, written
from lesion.engine.edges.graph import Graph, graph_of
from lesion.engine.edges.reference import leaving
from lesion.engine.hooks import edited, replaced
from lesion.errors import InputError, nearest
from lesion.measures.attribution.target import Target, require_target
from lesion.measures.edges.effects import Effects
from lesion.measures.edges.gradients import reader_gradients
from lesion.measures.edges.pairs import as_numbers, parts, target_from
from lesion.measures.prompt_set import Asked
from lesion.models.model import Model
from lesion.progress import stage

METHODS = ("eap", "eap-ig", "eap-ig-activations")
TOKENS = 128
"""Tokens that go through a backward pass together, which keeps the gradient of every reader."""
Run = tuple[Tensor, AbstractContextManager[None] | None]
"""Where a gradient is taken: the stream that enters the first block, and hooks."""


def require_method(method: str, steps: int) -> None:
    """Make sure that there is such an estimate.

    Raises:
        InputError: for an unknown method, or no step.
    """
    if method not in METHODS:
        raise InputError(f"'{method[:40]}' is no way to estimate edges; {nearest(method, METHODS)}")
    if steps < 1:
        raise InputError(f"integrated gradients need at least one step, not {steps}")


def attributed(
    model: Model, asked: Asked, method: str = "eap-ig", target: Target = "logit_diff", steps: int = 5
) -> Effects:
    """Estimate the effect of every edge.

    Args:
        model: the model.
        asked: items, each with a corrupted prompt that aligns.
        method: one of `METHODS`.
        target: what is read.
        steps: of the two integrated ones.

    Raises:
        InputError: for an unknown method or target, no step, or an item without a corrupted prompt.
        InterventionError: where the model's nodes do not add up in the stream.
    """
    require_target(target)
    require_method(method, steps)
    graph = graph_of(model)
    items = len(asked.compiled)
    each = np.full((items, *graph.there.shape), np.nan, dtype=np.float32)
    clean, corrupted = np.zeros(items), np.zeros(items)
    with stage("gradients of edges", items) as advance:
        for whole, _ in parts(model, graph, asked):
            for batch in in_parts(whole, max(1, TOKENS // whole.inputs.shape[1])):
                assert batch.twins is not None
                rows, twins = list(batch.rows), batch.twins[:, :-1]
                for at, ids in ((clean, batch.inputs), (corrupted, twins)):
                    with torch.inference_mode():
                        at[rows] = as_numbers(target_from(model, batch, leaving(model, ids)[:, batch.first :], target))
                gradients = _averaged(model, graph, batch, twins, method, target, steps)
                each[rows] = _products(differences(model, graph, batch.inputs, twins), gradients)
                advance(len(rows))
    each[:, ~graph.there] = np.nan
    return Effects(graph, method, target, each, clean, corrupted)


def _averaged(
    model: Model, graph: Graph, batch: Batch, twins: Tensor, method: str, target: Target, steps: int
) -> Tensor:
    """The mean gradient at every reader's input over the method's runs, (readers, batch, pos, d_model)."""
    clean, corrupted = written(model, batch.inputs), written(model, twins)
    total, count = torch.zeros(()), 0
    for entering, editing in _runs(model, graph, clean, corrupted, method, steps):
        found = reader_gradients(model, graph, batch, target, entering, editing)
        total, count = total + found, count + 1
    return total / count


def _runs(model: Model, graph: Graph, clean: Written, corrupted: Written, method: str, steps: int) -> Iterator[Run]:
    if method == "eap":
        yield clean.entering, None
    elif method == "eap-ig":
        for step in range(steps):
            yield _between(clean.entering, corrupted.entering, step / steps), None
    else:
        shares = [step / steps for step in range(1, steps + 1)]
        yield from ((_between(clean.entering, corrupted.entering, share), None) for share in shares)
        for layer in range(graph.layers):
            for share in shares:
                z = _between(clean.heads[layer], corrupted.heads[layer], share).requires_grad_()
                yield clean.entering, edited(model.submodule(path_of(model, "head", layer)), _instead(z))
            for share in shares if graph.mlps else ():
                added = _between(clean.mlps[layer], corrupted.mlps[layer], share).requires_grad_()
                yield clean.entering, replaced({model.submodule(path_of(model, "mlp_out", layer)): _instead(added)})


def _between(clean: Tensor, corrupted: Tensor, share: float) -> Tensor:
    """A point on the way from corrupted (0) to clean (1), outside inference mode."""
    return corrupted.clone() + share * (clean.clone() - corrupted.clone())


def _instead(value: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda given: value.view(given.shape).clone()  # the model may write into it


def _products(moved: Tensor, gradients: Tensor) -> NDArray[np.float32]:
    """Differences times gradients, (batch, senders, readers)."""
    with torch.inference_mode():
        senders, readers = (tensor.movedim(0, 1).flatten(2) for tensor in (moved, gradients))
        return (senders @ readers.mT).float().numpy(force=True)
