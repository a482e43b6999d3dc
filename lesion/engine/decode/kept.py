"""Keys and values of tokens that were read: rows of them copied, chosen, joined, and moved to the right.

They are transformers' own `DynamicCache`, whose layers hold `keys` and `values` of shape (rows, groups, positions,
d_head) and replace these tensors as they grow, so a copy may share them. A layer with a sliding window of W keeps the
last W - 1 positions and counts all of them in `cumulative_length`.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import copy
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn import functional
from transformers import DynamicCache

from lesion.models.sizes import Sizes

Kept = Any
"""A `DynamicCache`; None before anything was read."""


def cache_name(module: nn.Module) -> str:
    """What a module calls the keys and values of earlier tokens: `cache` since transformers 5.24."""
    return "cache" if "cache" in inspect.signature(type(module).forward).parameters else "past_key_values"


def copied(kept: Kept) -> Kept:
    """The same keys and values, which grow on their own from here."""
    if kept is None:
        return None
    twin = copy.copy(kept)
    twin.layers = [copy.copy(layer) for layer in kept.layers]
    return twin


def chosen(kept: Kept, rows: Int[Tensor, " rows"]) -> Kept:
    """The keys and values of some rows, in the order given."""
    return _changed([kept], lambda tensors: tensors[0].index_select(0, rows))


def joined(parts: Sequence[Kept]) -> Kept:
    """The rows of several one below the other; all hold as many positions."""
    return parts[0] if len(parts) == 1 else _changed(parts, torch.cat)


def moved(kept: Kept, by: int) -> Kept:
    """The same rows behind `by` positions of padding."""
    if by == 0:
        return kept
    made = _changed([kept], lambda tensors: functional.pad(tensors[0], (0, 0, by, 0)))
    for layer in made.layers:
        if layer.is_sliding:
            layer.cumulative_length += by
            layer.keys, layer.values = (t[:, :, -layer.sliding_window + 1 :] for t in (layer.keys, layer.values))
    return made


def spread(kept: Kept, pads: Int[Tensor, " rows"], length: int) -> Kept:
    """One row's first tokens in front of many rows: row r begins behind `pads[r]` and all of them end at `length`."""
    places = (torch.arange(length)[None] - pads[:, None]).clamp(min=0)
    return _changed([kept], lambda tensors: tensors[0][0].transpose(0, 1)[places].transpose(1, 2).contiguous())


def kept_whole(module: nn.Module) -> int | None:
    """Positions up to which every layer keeps all; a sliding window lets go of the first ones. None: any number."""
    config: Any = module.config
    layers: list[Any] = DynamicCache(config=config).layers
    return min((layer.sliding_window - 1 for layer in layers if layer.is_sliding), default=None)


def rope_switch(module: nn.Module) -> int | None:
    """The longest text that rotary embeddings of the first kind read, where longer texts have other angles.

    `longrope` (Phi-3) has two sets of factors, by the length of the longest row of a pass. `dynamic` changes beyond the
    model's positions only, where no text is read. None for all others.
    """
    config = module.config
    said: Any = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    if said.get("rope_type", said.get("type")) != "longrope":
        return None
    length = said.get("original_max_position_embeddings")
    return getattr(config, "original_max_position_embeddings", None) if length is None else int(length)


def kept_bytes(sizes: Sizes, length: int) -> int:
    """Bytes of one row's keys and values at `length` positions, and of the logits of a step and their copy, float32."""
    return 4 * (2 * sizes.n_layers * sizes.n_groups * sizes.d_head * length + 2 * sizes.vocab_size)


def _changed(parts: Sequence[Kept], change: Callable[[list[Tensor]], Tensor]) -> Kept:
    """A copy of the first part with every layer's tensors made of those of all parts."""
    made = copied(parts[0])
    for number, layer in enumerate(made.layers):
        if layer.keys is None or layer.get_seq_length() == 0:
            continue
        layers = [part.layers[number] for part in parts]
        layer.keys, layer.values = change([one.keys for one in layers]), change([one.values for one in layers])
    return made
