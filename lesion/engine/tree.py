"""Attention over a shared prefix and many rows' own tokens, each key and value computed once.

Registered with transformers' attention interface, so one function serves every family that goes through it. A block
hands its `attention_mask` through untouched; the quick way gives it a `Tree`, which says how the tokens hang together
and holds the clean run's keys and values. Scores of a token are those against the prefix and against its own row, in
one softmax; masks (causal, sliding window) are the family's own, looked up by position.
"""


# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface

from lesion.engine.layout import Layout
from lesion.errors import InterventionError

INTERFACE = "lesion_tree"
_IGNORED = {"dropout", "position_ids", "use_cache", "sliding_window", "is_causal", "output_attentions"}
"""Arguments that say nothing new: the mask holds the window, and there is no dropout in evaluation."""


class ReadAttention(Exception):
    """Leaves a block as soon as z is known at the positions whose logits are read; nothing went wrong."""

    def __init__(self, z: Tensor) -> None:
        super().__init__("z")
        self.z = z


@dataclass(frozen=True)
class Tree:
    """What attention needs to know about one block's tokens."""

    layout: Layout
    allowed: Bool[Tensor, "length length"]
    """Whether a query position may see a key position, within one row."""
    clean: list[Tensor] = field(default_factory=list[Tensor])
    """Keys and values (1, groups, all tokens, d_head) of the clean run."""
    recording: bool = False
    """Whether this run fills `clean`."""
    only_read: bool = False
    """Whether z is wanted at the read positions only."""

    @cached_property
    def prefix_mask(self) -> Tensor | None:
        """What the prefix may see of itself; none where it is everything before."""
        allowed = self.allowed[: self.layout.prefix, : self.layout.prefix]
        return None if torch.equal(allowed, torch.ones_like(allowed).tril()) else allowed

    @cached_property
    def hidden(self) -> tuple[Tensor | None, Tensor | None]:
        """What the tokens that want z may not see of the prefix and of their own row; none where they see it all."""
        layout = self.layout
        wanted = layout.length - layout.first if self.only_read else layout.own - layout.kept
        hidden = ~self.allowed[-wanted:]
        parts = hidden[:, : layout.shared], hidden[:, layout.shared :]
        front, own = (part if bool(part.any()) else None for part in parts)
        return front, own

    def with_layout(self, layout: Layout, *, only_read: bool = False) -> "Tree":
        """The same block seen by another run."""
        return replace(self, layout=layout, recording=False, only_read=only_read)


def tree_attention(
    module: nn.Module,
    query: Float[Tensor, "batch heads tokens d_head"],
    key: Float[Tensor, "batch groups tokens d_head"],
    value: Float[Tensor, "batch groups tokens d_head"],
    attention_mask: Tree,
    scaling: float | None = None,
    softcap: float | None = None,
    **others: Any,
) -> tuple[Float[Tensor, "batch tokens heads d_head"], None]:
    """Give z for every token that is run; see the module's docstring.

    Raises:
        InterventionError: for an attention argument that this function does not know.
        ReadAttention: with z at the read positions, when only that is wanted.
    """
    unknown = sorted(name for name, given in others.items() if name not in _IGNORED and given is not None)
    if unknown:
        raise InterventionError(f"{type(module).__name__} passes {', '.join(unknown)} to attention: no rule for that")
    tree, layout = attention_mask, attention_mask.layout
    if tree.recording:
        tree.clean[:] = [key, value]
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    prefix, width = layout.prefix, layout.own - layout.kept
    parts: list[Tensor] = []
    if prefix and not tree.only_read:
        parts.append(_prefix(tree, query[:, :, :prefix], key[:, :, :prefix], value[:, :, :prefix], scale, softcap))
    wanted = layout.length - layout.first if tree.only_read else width
    q, k, v = (_rows(tensor[:, :, prefix:], layout.rows) for tensor in (query, key, value))
    parts.append(_own(tree, q, k, v, (key[:, :, :prefix], value[:, :, :prefix]), wanted, scale, softcap))
    z = (parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)).transpose(1, 2)
    if tree.only_read:
        raise ReadAttention(z)
    return z, None


