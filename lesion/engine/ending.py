"""The last block's attention, where z is wanted at the read positions only: queries there, and no values at all.

Attention weights sum to one, so a head's z is their mean of the normed stream x, sent through its value map:

    z = sum_j a_j (W_V x_j + b_V) = W_V (sum_j a_j x_j) + b_V

Where keys are a linear map of x as well (no rotary positions, no norm), a query's scores come from x in the same way;
what the keys' bias adds is the same for every key, which a softmax does not see:

    q (W_K x_j + b_K) = (W_K^T q) x_j + q b_K

So the read positions attend over x itself, as over one group of keys that all heads share. That keys and values are
such maps is not written in any table: it is seen in every clean run.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lesion.engine.kernels import Kernel, PackedLinear, is_map, weight_and_bias
from lesion.engine.layout import Layout
from lesion.interventions.site import Site
from lesion.models.model import Model

CLOSE = 1e-5
"""How far keys and values may be from a linear map of the normed stream, relative to the largest number."""
FEW = 64
"""On so many tokens of a clean run that is seen."""

Role = Literal["q", "k", "v"]


class Part(NamedTuple):
    """Outputs of a projection that belong together: all queries, or all keys."""

    role: Role
    columns: slice | Tensor
    linear: Callable[[Tensor], Tensor]


class Thrift(nn.Module):
    """A projection of the last block that can make queries at the read positions, keys or none, and zeros elsewhere."""

    def __init__(self, inner: nn.Module, outputs: int) -> None:
        super().__init__()
        self.inner, self.outputs = inner, outputs
        self.parts: list[Part] = []
        self.wanted: Sequence[Part] | None = None
        """What to make; none: everything."""
        self.read = torch.empty(0, dtype=torch.long)
        """The read positions among the tokens."""
        self.input: Tensor | None = None

    def forward(self, x: Float[Tensor, "batch tokens d_model"]) -> Float[Tensor, "batch tokens outputs"]:
        """The projection, or what is wanted of it."""
        self.input = x
        if self.wanted is None:
            return self.inner(x)
        y = x.new_zeros(*x.shape[:-1], self.outputs)
        for role, columns, linear in self.wanted:
            if role == "q":
                rows = x.new_zeros(len(x), len(self.read), self.outputs)
                rows[..., columns] = linear(x[:, self.read])
                y[:, self.read] = rows
            else:
                y[..., columns] = linear(x)
        return y


class Heads(NamedTuple):
    """A linear map to keys or values, for each query head that of its group."""

    weight: Float[Tensor, "heads d_model d_head"]
    bias: Float[Tensor, "heads 1 d_head"]

    def gives(self, stream: Tensor, made: Float[Tensor, "1 groups tokens d_head"]) -> bool:
        """Whether this map makes of a stream (1, tokens, d_model) what attention got, on the first tokens."""
        each = len(self.weight) // made.shape[1]
        own = stream[0, :FEW] @ self.weight[::each] + self.bias[::each]
        error = float((own - made[0, :, :FEW]).abs().max())
        return error <= CLOSE * max(1.0, float(own.abs().max()))

    def of(self, mean: Float[Tensor, "batch heads wanted d_model"]) -> Float[Tensor, "batch heads wanted d_head"]:
        """The map of each head's mean of the stream."""
        made = torch.baddbmm(self.bias, mean.transpose(0, 1).flatten(1, 2), self.weight)
        return made.unflatten(1, (len(mean), -1)).transpose(0, 1)

    def met_by(self, query: Float[Tensor, "batch heads rows wanted d_head"]) -> Tensor:
        """Queries as they meet the stream itself, (batch, heads, rows, wanted, d_model)."""
        met = query.transpose(0, 1).flatten(1, 3) @ self.weight.mT
        return met.view(*query.transpose(0, 1).shape[:4], -1).transpose(0, 1)


