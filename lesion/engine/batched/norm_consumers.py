"""What reads a normed stream, so that a small change of the stream gives its outputs by a small product.

A norm is a linear map over a number of each token's own, N(x) = C(x) g / s(x) + b. So a linear map W, w behind it gives
for a changed stream x + d, with c = W b + w:

    W N(x + d) + w = s(x) / s(x + d) (W N(x) + w - c) + W (g C(d)) / s(x + d) + c

Where d comes from a few columns of a projection (a head's, a neuron's), W (g C(.)) of these columns is one small
matrix, and what they add is the same for every strength. Which module reads which norm of which stream is not written
in any table: it is seen in one pass of the model, and each norm's form is compared there with what the norm gives.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from lesion.engine.batched.linear_kernels import PackedLinear, is_map, weight_and_bias
from lesion.engine.hooks import watched
from lesion.models.model import Model

Of = Literal["stream", "middle"]
"""Which stream a norm is of: the block's input, or that and what attention adds."""
CLOSE = 1e-5
"""How far a norm's form may be from what the norm gives, relative to the largest number."""


@dataclass(frozen=True)
class Form:
    """A norm as C(x) gain / s(x) + bias."""

    centered: bool
    """Whether C takes the mean away (LayerNorm) or nothing (RMSNorm)."""
    gain: Tensor
    bias: Tensor | None
    eps: float

    def scale(self, x: Tensor) -> Tensor:
        """s(x) of each token, (…, d) to (…, 1)."""
        if self.centered:
            return torch.native_layer_norm(x, [x.shape[-1]], None, None, self.eps)[2].reciprocal()
        return (torch.linalg.vecdot(x, x)[..., None] / x.shape[-1] + self.eps).sqrt()

    def turned(self, directions: Tensor) -> Tensor:
        """C(directions) * gain, (rows, d)."""
        flat = directions - directions.mean(-1, keepdim=True) if self.centered else directions
        return flat * self.gain

    def __call__(self, x: Tensor) -> Tensor:
        """The norm itself."""
        normed = self.turned(x) / self.scale(x)
        return normed if self.bias is None else normed + self.bias


class Reader(nn.Module):
    """A linear map behind a norm, whose output can be given."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.known: Tensor | None = None
        self.bias = weight_and_bias(inner)[1] if not isinstance(inner, PackedLinear) else inner.bias

    def forward(self, x: Tensor) -> Tensor:
        """The linear map and what its kernel does behind it, or the same of what is known."""
        if self.known is None:
            return self.inner(x)
        y, self.known = self.known, None
        y = self.inner.bend_(y) if isinstance(self.inner, PackedLinear) else y
        return y.view(*x.shape[:-1], y.shape[-1])

    def linear(self, x: Tensor) -> Tensor:
        """The linear map without its bias and without what follows it."""
        if isinstance(self.inner, PackedLinear):
            return self.inner.linear(x)
        weight, _ = weight_and_bias(self.inner)
        return x @ weight


class Group(NamedTuple):
    """A norm of one block, and what reads it."""

    of: Of
    form: Form
    readers: tuple[Reader, ...]


class Base(NamedTuple):
    """What the clean run gives a group: what a change is added to."""

    scale: Tensor
    """(tokens, 1): s of the clean stream."""
    outputs: tuple[Tensor, ...]
    """(tokens, outputs) of each reader: its clean output, bias and the norm's bias taken away."""
    constants: tuple[Tensor, ...]
    """(outputs,) of each reader: c."""


def base(group: Group, stream: Tensor) -> Base:
    """The clean side of a group, from the clean stream that its norm reads, (tokens, d)."""
    scale = group.form.scale(stream)
    normed = group.form.turned(stream) / scale
    outputs = tuple(reader.linear(normed) for reader in group.readers)
    return Base(scale, outputs, tuple(_constant(group.form, reader, normed) for reader in group.readers))


def added(group: Group, part: Tensor, columns: Tensor) -> tuple[Tensor, ...]:
    """What a change by `part @ columns` adds to each reader's output, times s.

    Args:
        group: the norm and its readers.
        part: (tokens, k) activations that the columns are multiplied with.
        columns: (k, d) rows of the projection that writes into the stream.
    """
    turned = group.form.turned(columns)
    if len(columns) < len(part):
        return tuple(part @ reader.linear(turned) for reader in group.readers)
    return tuple(reader.linear(part @ turned) for reader in group.readers)


