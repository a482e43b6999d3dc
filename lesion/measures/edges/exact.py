"""The exact effect of edges: the sender's corrupted contribution in one reader's input, everything after recomputed.

The effect is m(patched) - m(clean) for each item, m being the target. An edge whose sender writes the same in both
prompts has effect 0 and is not run.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lesion.engine.batch import Batch
from lesion.engine.edges.batched import Patched, Patcher
from lesion.engine.edges.contributions import differences
from lesion.engine.edges.graph import Edge, Graph, graph_of
from lesion.engine.edges.reference import leaving, patched
from lesion.engine.select_engine import Engine
from lesion.measures.attribution.target import Target, require_target
from lesion.measures.edges.effects import Effects, masked
from lesion.measures.edges.pairs import as_numbers, parts, target_from
from lesion.measures.prompt_set import Asked
from lesion.progress import stage


def exact_effects(
    engine: Engine, asked: Asked, target: Target = "logit_diff", edges: Sequence[Edge] | None = None
) -> Effects:
    """Patch edges one at a time.

    Args:
        engine: the model and the way it is run.
        asked: items, each with a corrupted prompt that aligns.
        target: what is read.
        edges: which ones; None: all of them.

    Raises:
        InputError: for an unknown target, or an item without a corrupted prompt.
        InterventionError: where the model's nodes do not add up in the stream.
    """
    require_target(target)
    graph = graph_of(engine.model)
    wanted = graph.there if edges is None else masked(graph, edges)
    each = np.full((len(asked.compiled), *wanted.shape), np.nan, dtype=np.float32)
    each[:, wanted] = 0.0
    clean, corrupted = np.zeros(len(each)), np.zeros(len(each))
    with stage("patching edges", len(each) * int(wanted.sum())) as advance:
        for batch, twins in parts(engine.model, graph, asked):
            rows = list(batch.rows)
            corrupted[rows] = _unedited(engine, batch, twins, target)
            base, found, there = _patching(engine, graph, batch, twins, wanted)
            clean[rows] = as_numbers(target_from(engine.model, batch, base, target))
            advance(len(rows) * int(wanted.sum() - there.sum()))
            for some in found():
                values = as_numbers(target_from(engine.model, batch, some.streams, target)) - clean[rows]
                for edge, value in zip(some.edges, values, strict=True):
                    each[rows, edge.sender, edge.reader] = value
                advance(len(rows) * len(some.edges))
    return Effects(graph, "exact", target, each, clean, corrupted)


def _unedited(engine: Engine, batch: Batch, twins: Tensor, target: Target) -> NDArray[np.float64]:
    """The target of the corrupted prompts, read where the clean prompt's answer stands."""
    return as_numbers(target_from(engine.model, batch, leaving(engine.model, twins)[:, batch.first :], target))


def _patching(
    engine: Engine, graph: Graph, batch: Batch, twins: Tensor, wanted: NDArray[np.bool_]
) -> tuple[Tensor, Callable[[], Iterator[Patched]], NDArray[np.bool_]]:
    """The clean stream at the answer positions, what patches the edges, and which ones are run."""
    if engine.fast is not None:
        patcher = Patcher(engine.fast, graph, batch, twins)
        there = wanted & patcher.moved[:, None]
        return patcher.unpatched, lambda: patcher.run(there), there
    model, found = engine.model, differences(engine.model, graph, batch.inputs, twins)
    there = wanted & found.abs().amax((1, 2, 3)).gt(0).numpy(force=True)[:, None]

    def plainly() -> Iterator[Patched]:
        for edge in graph.edges:
            if there[edge]:
                stream = patched(model, batch, graph.readers[edge.reader], found[edge.sender])
                yield Patched((edge,), stream[None, :, batch.first :])

    with torch.inference_mode():
        return leaving(model, batch.inputs)[:, batch.first :], plainly, there
