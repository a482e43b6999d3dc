"""Every edge patched by the batched engine: what lies below and beside the reader is the clean run's.

A row of a pass is one edge. Below its reader all is clean and is not run. In the reader's layer:

- *logits*: the difference is added to the last stream at the read positions;
- *MLP*: the block is entered with attention's clean output known and the difference on it (where the MLP reads the
  stream itself, on the stream), and the difference is taken off what leaves the block;
- *q, k, v*: the block's attention is run once for each sender and letter, with that letter's projection changed and
  the two others clean. All heads come out of that; each one's change of z, alone, gives an edge its attention output.

From there a pass climbs as those of interventions do (`forward_pass`): tokens that rows share are run once, and tokens
before the prompts part are not run at all.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from lesion.engine.batch import Batch
from lesion.engine.batched.block_copies import RowEdit
from lesion.engine.batched.clean_cache import Clean, What, run_clean
from lesion.engine.batched.engine import LOGITS_PER_PASS, Fast
from lesion.engine.batched.forward_pass import Pass
from lesion.engine.batched.last_layer_attention import ROLES
from lesion.engine.batched.prefix_shared_attention import ReadAttention
from lesion.engine.batched.token_order import Layout
from lesion.engine.edges.contributions import columns, differences, output_rows, parted
from lesion.engine.edges.graph import Edge, Graph
from lesion.engine.hooks import replaced
from lesion.interventions.site import Kind


class Patched(NamedTuple):
    """Some edges of one pass, and the stream that leaves the last block under each."""

    edges: tuple[Edge, ...]
    streams: Float[Tensor, "edges rows answer d_model"]
    """At the positions whose logits decide the answer."""


class Climb(Pass):
    """A way up through the blocks from a change of what one node adds; rows carry no intervention."""

    def __init__(self, fast: Fast, clean: Clean, layout: Layout, layer: int, rows: int) -> None:
        super().__init__(fast.model, fast.twin, clean, layout, (), layer)
        self.rows = rows

    def from_attention(self, change: Float[Tensor, "edges tokens d_model"]) -> Tensor:
        """A change of what attention adds in the first layer; the stream at the read positions."""
        stream = self._expanded(self.clean.streams[self.layer])
        known = change + self._expanded(self.clean.kept["attention", self.layer])
        return self._climbed_from(stream, known)

    def from_mlp(self, difference: Float[Tensor, "edges tokens d_model"]) -> Tensor:
        """A difference in what the MLP of the first layer reads; the stream at the read positions."""
        stream = self._expanded(self.clean.streams[self.layer])
        known = self._expanded(self.clean.kept["attention", self.layer])
        if self.model.residual == "parallel":
            return self._climbed_from(stream + difference, known, difference)
        return self._climbed_from(stream, known + difference, difference)

    def attended(self, stream: Float[Tensor, "edges tokens d_model"]) -> None:
        """The first block on a stream, as far as its slots let it."""
        self._entered(self.layer, stream, self.clean.handed(self.layer, self.layout, self.rows), None)

    def _edits(self, layer: int, kind: Kind, *, read_only: bool = False) -> list[RowEdit]:  # noqa: ARG002
        return []

    def _climbed_from(self, stream: Tensor, known: Tensor, off: Tensor | None = None) -> Tensor:
        read_only = self.layer == self.last
        if read_only:
            stream, known = stream[:, self.read], known[:, self.read]
            off = None if off is None else off[:, self.read]
        out = self._block(self.layer, stream, known, read_only=read_only)
        out = out if off is None else out - off
        for layer in range(self.layer + 1, self.last + 1):
            out = self._block(layer, out) if layer < self.last else self._last_block(out)
        return out


class Patcher:
    """A batch of prompt pairs whose edges are patched."""

    @torch.inference_mode()
    def __init__(self, fast: Fast, graph: Graph, batch: Batch, twins: Tensor) -> None:
        """Run the clean and the corrupted prompts.

        Args:
            fast: the batched engine of the model.
            graph: its graph.
            batch: the clean prompts.
            twins: tokens of the corrupted ones, as `batch.inputs`.
        """
        self.fast, self.graph, self.batch = fast, graph, batch
        model = fast.model
        mask = parted(batch.inputs, twins)
        order = fast.layout(batch, mask * torch.arange(1, len(mask) + 1)[:, None])
        touched = torch.nonzero(mask.any(0)).flatten()
        self.layout = order.late(int(touched[0])) if fast.twin.shares and len(touched) else order
        needs: list[tuple[What, int]] = [("attention", layer) for layer in range(graph.layers)]
        self.clean = run_clean(model, fast.twin, batch, self.layout.full, needs, late=self.layout.start > 0)
        found = differences(model, graph, batch.inputs, twins)
        self.differences = self.layout.pack(found.movedim(0, 2)).movedim(1, 0).contiguous()
        self.moved = self.differences.abs().amax((1, 2)).gt(0).numpy(force=True)
        """Which senders differ at all; the others' edges have effect 0 and are not run."""

    @property
    def unpatched(self) -> Float[Tensor, "rows answer d_model"]:
        """The clean stream at the read positions."""
        return self._by_row(self.clean.streams[-1][self.clean.layout.read])

    def run(self, wanted: NDArray[np.bool_]) -> Iterator[Patched]:
        """Patch every wanted edge whose sender differs, (senders, readers), alone."""
        wanted = wanted & self.graph.there & self.moved[:, None]
        for layer in range(self.graph.layers):
            yield from self._attention(layer, wanted)
            yield from self._mlp(layer, wanted)
        last = len(self.graph.readers) - 1
        clean = self.clean.streams[-1][self.clean.layout.read]
        for some in self._chunks([Edge(int(s), last) for s in np.flatnonzero(wanted[:, last])], len(self.layout.read)):
            yield Patched(some, self._by_row(clean + self._of(some)[:, self.layout.read]))

    @torch.inference_mode()
    def _mlp(self, layer: int, wanted: NDArray[np.bool_]) -> Iterator[Patched]:
        for number, _ in self.graph.of_layer(layer, ("mlp",)):
            edges = [Edge(int(sender), number) for sender in np.flatnonzero(wanted[:, number])]
            for some in self._chunks(edges, self._width(layer)):
                climb = Climb(self.fast, self.clean, self.layout, layer, len(some))
                yield Patched(some, self._by_row(climb.from_mlp(self._of(some))))

    @torch.inference_mode()
    def _attention(self, layer: int, wanted: NDArray[np.bool_]) -> Iterator[Patched]:
        numbers = [number for number, _ in self.graph.of_layer(layer, ROLES)]
        senders = [int(sender) for sender in np.flatnonzero(wanted[:, numbers].any(1))]
        each = max(1, (self.fast.tokens // self.layout.tokens - 1) // len(ROLES))
        rows = output_rows(self.fast.model, layer)
        for start in range(0, len(senders), each):
            chosen = senders[start : start + each]
            changes = self._looked(layer, chosen)
            edges = [Edge(s, number) for s in chosen for number in numbers if wanted[s, number]]
            for some in self._chunks(edges, self._width(layer)):
                change = self._written(changes, some, chosen, rows)
                climb = Climb(self.fast, self.clean, self.layout, layer, len(some))
                yield Patched(some, self._by_row(climb.from_attention(change)))

    def _looked(self, layer: int, senders: Sequence[int]) -> Float[Tensor, "senders roles tokens heads d_head"]:
        """How z changes when one of queries, keys and values, of all heads, reads a sender's difference."""
        changed = self.differences[list(senders)].repeat_interleave(len(ROLES), 0)
        stream = torch.cat([torch.zeros_like(changed[:1]), changed]) + self._kept(self.clean.streams[layer])
        slot = self.fast.twin.heads[layer]
        slot.stopping = True
        climb = Climb(self.fast, self.clean, self.layout, layer, len(stream))
        try:
            with replaced(self._substituting(layer, len(stream))):
                climb.attended(stream)
        except ReadAttention as reached:
            z = reached.z.reshape(len(stream), self.layout.tokens, self.graph.heads, -1)
            return (z[1:] - z[0]).unflatten(0, (len(senders), len(ROLES)))
        finally:
            slot.stopping = False
            self.fast.twin.forget()
        raise AssertionError("a block did not reach its attention output projection")

    def _substituting(self, layer: int, rows: int) -> dict[nn.Module, Callable[[Tensor], Tensor]]:
        """Per projection, what puts the clean row's outputs where a row's letter is not the output's own."""
        model = self.fast.model
        kept: dict[nn.Module, list[tuple[int, Tensor]]] = {}
        for place, role in enumerate(ROLES):
            module = self.fast.twin.projections[layer][role]
            kept.setdefault(module, []).append((place, columns(model, role, layer).flatten()))

        def putting(parts: list[tuple[int, Tensor]]) -> Callable[[Tensor], Tensor]:
            def put(output: Tensor) -> Tensor:
                by_row = output.reshape(rows, -1, output.shape[-1]).clone()
                for place, own in parts:
                    for other in range(len(ROLES)):
                        if other != place:
                            by_row[1 + other :: len(ROLES), :, own] = by_row[0][:, own]
                return by_row.view(output.shape)

            return put

        return {module: putting(parts) for module, parts in kept.items()}

    def _written(
        self, changes: Tensor, edges: Sequence[Edge], senders: Sequence[int], rows: Tensor
    ) -> Float[Tensor, "edges tokens d_model"]:
        """What each edge's change of z adds to attention's output."""
        places = {sender: place for place, sender in enumerate(senders)}
        each = self.graph.heads // self.graph.groups
        made = changes.new_empty(len(edges), changes.shape[2], rows.shape[-1])
        for number, edge in enumerate(edges):
            reader = self.graph.readers[edge.reader]
            width = 1 if reader.letter == "q" else each
            own = slice(reader.unit * width, (reader.unit + 1) * width)
            z = changes[places[edge.sender], "qkv".index(reader.letter), :, own]
            torch.mm(z.flatten(1), rows[own].flatten(0, 1), out=made[number])
        return made

    def _chunks(self, edges: Sequence[Edge], tokens: int) -> Iterator[tuple[Edge, ...]]:
        """Edges that share a pass."""
        reads = len(self.layout.read) * self.fast.model.sizes.d_model
        most = max(1, min(self.fast.tokens // tokens, LOGITS_PER_PASS // reads))
        for start in range(0, len(edges), most):
            yield tuple(edges[start : start + most])

    def _width(self, layer: int) -> int:
        """Tokens that one edge's row of a pass holds."""
        return len(self.layout.read) if layer == self.graph.layers - 1 else self.layout.tokens

    def _of(self, edges: Sequence[Edge]) -> Tensor:
        return self.differences[[edge.sender for edge in edges]]

    def _kept(self, tokens: Tensor) -> Tensor:
        return tokens if self.layout == self.clean.layout else tokens[self.layout.among]

    def _by_row(self, read: Tensor) -> Tensor:
        """(…, reads, d_model) to (…, rows, answer, d_model)."""
        return read.unflatten(-2, (len(self.batch.rows), -1))
