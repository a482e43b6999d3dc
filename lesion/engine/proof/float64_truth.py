"""The same model in float64: what the rounding of an engine is measured against.

The module tree is copied and its tensors are not. Each block, norm and embedding is converted to float64 when it runs
and forgotten afterwards, and the unembedding is converted in slices, so the memory needed is that of one block.
Hugging Face computes norms, rotary angles and the softmax in float32 whatever a model's numbers are; here they are
computed in float64 as well.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import copy
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from lesion.engine.batched.linear_kernels import weight_and_bias
from lesion.engine.hooks import edited, leaving_stream
from lesion.interventions.intervention import Scale
from lesion.models.model import Model, Place

SLICE = 2**24
"""Numbers of the unembedding that are converted at a time (128 MiB in float64)."""


class Variant(NamedTuple):
    """Rows of tokens, and what is changed in them."""

    ids: Int[Tensor, "rows pos"]
    first: int
    """First position whose logits are wanted; all later ones are wanted too."""
    scaled: Scale | None
    """What is changed; none for the unedited model."""
    mask: Bool[Tensor, "rows pos"]
    """Where it is changed."""


class Truth:
    """A model that computes in float64, over the weights of another."""

    def __init__(self, model: Model) -> None:
        original = model.module
        shared = {id(tensor): tensor for tensor in [*original.parameters(), *original.buffers()]}
        module: Any = copy.deepcopy(original, shared)
        self.model = replace(model, module=module, dtype="float64")
        blocks = {model.block_path(layer) for layer in range(model.sizes.n_layers)}
        for path in (*blocks, *_outside(module, blocks)):
            wrapper = _Rows if path == model.family.embedding else _Doubled
            parent, _, name = path.rpartition(".")
            setattr(module.get_submodule(parent), name, wrapper(module.get_submodule(path)))

    def logits(self, variants: Sequence[Variant]) -> list[Float[Tensor, "rows answer vocab"]]:
        """The wanted logits of each variant, float64.

        All variants go through the model together, filled up at the end to one length: no token sees a later one.
        """
        longest = max(variant.ids.shape[1] for variant in variants)
        ids = torch.cat([_filled(variant.ids, longest) for variant in variants])
        with torch.inference_mode(), _Widened(), ExitStack() as stack:
            for place, edit in _edits(self.model, variants, longest):
                stack.enter_context(edited(place.module, edit))
            streams = leaving_stream(self.model, ids).split([len(variant.ids) for variant in variants])
            read = [
                stream[:, variant.first : variant.ids.shape[1]]
                for stream, variant in zip(streams, variants, strict=True)
            ]
            found = self._unembedded(torch.cat([stream.flatten(0, 1) for stream in read]))
        parts = found.split([stream.shape[0] * stream.shape[1] for stream in read])
        return [part.unflatten(0, stream.shape[:2]) for part, stream in zip(parts, read, strict=True)]

    def _unembedded(self, stream: Float[Tensor, "reads d_model"]) -> Float[Tensor, "reads vocab"]:
        """`Model.logits` in float64, a slice of the vocabulary at a time."""
        family = self.model.family
        hidden = self.model.submodule(family.final_norm)(stream)
        if family.after_norm is not None:
            parent, _, name = family.after_norm.rpartition(".")
            projection = getattr(self.model.submodule(parent), name)
            hidden = hidden if projection is None else projection(hidden)
        weight, bias = weight_and_bias(_inner(self.model.submodule(family.unembedding)))
        raw = torch.cat([hidden @ part.double() for part in weight.split(max(1, SLICE // len(weight)), 1)], -1)
        raw = raw if bias is None else raw + bias.double()
        cap = getattr(self.model.module.config, family.softcap) if family.softcap is not None else None
        return raw if cap is None else torch.tanh(raw / cap) * cap


class _Widened(TorchFunctionMode):
    """Takes float64 wherever the body asks torch for float32."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is Tensor.float:
            func = Tensor.double
        return func(*map(_wide, args), **{name: _wide(value) for name, value in (kwargs or {}).items()})


def _wide(value: Any) -> Any:
    return torch.float64 if value is torch.float32 else value


class _Doubled(nn.Module):
    """A module whose weights are converted to float64 for each call."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        """What the model's own code asks a block for, such as its kind of attention."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("inner"), name)

    def weights(self) -> dict[str, Tensor]:
        """All numbers of the module, float64."""
        tensors = {**dict(self.inner.named_parameters()), **dict(self.inner.named_buffers())}
        return {name: tensor.double() for name, tensor in tensors.items() if tensor.is_floating_point()}

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module gives in float64."""
        return functional_call(self.inner, self.weights(), args, kwargs)


class _Rows(_Doubled):
    """A token embedding of which only the rows that a call asks for are converted."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__(inner)
        padding: Any = getattr(inner, "padding_idx", None)
        if padding is not None:  # it decides gradients alone, and may lie beyond the rows that are converted
            cast("Any", inner).padding_idx = None

    def forward(self, ids: Tensor) -> Tensor:
        """The rows of the tokens."""
        used, places = ids.unique(return_inverse=True)
        table: Any = self.inner.weight
        scales = {name: tensor.double() for name, tensor in self.inner.named_buffers()}
        return functional_call(self.inner, {**scales, "weight": table[used].double()}, (places,))


def _outside(module: nn.Module, blocks: set[str]) -> list[str]:
    """Modules with floating-point numbers of their own that lie in no block, the unembedding among them."""
    own = [
        path
        for path, part in module.named_modules()
        if any(t.is_floating_point() for t in (*part.parameters(recurse=False), *part.buffers(recurse=False)))
    ]
    return [path for path in own if path and not any(f"{path}.".startswith(f"{block}.") for block in blocks)]


def _inner(module: nn.Module) -> nn.Module:
    return module.inner if isinstance(module, _Doubled) else module


def _filled(ids: Tensor, length: int) -> Tensor:
    """The rows with their last token repeated up to a length."""
    return torch.cat([ids, ids[:, -1:].expand(-1, length - ids.shape[1])], 1)


def _edits(model: Model, variants: Sequence[Variant], length: int) -> list[tuple[Place, Callable[[Tensor], Tensor]]]:
    """One function per module and site: it scales the site in the rows of its variant, where the mask holds."""
    made: list[tuple[Place, Callable[[Tensor], Tensor]]] = []
    total, start = sum(len(variant.ids) for variant in variants), 0
    for variant in variants:
        where = torch.zeros(total, length, dtype=torch.bool)
        where[start : start + len(variant.ids), : variant.mask.shape[1]] = variant.mask
        start += len(variant.ids)
        for site in variant.scaled.sites if variant.scaled is not None else ():
            place = model.place(site)
            made.append((place, _scaling(place, where, 1.0 if variant.scaled is None else variant.scaled.alpha)))
    return made


def _scaling(place: Place, where: Tensor, alpha: float) -> Callable[[Tensor], Tensor]:
    def scale(activation: Tensor) -> Tensor:
        units = activation.reshape(*where.shape, place.units, -1).clone()
        units[:, :, place.index] *= torch.where(where, alpha, 1.0).double()[..., None]
        return units.reshape(activation.shape)

    return scale
