"""The gradient of the target with respect to what every reader reads, in one forward and one backward pass.

Readers of one block share its stream, so a gradient on the stream is that of all of them together. It is taken apart:

- *q, k, v*: the gradient on a unit's queries, keys or values, times its columns of the projection, sent back through
  the norm alone;
- *MLP*: what reaches the stream before the MLP minus what reaches the stream after the block; where attention and MLP
  read the same stream, minus the parts of q, k and v as well;
- *logits*: the gradient on the stream that leaves the last block.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from lesion.engine.batch import Batch
from lesion.engine.batched.last_layer_attention import ROLES, Role
from lesion.engine.batched.linear_kernels import weight_and_bias
from lesion.engine.edges.contributions import columns, path_of
from lesion.engine.edges.graph import Graph
from lesion.engine.hooks import edited, watched
from lesion.measures.attribution.target import Target
from lesion.measures.edges.pairs import target_from
from lesion.models.model import Model

Watch = Callable[[Tensor, Any], None]


class Seen:
    """Tensors of one forward pass that gradients are asked for, still in its graph."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.streams: dict[int, Tensor] = {}
        """What each block reads; the last one is what the final norm reads."""
        self.added: dict[int, Tensor] = {}
        """What attention adds, per layer."""
        self.normed: dict[tuple[int, Role], Tensor] = {}
        """What each projection reads."""
        self.projected: dict[tuple[int, Role], Tensor] = {}
        """What each projection gives; of a fused one thrice the same."""

    def watchers(self) -> list[dict[str, Watch]]:
        """Functions by module; several may watch one."""
        layers = range(self.model.sizes.n_layers)
        found: list[dict[str, Watch]] = [
            {self.model.block_path(layer): self._stream(layer) for layer in range(self.model.sizes.n_layers + 1)},
            {path_of(self.model, "attn_out", layer): self._attention(layer) for layer in layers},
        ]
        found += [{path_of(self.model, role, layer): self._role(layer, role) for layer in layers} for role in ROLES]
        return found

    def _stream(self, layer: int) -> Watch:
        return lambda given, _: self.streams.update({layer: given})

    def _attention(self, layer: int) -> Watch:
        return lambda _, gave: self.added.update({layer: gave})

    def _role(self, layer: int, role: Role) -> Watch:
        def watch(given: Tensor, gave: Tensor) -> None:
            self.normed[layer, role], self.projected[layer, role] = given, gave

        return watch


def reader_gradients(
    model: Model,
    graph: Graph,
    batch: Batch,
    target: Target,
    entering: Float[Tensor, "batch pos d_model"],
    editing: AbstractContextManager[Any] | None = None,
) -> Float[Tensor, "readers batch pos d_model"]:
    """The gradient of the target at every reader's input.

    Args:
        model: the model.
        graph: its graph.
        batch: the clean prompts; rows do not touch each other, so each row's gradient is its own target's.
        target: what is differentiated.
        entering: the stream that enters the first block.
        editing: hooks under which the model runs.
    """
    leaf = entering.detach().clone().requires_grad_()
    seen = Seen(model)
    with ExitStack() as stack, torch.enable_grad():
        stack.enter_context(edited(model.block(0), lambda _: leaf))
        stack.enter_context(nullcontext() if editing is None else editing)
        for watchers in seen.watchers():
            stack.enter_context(watched(model, watchers))
        model.module(batch.inputs, use_cache=False, logits_to_keep=1)
    with torch.enable_grad():
        values = target_from(model, batch, seen.streams[graph.layers][:, batch.first :], target)
        return _taken_apart(model, graph, seen, values)


def _taken_apart(model: Model, graph: Graph, seen: Seen, values: Tensor) -> Tensor:
    tensors = [*seen.streams.values(), *seen.added.values(), *seen.projected.values()]
    distinct = list({id(tensor): tensor for tensor in tensors}.values())
    found = torch.autograd.grad(values.sum(), distinct, retain_graph=True, allow_unused=True, materialize_grads=True)
    of = {id(tensor): gradient for tensor, gradient in zip(distinct, found, strict=True)}
    last = seen.streams[graph.layers]
    made = last.new_zeros(len(graph.readers), *last.shape)
    made[-1] = of[id(last)]
    for layer in range(graph.layers):
        heads = [number for number, _ in graph.of_layer(layer, ROLES)]
        made[heads[0] : heads[-1] + 1] = _attention(model, seen, layer, of)
        after = of[id(seen.streams[layer + 1])]
        for number, _ in graph.of_layer(layer, ("mlp",)):
            if graph.residual == "sequential":
                made[number] = of[id(seen.added[layer])].view(after.shape) - after
            else:
                made[number] = of[id(seen.streams[layer])] - after - made[heads].sum(0)
    return made.detach()


def _attention(model: Model, seen: Seen, layer: int, of: dict[int, Tensor]) -> Tensor:
    """The gradients at the inputs of a layer's queries, keys and values, in the order of its readers."""
    normed = seen.normed[layer, "q"]
    onto = [_onto_normed(model, layer, role, of[id(seen.projected[layer, role])]) for role in ROLES]
    cotangents = torch.cat(onto).view(-1, *normed.shape)
    (found,) = torch.autograd.grad(normed, seen.streams[layer], cotangents, retain_graph=True, is_grads_batched=True)
    return found


def _onto_normed(model: Model, layer: int, role: Role, gradient: Tensor) -> Tensor:
    """The gradient on the normed stream through each unit of a role alone, (units, …, d_model)."""
    weight, _ = weight_and_bias(model.submodule(path_of(model, role, layer)))
    units = columns(model, role, layer)
    return torch.stack([gradient[..., own] @ weight[:, own].T for own in units])