def _rows(tensor: Tensor, rows: int) -> Tensor:
    """(batch, heads, rows * width, d) -> (batch, heads, rows, width, d)."""
    return tensor.unflatten(2, (rows, -1))


def _prefix(tree: Tree, query: Tensor, key: Tensor, value: Tensor, scale: float, softcap: float | None) -> Tensor:
    """The prefix among itself."""
    allowed = tree.prefix_mask
    if softcap is None:
        return functional.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=allowed,
            is_causal=allowed is None,
            scale=scale,
            enable_gqa=query.shape[1] != key.shape[1],
        )
    allowed = tree.allowed[: query.shape[2], : query.shape[2]]
    grouped = query.unflatten(1, (key.shape[1], -1))
    scores = _capped(grouped @ key[:, :, None].transpose(-1, -2) * scale, softcap).masked_fill(~allowed, -torch.inf)
    return (scores.softmax(-1) @ value[:, :, None]).flatten(1, 2)


def _own(
    tree: Tree,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    shared: tuple[Tensor, Tensor],
    wanted: int,
    scale: float,
    softcap: float | None,
) -> Tensor:
    """The last `wanted` tokens of each row against the prefix and the row's own tokens, in one softmax."""
    layout = tree.layout
    if layout.start:
        clean = [tensor[:, :, layout.shared :] for tensor in tree.clean]
        kept = [
            _rows(tensor, layout.rows)[:, :, :, : layout.kept].expand(key.shape[0], -1, -1, -1, -1) for tensor in clean
        ]
        key, value = (torch.cat(pair, dim=3) for pair in zip(kept, (key, value), strict=True))
        shared = (tree.clean[0][:, :, : layout.shared], tree.clean[1][:, :, : layout.shared])
    batch, heads, rows, _, width = query.shape
    groups, keys = key.shape[1], key.shape[3]
    each = heads // groups
    # (batch, groups, each, rows, wanted, d): query heads of a group share its keys
    q = (query[:, :, :, -wanted:] * scale).reshape(batch, groups, each, rows, wanted, width)
    hidden_front, hidden_own = tree.hidden
    by_row = q.transpose(2, 3).reshape(batch, groups, rows, each * wanted, width)
    own = (by_row @ key.transpose(-1, -2)).view(batch, groups, rows, each, wanted, keys)
    own = _masked(_capped(own, softcap), hidden_own)
    if not layout.shared:
        z = (own.softmax(-1).reshape(*by_row.shape[:-1], keys) @ value).view(batch, groups, rows, each, wanted, width)
        return z.transpose(2, 3).reshape(batch, heads, rows * wanted, width)
    front = q.reshape(batch, groups, -1, width) @ shared[0].transpose(-1, -2)
    front = front.view(batch, groups, each, rows, wanted, layout.shared).transpose(2, 3)
    front = _masked(_capped(front, softcap), hidden_front)
    weights = torch.cat([front, own], dim=-1).softmax(-1)
    seen, own = weights.split([layout.shared, keys], dim=-1)
    z = (own.reshape(batch, groups, rows, each * wanted, keys) @ value).view(batch, groups, rows, each, wanted, width)
    z = z + (seen.reshape(batch, groups, -1, layout.shared) @ shared[1]).view(z.shape)
    return z.transpose(2, 3).reshape(batch, heads, rows * wanted, width)


def _capped(scores: Tensor, softcap: float | None) -> Tensor:
    return scores if softcap is None else torch.tanh(scores / softcap) * softcap


def _masked(scores: Tensor, hidden: Tensor | None) -> Tensor:
    """Scores that nobody else holds, those of hidden pairs put to -inf in place."""
    return scores if hidden is None else scores.masked_fill_(hidden, -torch.inf)


AttentionInterface.register(INTERFACE, tree_attention)
