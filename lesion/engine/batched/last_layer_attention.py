"""The last block's attention where z is wanted at the read positions only: queries there, no keys, no values.

Attention weights sum to one, so a head's z is their mean of the normed stream x, sent through its value map; and what
the keys' bias adds to a query's scores is the same for all keys, which a softmax does not see:

    z = sum_j a_j (W_V x_j + b_V) = W_V (sum_j a_j x_j) + b_V        q (W_K x_j + b_K) = (W_K^T q) x_j + q b_K

So the read positions attend over x itself, as over one group of keys and values that all heads share. That holds where
keys are a linear map of x, with no rotary positions and no norm. Whether they are is written in no table: it is seen
in every clean run.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lesion.engine.batched.linear_kernels import Kernel, PackedLinear, is_map, weight_and_bias
from lesion.engine.batched.token_order import Layout
from lesion.interventions.site import Site
from lesion.models.model import Model

CLOSE = 1e-5
"""How far keys and values may be from a linear map of the normed stream, relative to the largest number."""
FEW = 64
"""On so many tokens of a clean run that is seen: the last ones, for rotary positions do nothing at position 0."""
SLOWER = 3
"""So much slower per multiplication the many small products of this way are taken to be than one large one."""

Role = Literal["q", "k", "v"]
ROLES: tuple[Role, ...] = get_args(Role)


class Thrift(nn.Module):
    """A projection of the last block that can make queries at the read positions, and zeros elsewhere."""

    def __init__(self, inner: nn.Module, outputs: int) -> None:
        super().__init__()
        self.inner, self.outputs = inner, outputs
        self.queries: tuple[Tensor, Callable[[Tensor], Tensor]] | None = None
        """Which outputs are queries, and what makes them; none where another projection makes all queries."""
        self.read: Tensor | None = None
        """The read positions among the tokens; none while everything is made."""
        self.input: Tensor | None = None

    def forward(self, x: Float[Tensor, "batch tokens d_model"]) -> Float[Tensor, "batch tokens outputs"]:
        """The projection, or what is wanted of it."""
        self.input = x
        if self.read is None:
            return self.inner(x)
        y = x.new_zeros(*x.shape[:-1], self.outputs)
        if self.queries is not None:
            columns, linear = self.queries
            y[:, self.read[:, None], columns] = linear(x[:, self.read])
        return y


_TRIED: ContextVar[bool] = ContextVar("tried", default=False)


@contextmanager
def tried() -> Generator[None]:
    """Take this way in the body even where it does not pay, so that short texts can show whether it is right."""
    token = _TRIED.set(True)
    try:
        yield
    finally:
        _TRIED.reset(token)


class Heads(NamedTuple):
    """A linear map to keys or values, for each query head that of its group."""

    weight: Float[Tensor, "heads d_model d_head"]
    bias: Float[Tensor, "heads 1 d_head"]

    def gives(self, stream: Tensor, made: Float[Tensor, "1 groups tokens d_head"]) -> bool:
        """Whether this map makes of a stream (1, tokens, d_model) what attention got, on the last tokens."""
        each = len(self.weight) // made.shape[1]
        own = stream[0, -FEW:] @ self.weight[::each] + self.bias[::each]
        error = float((own - made[0, :, -FEW:]).abs().max())
        return error <= CLOSE * max(1.0, float(own.abs().max()))

    def of(self, mean: Float[Tensor, "batch heads wanted d_model"]) -> Float[Tensor, "batch heads wanted d_head"]:
        """The map of each head's mean of the stream."""
        made = torch.baddbmm(self.bias, mean.transpose(0, 1).flatten(1, 2), self.weight)
        return made.unflatten(1, (len(mean), -1)).transpose(0, 1)

    def met_by(self, query: Float[Tensor, "batch heads rows wanted d_head"]) -> Tensor:
        """Queries as they meet the stream itself, (batch, heads, rows, wanted, d_model)."""
        by_head = query.transpose(0, 1)
        return (by_head.flatten(1, 3) @ self.weight.mT).view(*by_head.shape[:4], -1).transpose(0, 1)


