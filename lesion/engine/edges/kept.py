"""A forward pass in which some edges stay and every other one carries the corrupted contribution.

Every reader reads the sum of what the nodes of *this* pass add, over edges that stay, and of what they add in the
corrupted run, over the others. So a node that reads corrupted inputs alone gives its corrupted output. With all edges
the pass is the clean run; with none, the last stream is the corrupted one. (Hanna et al. 2024, `evaluate_graph`.)

The blocks are the model's own. The inputs of queries, keys and values differ from unit to unit, so each unit's is
normed and projected alone, and put in the place of the projection's outputs.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from lesion.engine.batched.last_layer_attention import ROLES
from lesion.engine.batched.linear_kernels import weight_and_bias
from lesion.engine.batched.prefix_shared_attention import ReadAttention
from lesion.engine.edges.contributions import columns, head_parts, path_of, written
from lesion.engine.edges.graph import Graph
from lesion.engine.hooks import block_arguments, edited, replaced
from lesion.models.model import Model


class Keeper:
    """Prompt pairs on which sets of edges are kept."""

    def __init__(
        self, model: Model, graph: Graph, clean: Int[Tensor, "batch pos"], corrupted: Int[Tensor, "batch pos"]
    ) -> None:
        self.model, self.graph = model, graph
        self.given = block_arguments(model, clean)
        self.entering = written(model, clean).entering
        self.corrupted = written(model, corrupted)

    @torch.inference_mode()
    def kept(self, edges: Bool[Tensor, "senders readers"]) -> Float[Tensor, "batch pos d_model"]:
        """The stream that leaves the last block when these edges stay."""
        return _Run(self, edges).stream


class _Run:
    """One pass, block by block."""

    def __init__(self, keeper: Keeper, edges: Tensor) -> None:
        self.model, self.graph, self.keeper = keeper.model, keeper.graph, keeper
        stream = keeper.entering
        self.cut = (~edges).T.to(stream.dtype)
        self.moved = stream.new_zeros(len(self.graph.senders), *stream.shape)
        """Corrupted minus what a node adds in this pass, of the nodes that have been run."""
        self.moved[0] = keeper.corrupted.entering - stream
        for layer in range(self.graph.layers):
            stream = self._block(layer, stream)
        self.stream = stream + self._update([len(self.graph.readers) - 1])[0]

    def _update(self, readers: list[int]) -> Float[Tensor, "readers batch pos d_model"]:
        """What cut edges change in readers' inputs."""
        reads = self.graph.readers[readers[0]].reads
        return torch.tensordot(self.cut[readers, :reads], self.moved[:reads], 1)

    def _block(self, layer: int, stream: Tensor) -> Tensor:
        model, graph, at = self.model, self.graph, self.graph.first(layer)
        numbers = [number for number, _ in graph.of_layer(layer, ("mlp",))]
        parallel = graph.residual == "parallel"
        off: list[Tensor] = [self._update(numbers)[0]] if numbers and parallel else []

        def heads(z: Tensor) -> Tensor:
            here = z.reshape(*stream.shape[:2], -1)
            self.moved[at : at + graph.heads] = head_parts(model, layer, self.keeper.corrupted.heads[layer] - here)
            return z

        def middle(added: Tensor) -> Tensor:
            off.append(self._update(numbers)[0])
            return added + off[-1].view(added.shape)

        def mlp(added: Tensor) -> Tensor:
            self.moved[at + graph.heads] = self.keeper.corrupted.mlps[layer] - added.view(stream.shape)
            return added

        changes: dict[nn.Module, Callable[[Tensor], Tensor]] = self._projections(layer, stream)
        if numbers:
            changes[model.submodule(path_of(model, "mlp_out", layer))] = mlp
            if not parallel:
                changes[model.submodule(path_of(model, "attn_out", layer))] = middle
        with ExitStack() as stack:
            stack.enter_context(edited(model.submodule(path_of(model, "head", layer)), heads))
            stack.enter_context(replaced(changes))
            out = _first(model.block(layer)(stream + off[0] if off else stream, **self.keeper.given[layer]))
        return out - off[0] if off else out

    def _projections(self, layer: int, stream: Tensor) -> dict[nn.Module, Callable[[Tensor], Tensor]]:
        """Per projection, what puts the outputs of every unit's own input in place."""
        numbers = [number for number, _ in self.graph.of_layer(layer, ROLES)]
        reads = self.graph.readers[numbers[0]].reads
        if self.graph.residual == "sequential" and not bool(self.cut[numbers, :reads].any()):
            return {}  # the block's own input is every unit's
        normed = self._normed(layer, stream + self._update(numbers))
        made: dict[nn.Module, list[tuple[Tensor, Tensor]]] = {}
        place = 0
        for role in ROLES:
            module = self.model.submodule(path_of(self.model, role, layer))
            weight, bias = weight_and_bias(module)
            for own in columns(self.model, role, layer):
                output = normed[place] @ weight[:, own]
                made.setdefault(module, []).append((own, output if bias is None else output + bias[own]))
                place += 1
        return {module: _putting(parts) for module, parts in made.items()}

    def _normed(self, layer: int, streams: Float[Tensor, "readers batch pos d_model"]) -> Tensor:
        """What the projections read, for several streams."""

        def stop(normed: Tensor) -> Tensor:
            raise ReadAttention(normed)

        rows = streams.flatten(0, 1)
        given = {name: _for_rows(value, len(streams)) for name, value in self.keeper.given[layer].items()}
        try:
            with edited(self.model.submodule(path_of(self.model, "q", layer)), stop):
                self.model.block(layer)(rows, **given)
        except ReadAttention as reached:
            return reached.z.view(streams.shape)
        raise AssertionError("a block did not reach its queries")


def _for_rows(value: Any, times: int) -> Any:
    """An argument of a block for so many times as many rows, where it has one entry for each row."""
    return value.repeat(times, *[1] * (value.ndim - 1)) if torch.is_tensor(value) and value.ndim > 1 else value


def _putting(parts: list[tuple[Tensor, Tensor]]) -> Callable[[Tensor], Tensor]:
    def put(output: Tensor) -> Tensor:
        changed = output.clone()
        for own, value in parts:
            changed[..., own] = value.view(*output.shape[:-1], -1)
        return changed

    return put


def _first(out: Any) -> Tensor:
    return out[0] if isinstance(out, tuple) else out