def give(group: Group, clean: Base, stream: Tensor, rows: Sequence[tuple[Tensor, tuple[Tensor, ...]]]) -> None:
    """Set every reader's output for a pass.

    Args:
        group: the norm and its readers.
        clean: its clean side at the tokens of the pass.
        stream: (rows, tokens, d), changed: what the norm will read.
        rows: per row of the pass, the strength at each token, (tokens, 1), and what `added` gave.
    """
    scale = group.form.scale(stream).reciprocal_()
    for number, reader in enumerate(group.readers):
        base_output, constant = clean.outputs[number], clean.constants[number]
        known = stream.new_empty(len(rows), *base_output.shape)
        for row, (strength, change) in enumerate(rows):
            torch.addcmul(constant, base_output, clean.scale * scale[row], out=known[row])
            known[row].addcmul_(change[number], strength * scale[row])
        reader.known = known


def _constant(form: Form, reader: Reader, like: Tensor) -> Tensor:
    constant = like.new_zeros(()) if form.bias is None else reader.linear(form.bias[None].to(like))[0]
    bias = reader.bias
    whole = constant if bias is None else constant + bias
    return whole if whole.ndim else whole.expand(reader.linear(like[:1]).shape[-1]).contiguous()


class Read(NamedTuple):
    """A norm's paths within a block: the norm, and the linear maps that read it."""

    of: Of
    norm: str
    readers: tuple[str, ...]


def find(model: Model) -> list[list[Read]]:
    """Per layer, the norms of its stream and of its middle whose form is known, and what reads each; by one pass."""
    blocks = range(model.sizes.n_layers)
    seen: dict[str, tuple[Tensor, Any]] = {}
    paths = [path for layer in blocks for path in _paths(model, layer)]

    def keep(path: str) -> Any:
        def watch(given: Tensor, gave: Any) -> None:
            seen[path] = given, gave[0] if isinstance(gave, tuple) else gave

        return watch

    few = torch.arange(1, 4)[None] % model.sizes.vocab_size
    with watched(model, {path: keep(path) for path in paths}), torch.inference_mode():
        model.module(few, use_cache=False, logits_to_keep=1)
    return [_of_block(model, layer, seen) for layer in blocks]


def _paths(model: Model, layer: int) -> list[str]:
    """The block, its attention, its norms and its linear maps."""
    block = model.block_path(layer)
    inside = [f"{block}.{name}" for name, part in model.block(layer).named_modules() if _is_norm(part) or is_map(part)]
    return [block, f"{block}.{model.family.attention_out.rpartition('.')[0]}", *inside]


def _of_block(model: Model, layer: int, seen: Mapping[str, tuple[Tensor, Any]]) -> list[Read]:
    block = model.block_path(layer)
    attention = f"{block}.{model.family.attention_out.rpartition('.')[0]}"
    if block not in seen or attention not in seen:
        return []
    stream = seen[block][0].flatten(0, -2)
    middle = stream + seen[attention][1].reshape(stream.shape)
    found: list[Read] = []
    for name, part in model.block(layer).named_modules():
        at = f"{block}.{name}"
        if not _is_norm(part) or at not in seen:
            continue
        given, gave = (tensor.reshape(-1, tensor.shape[-1]) for tensor in seen[at])
        of: Of | None = _which(given, stream, middle)
        form = form_of(part)
        if of is None or form is None or not _fits(form, given, gave):
            continue
        own = {model.family.attention_out, model.family.mlp_out}
        readers = tuple(
            other
            for other, linear in model.block(layer).named_modules()
            if is_map(linear) and other not in own and _reads(seen.get(f"{block}.{other}"), seen[at][1])
        )
        if readers:
            found.append(Read(of, name, readers))
    return found


def _which(given: Tensor, stream: Tensor, middle: Tensor) -> Of | None:
    if given.shape != stream.shape:
        return None
    return "stream" if torch.equal(given, stream) else "middle" if torch.equal(given, middle) else None


def _reads(seen: tuple[Tensor, Any] | None, normed: Tensor) -> bool:
    return seen is not None and seen[0].data_ptr() == normed.data_ptr() and seen[0].numel() == normed.numel()


def _is_norm(part: nn.Module) -> bool:
    return isinstance(part, nn.LayerNorm) or type(part).__name__.endswith("RMSNorm")


def form_of(norm: nn.Module) -> Form | None:
    """A norm's form, where its class is known; whether it is right, `find` sees from numbers."""
    weight, bias = getattr(norm, "weight", None), getattr(norm, "bias", None)
    eps = getattr(norm, "variance_epsilon", getattr(norm, "eps", None))
    if not isinstance(weight, Tensor) or eps is None:
        return None
    gain = 1 + weight if type(norm).__name__.startswith("Gemma") else weight
    return Form(isinstance(norm, nn.LayerNorm), gain, bias if isinstance(bias, Tensor) else None, float(eps))


def _fits(form: Form, given: Tensor, gave: Tensor) -> bool:
    if form.gain.shape != given.shape[-1:]:
        return False
    return float((form(given) - gave).abs().max()) <= CLOSE * max(1.0, float(gave.abs().max()))