@dataclass(frozen=True)
class Ending:
    """What attention over the normed stream needs of the last block."""

    thrifts: tuple[Thrift, ...]
    source: Thrift
    """The one that makes values; it sees the stream."""
    keys: Heads
    values: Heads
    groups: int
    """Keys and values that heads share."""

    def holds(self, key: Float[Tensor, "1 groups tokens d_head"], value: Tensor) -> bool:
        """Whether a clean run's keys and values are what the maps make of the stream of that run."""
        stream = self.source.input
        self.forget()
        return stream is not None and self.keys.gives(stream, key) and self.values.gives(stream, value)

    def pays(self, layout: Layout) -> bool:
        """Whether it is quicker than making keys and values; shapes alone decide."""
        made, mixed = self._work(layout)
        return layout.start == 0 and (_TRIED.get() or SLOWER * mixed <= made)

    def spared(self, layout: Layout) -> int:
        """Multiplications of one intervention that need not be made."""
        made, mixed = self._work(layout)
        return made - mixed if self.pays(layout) else 0

    def _work(self, layout: Layout) -> tuple[int, int]:
        """Multiplications that it takes to make keys and values, and those of this way beyond plain attention's."""
        heads, d_model, d_head = self.values.weight.shape
        mixed = len(layout.read) * heads * (layout.length * (d_model - d_head) + d_model * d_head)
        return 2 * layout.tokens * d_model * self.groups * d_head, 2 * mixed

    @contextmanager
    def on(self, read: Tensor) -> Generator[None]:
        """Let the projections make queries at the read positions and nothing else."""
        for thrift in self.thrifts:
            thrift.read = read
        try:
            yield
        finally:
            for thrift in self.thrifts:
                thrift.read = None

    def forget(self) -> None:
        """Let go of what the projections saw."""
        for thrift in self.thrifts:
            thrift.input = None

    def stream(self) -> Float[Tensor, "batch 1 tokens d_model"] | None:
        """The normed stream as one group of keys and values, while this is on."""
        seen = None if self.source.read is None else self.source.input
        return None if seen is None else seen[:, None]


def ending(model: Model, block: nn.Module, kernel: Kernel) -> Ending | None:
    """Wrap the projections of the last block of a model's twin; None where one of them is no linear map.

    Args:
        model: the model.
        block: the last block of the twin.
        kernel: what multiplies there.
    """
    family, original = model.family, model.block(model.sizes.n_layers - 1)
    paths: dict[Role, str] = {"q": family.queries, "k": family.keys, "v": family.values}
    capped = getattr(model.module.config, "attn_logit_softcapping", None) is not None  # a bias of keys would be seen
    if capped or model.dtype == "bfloat16" or not all(is_map(original.get_submodule(path)) for path in paths.values()):
        return None
    maps = {path: weight_and_bias(original.get_submodule(path)) for path in paths.values()}
    thrifts = {path: Thrift(block.get_submodule(path), weight.shape[1]) for path, (weight, _) in maps.items()}
    for path, thrift in thrifts.items():
        block.set_submodule(path, thrift)
    queries, heads = paths["q"], [model.sizes.group(head) for head in range(model.sizes.n_heads)]
    columns = _columns(model, "q").flatten()
    thrifts[queries].queries = columns, _some(columns, thrifts[queries], *maps[queries], kernel)
    keys, values = (_heads(_columns(model, role)[heads], *maps[paths[role]]) for role in ("k", "v"))
    return Ending(tuple(thrifts.values()), thrifts[paths["v"]], keys, values, model.sizes.n_groups)


def _columns(model: Model, role: Role) -> Tensor:
    """Which outputs of a projection are queries, keys or values, (heads or groups, d_head)."""
    count = model.sizes.n_heads if role == "q" else model.sizes.n_groups
    units = [model.place(Site(kind=role, layer=model.sizes.n_layers - 1, index=one)).index for one in range(count)]
    return torch.tensor(units)[:, None] * model.sizes.d_head + torch.arange(model.sizes.d_head)


def _some(columns: Tensor, thrift: Thrift, weight: Tensor, bias: Tensor | None, kernel: Kernel) -> nn.Module:
    """What makes some outputs of a projection: the projection itself where it makes no others."""
    if len(columns) == thrift.outputs:
        return thrift.inner
    linear = nn.Linear(len(weight), len(columns), bias=bias is not None, dtype=weight.dtype).requires_grad_(False)
    linear.weight.copy_(weight[:, columns].T)
    if bias is not None:
        linear.bias.copy_(bias[columns])
    return PackedLinear(linear) if kernel == "onednn" else linear


def _heads(columns: Tensor, weight: Tensor, bias: Tensor | None) -> Heads:
    """A map to keys or values, head by head, from the columns (heads, d_head) of its projection."""
    added = weight.new_zeros(columns.shape) if bias is None else bias[columns]
    return Heads(weight[:, columns].transpose(0, 1).contiguous(), added[:, None])
