"""The computation graph of a model: who writes into the residual stream, and who reads it.

A *sender* writes: the embeddings (`input`), a head (`L0H2`), an MLP (`L3.mlp_out`). A *reader* reads the stream through
the norm before it: the queries of a head (`L1H1.q`), the keys or the values of a group (`L1G1.k`, `L1G1.v`), an MLP
(`L5.mlp_in`), or the final norm (`logits`). An edge goes from a sender to a reader that comes later.

Keys and values are counted by group, since the model computes one key and one value for a group, from one input. A
graph with a key input for each query head would be that of another program with the same outputs. Where every head has
keys of its own (GPT-2), a group is a head.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lesion.errors import InputError, InterventionError, nearest
from lesion.models.families import Residual
from lesion.models.model import Model

Letter = Literal["q", "k", "v", "mlp", "logits"]


class Reader(NamedTuple):
    """One input of a node."""

    layer: int
    """Its block; the number of blocks for `logits`."""
    letter: Letter
    """What is computed from the input."""
    unit: int
    """Head of a q, group of a k or v, else 0."""
    reads: int
    """How many senders come before it: the first so many of `Graph.senders`."""

    def __str__(self) -> str:
        if self.letter == "logits":
            return "logits"
        if self.letter == "mlp":
            return f"L{self.layer}.mlp_in"
        return f"L{self.layer}{'H' if self.letter == 'q' else 'G'}{self.unit}.{self.letter}"


class Edge(NamedTuple):
    """An edge, by the numbers of its ends in the graph."""

    sender: int
    reader: int


@dataclass(frozen=True)
class Graph:
    """All senders and readers of a model, in the order of computation."""

    layers: int
    heads: int
    groups: int
    mlps: bool
    residual: Residual

    @cached_property
    def senders(self) -> tuple[str, ...]:
        """Names of all senders: `input`, then per layer its heads and its MLP."""
        names = ["input"]
        for layer in range(self.layers):
            names += [f"L{layer}H{head}" for head in range(self.heads)]
            names += [f"L{layer}.mlp_out"] if self.mlps else []
        return tuple(names)

    @cached_property
    def readers(self) -> tuple[Reader, ...]:
        """All readers: per layer q, k and v, then the MLP; `logits` last."""
        found: list[Reader] = []
        for layer in range(self.layers):
            before = self.first(layer)
            found += [Reader(layer, "q", head, before) for head in range(self.heads)]
            found += [Reader(layer, letter, g, before) for letter in ("k", "v") for g in range(self.groups)]
            if self.mlps:
                own = self.heads if self.residual == "sequential" else 0
                found.append(Reader(layer, "mlp", 0, before + own))
        return (*found, Reader(self.layers, "logits", 0, len(self.senders)))

    def first(self, layer: int) -> int:
        """Number of the first sender of a layer, its head 0: how many senders stand before."""
        return 1 + layer * (self.heads + self.mlps)

    @cached_property
    def there(self) -> NDArray[np.bool_]:
        """Which pairs are edges, (senders, readers)."""
        reads = np.array([reader.reads for reader in self.readers])
        return np.arange(len(self.senders))[:, None] < reads

    @property
    def size(self) -> int:
        """Edges."""
        return int(self.there.sum())

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """All edges, reader by reader."""
        return tuple(Edge(s, r) for r, reader in enumerate(self.readers) for s in range(reader.reads))

    def name(self, edge: Edge) -> str:
        """An edge as it is written: `L0H2->L1G1.k`."""
        return f"{self.senders[edge.sender]}->{self.readers[edge.reader]}"

    def of_layer(self, layer: int, letters: Iterable[Letter]) -> Iterator[tuple[int, Reader]]:
        """The readers of a layer, with their numbers."""
        wanted = set(letters)
        return ((n, r) for n, r in enumerate(self.readers) if r.layer == layer and r.letter in wanted)

    def parse(self, name: str) -> Edge:
        """The edge of a name.

        Where every head has keys of its own, `L1H1.k` may be written for `L1G1.k`.

        Raises:
            InputError: for a name that is no edge of this model, saying what there is.
        """
        source, arrow, target = (part.strip() for part in name[:100].partition("->"))
        if not arrow:
            raise InputError(
                f"'{name[:100]}' is no edge; write sender->reader, such as L0H2->L1G1.k or input->L0.mlp_in"
            )
        if source not in self._senders:
            raise InputError(f"'{source}' sends nothing in this model; {nearest(source, self.senders)}")
        written = self._readers.get(target)
        if written is None:
            raise InputError(f"'{target}' reads nothing in this model; {nearest(target, map(str, self.readers))}")
        edge = Edge(self._senders[source], written)
        if not self.there[edge]:
            raise InputError(f"{source}->{target} is no edge: {target} does not come after {source}")
        return edge

    @cached_property
    def _senders(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.senders)}

    @cached_property
    def _readers(self) -> dict[str, int]:
        known = {str(reader): number for number, reader in enumerate(self.readers)}
        if self.groups == self.heads:
            for number, reader in enumerate(self.readers):
                if reader.letter in ("k", "v"):
                    known[f"L{reader.layer}H{reader.unit}.{reader.letter}"] = number
        return known


def graph_of(model: Model) -> Graph:
    """The graph of a model.

    Raises:
        InterventionError: where what a node adds to the stream is no sum over nodes.
    """
    if model.family.post_attention_norm or model.family.post_mlp_norm:
        raise InterventionError(
            f"{model.name} normalises what attention adds to the stream, so no head has a part of its own there: edges "
            "need a family without such norms, such as GPT-2, Llama, Qwen or Pythia"
        )
    sizes = model.sizes
    return Graph(sizes.n_layers, sizes.n_heads, sizes.n_groups, sizes.d_mlp > 0, model.residual)