@dataclass(frozen=True)
class Ending:
    """What attention over the normed stream needs of the last block."""

    thrifts: tuple[Thrift, ...]
    source: Thrift
    """The one that makes values; it sees the stream."""
    keys: Heads | None
    """None where keys are not such a map."""
    values: Heads
    groups: int
    """Keys and values that heads share."""

    def proven(self, key: Float[Tensor, "1 groups tokens d_head"], value: Tensor) -> "Ending | None":
        """This, as far as a clean run's keys and values are what the maps make of the stream of that run."""
        stream = self.source.input
        self.forget()
        if stream is None or not self.values.gives(stream, value):
            return None
        return self if self.keys is not None and self.keys.gives(stream, key) else replace(self, keys=None)

    def pays(self, layout: Layout) -> bool:
        """Whether it takes at most half the work of making values; shapes alone decide."""
        made, mixed = self._work(layout)
        return layout.start == 0 and 2 * mixed <= made

    def spared(self, layout: Layout) -> int:
        """Multiplications of one intervention that need not be made."""
        made, mixed = self._work(layout)
        return (made - mixed) * (1 if self.keys is None else 2) if self.pays(layout) else 0

    def _work(self, layout: Layout) -> tuple[int, int]:
        """Multiplications that it takes to make values, and to have each head's mean of the stream and map it."""
        heads, d_model, d_head = self.values.weight.shape
        mixed = len(layout.read) * heads * (layout.length * (d_model - d_head) + d_model * d_head)
        return layout.tokens * d_model * self.groups * d_head, mixed

    @contextmanager
    def on(self, read: Tensor) -> Generator[None]:
        """Let the projections make what is wanted: queries at the read positions, keys unless the stream serves."""
        for thrift in self.thrifts:
            thrift.read = read
            thrift.wanted = [part for part in thrift.parts if part.role == "q" or self.keys is None]
        try:
            yield
        finally:
            for thrift in self.thrifts:
                thrift.wanted = None

    def forget(self) -> None:
        """Let go of what the projections saw."""
        for thrift in self.thrifts:
            thrift.input = None

    def stream(self) -> Float[Tensor, "batch 1 tokens d_model"] | None:
        """The normed stream as one group of keys or values, while this is on."""
        seen = None if self.source.wanted is None else self.source.input
        return None if seen is None else seen[:, None]


def ending(model: Model, block: nn.Module, kernel: Kernel) -> Ending | None:
    """Wrap the projections of the last block of a model's twin; None where values are not made by a linear map.

    Args:
        model: the model.
        block: the last block of the twin.
        kernel: what multiplies there.
    """
    family, original = model.family, model.block(model.sizes.n_layers - 1)
    paths: dict[Role, str] = {"q": family.queries, "k": family.keys, "v": family.values}
    maps: dict[Role, tuple[Tensor, Tensor | None]] = {
        role: weight_and_bias(original.get_submodule(path))
        for role, path in paths.items()
        if is_map(original.get_submodule(path))
    }
    if "v" not in maps or model.dtype == "bfloat16":
        return None
    thrifts: dict[str, Thrift] = {}
    for role, (weight, bias) in maps.items():
        path = paths[role]
        if path not in thrifts:
            thrifts[path] = Thrift(block.get_submodule(path), weight.shape[1])
            block.set_submodule(path, thrifts[path])
        if role != "v":
            columns = _columns(model, role).flatten()
            thrifts[path].parts.append(_part(role, columns, thrifts[path], weight, bias, kernel))
    capped = getattr(model.module.config, "attn_logit_softcapping", None) is not None  # a bias would then be seen
    heads = {role: _heads(_columns(model, role), model, *maps[role]) for role in maps if role != "q"}
    keys = None if capped else heads.get("k")
    return Ending(tuple(thrifts.values()), thrifts[paths["v"]], keys, heads["v"], model.sizes.n_groups)


def _columns(model: Model, role: Role) -> Tensor:
    """Which outputs of a projection are queries, keys or values, (heads or groups, d_head)."""
    count = model.sizes.n_heads if role == "q" else model.sizes.n_groups
    units = [model.place(Site(kind=role, layer=model.sizes.n_layers - 1, index=one)).index for one in range(count)]
    return torch.tensor(units)[:, None] * model.sizes.d_head + torch.arange(model.sizes.d_head)


def _part(role: Role, columns: Tensor, thrift: Thrift, weight: Tensor, bias: Tensor | None, kernel: Kernel) -> Part:
    """The code that makes some outputs: the projection itself where it makes nothing else."""
    first = int(columns[0])
    if len(columns) == thrift.outputs:
        return Part(role, slice(None), thrift.inner)
    linear = nn.Linear(len(weight), len(columns), bias=bias is not None, dtype=weight.dtype).requires_grad_(False)
    linear.weight.copy_(weight[:, columns].T)
    if bias is not None:
        linear.bias.copy_(bias[columns])
    in_a_row = bool((columns.diff() == 1).all())
    where = slice(first, first + len(columns)) if in_a_row else columns
    return Part(role, where, PackedLinear(linear) if kernel == "onednn" else linear)


def _heads(columns: Tensor, model: Model, weight: Tensor, bias: Tensor | None) -> Heads:
    """A map to keys or values, head by head."""
    groups = [model.sizes.group(head) for head in range(model.sizes.n_heads)]
    own = columns[groups]
    zeros = weight.new_zeros(own.shape)
    return Heads(weight[:, own].transpose(0, 1).contiguous(), (zeros if bias is None else bias[own])[:, None])
