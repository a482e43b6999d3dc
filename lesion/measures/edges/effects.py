"""What every edge does to the target, item by item: measured exactly, or estimated from gradients."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lesion.engine.edges.graph import Edge, Graph


@dataclass(frozen=True, eq=False)
class Effects:
    """Changes of the target when an edge carries the corrupted contribution: patched minus clean, logits."""

    graph: Graph
    method: str
    """`exact`, or the name of an estimate."""
    target: str
    """What is read."""
    each: NDArray[np.float32]
    """(items, senders, readers); NaN where there is no edge, or it was not asked for."""
    clean: NDArray[np.float64]
    """Target of the clean prompts, (items,)."""
    corrupted: NDArray[np.float64]
    """Target of the corrupted prompts, with the clean prompt's answer, (items,)."""

    @cached_property
    def mean(self) -> NDArray[np.float64]:
        """Mean over items, (senders, readers); NaN where there is nothing."""
        return self.each.mean(0, dtype=np.float64)

    def ranked(self, *, signed: bool = False) -> list[Edge]:
        """All edges with a number, the largest first.

        Args:
            signed: by what the edge helps (minus its effect), not by size.
        """
        mean = self.mean
        known = [edge for edge in self.graph.edges if not np.isnan(mean[edge])]
        sizes = np.array([-mean[edge] if signed else abs(mean[edge]) for edge in known])
        return [known[place] for place in np.argsort(-sizes, kind="stable")]

    def of(self, edge: Edge) -> NDArray[np.float64]:
        """The effect of one edge on every item, (items,)."""
        return self.each[:, edge.sender, edge.reader].astype(np.float64)


def recall_at(estimate: Effects, exact: Effects, count: int) -> float:
    """Share of the `count` edges with the largest exact effects that are among the `count` largest estimates."""
    best, named = exact.ranked()[:count], set(estimate.ranked()[:count])
    return sum(edge in named for edge in best) / len(best)


def masked(graph: Graph, edges: Sequence[Edge]) -> NDArray[np.bool_]:
    """Edges as a table, (senders, readers)."""
    table = np.zeros(graph.there.shape, dtype=bool)
    for edge in edges:
        table[edge] = True
    return table
