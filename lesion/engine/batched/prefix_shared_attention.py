"""Attention over a trie of prompts, each key and value computed once.

One function serves every family: registered with transformers' attention interface, in the place of a module's own
`_attn`, or behind torch's attention, as the family's row says. A block hands its `attention_mask` through untouched;
the batched engine gives it a `Tree`, which says how the tokens hang together and holds the clean run's keys and values.
It goes level by level: scores of a token are those against the prefix that all rows have in common, in one product, and
against the rest of its own row, in one softmax; masks (causal, sliding window) are the family's own, looked up by
position.
"""


# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface

from lesion.engine.batched.last_layer_attention import Ending
from lesion.engine.batched.token_order import Layout
from lesion.errors import InterventionError

INTERFACE = "lesion_tree"
_IGNORED = {"dropout", "position_ids", "use_cache", "sliding_window", "is_causal", "output_attentions"}
"""Arguments that say nothing new: the mask holds the window, and there is no dropout in evaluation."""


class ReadAttention(Exception):
    """Leaves a block as soon as z is known at the positions whose logits are read; nothing went wrong."""

    def __init__(self, z: Tensor) -> None:
        super().__init__("z")
        self.z = z


class Seen(NamedTuple):
    """One level as attention sees it."""

    sequences: int
    """How many there are."""
    where: slice
    """Its tokens among those that are run."""
    path: Tensor | None
    """(sequences, keys): where each sequence's keys lie among the tokens that are run; none where they are its own."""
    kept: Tensor | None
    """(sequences, keys): where the clean keys before them lie in the clean run; none where there are none."""
    wanted: int
    """So many last tokens of each sequence want z."""
    hidden_front: Tensor | None
    """(wanted, common prefix): what they may not see; none where they see it all."""
    hidden_own: Tensor | None
    """(wanted, keys): the same for the rest of their row."""


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
    ending: Ending | None = None
    """In the last block: how these can attend over the normed stream itself."""

    @cached_property
    def prefix_mask(self) -> Tensor | None:
        """What the prefix may see of itself; none where it is everything before."""
        allowed = self.allowed[: self.layout.prefix, : self.layout.prefix]
        return None if torch.equal(allowed, torch.ones_like(allowed).tril()) else allowed

    def hidden(self, stop: int, wanted: int) -> tuple[Tensor | None, Tensor | None]:
        """What the last `wanted` tokens before `stop` may not see of the common prefix and of the rest of their row.

        None where they see it all.
        """
        hidden, common = ~self.allowed[stop - wanted : stop, :stop], self.layout.common
        parts = hidden[:, :common], hidden[:, common:]
        front, own = (part if bool(part.any()) else None for part in parts)
        return front, own

    @cached_property
    def levels(self) -> tuple["Seen", ...]:
        """What attention needs to know about each level that is run, the common prefix left out."""
        layout, offset, seen = self.layout, 0, list[Seen]()
        since = max(layout.common, layout.start)
        for level in layout.run:
            last = level.stop == layout.length
            wanted = layout.length - layout.first if self.only_read and last else level.width
            path = None if level.start == since else layout.path(level, since, level.stop)
            kept = layout.full.path(level, layout.common, layout.start) if layout.start > layout.common else None
            where = slice(offset, offset + level.count * level.width)
            if level.stop > layout.common and (last or not self.only_read):
                seen.append(Seen(level.count, where, path, kept, wanted, *self.hidden(level.stop, wanted)))
            offset = where.stop
        return tuple(seen)

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Tensor:
        """Take the place of torch's attention where a module hands it this tree as its mask."""
        given = kwargs or {}
        if func is not functional.scaled_dot_product_attention or not isinstance(given.get("attn_mask"), cls):
            raise InterventionError(f"a module hands its mask to {getattr(func, '__name__', func)}: no rule for that")
        z, _ = tree_attention(None, *args, attention_mask=given["attn_mask"], scaling=given.get("scale"))
        return z.transpose(1, 2).contiguous()

    def with_layout(self, layout: Layout, *, only_read: bool = False) -> "Tree":
        """The same block seen by another run."""
        return replace(self, layout=layout, recording=False, only_read=only_read)


def by_method(module: nn.Module) -> None:
    """Put attention over a trie in the place of an attention module's own `_attn`; the module is the twin's."""
    scale = 1 / float(getattr(module, "scale_attn", 1))

    def attend(query: Tensor, key: Tensor, value: Tensor, attention_mask: Tree) -> tuple[Tensor, None]:
        z, _ = tree_attention(module, query, key, value, attention_mask, scaling=scale)
        return z.transpose(1, 2), None

    setattr(module, "_attn", attend)  # noqa: B010  (an instance's attribute in the place of a method)


def tree_attention(
    module: nn.Module | None,
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
    stream = None if tree.ending is None else tree.ending.stream()
    if tree.ending is not None and stream is not None:
        raise ReadAttention(_ended(tree, tree.ending, query, stream, scale).transpose(1, 2))
    prefix = layout.prefix
    parts: list[Tensor] = []
    if prefix and not tree.only_read:
        parts.append(_prefix(tree, query[:, :, :prefix], key[:, :, :prefix], value[:, :, :prefix], scale, softcap))
    front = [tensor[:, :, : layout.common] for tensor in (tree.clean if layout.start else (key, value))]
    for level in tree.levels:
        q = query[:, :, level.where].unflatten(2, (level.sequences, -1))[:, :, :, -level.wanted :]
        k, v = (_along(tree, level, which, tensor) for which, tensor in enumerate((key, value)))
        if not layout.common and softcap is None:
            parts.append(_alone(level, q, k, v, scale))
        else:
            parts.append(_own(level, q, k, v, (front[0], front[1]), scale, softcap))
    by_token = [part.transpose(1, 2) for part in parts]
    z = by_token[0] if len(by_token) == 1 else torch.cat(by_token, dim=1)
    if tree.only_read:
        raise ReadAttention(z)
    return z, None


def _ended(tree: Tree, ending: Ending, query: Tensor, stream: Tensor, scale: float) -> Tensor:
    """Attention of the read positions over the normed stream: z, (batch, heads, reads, d_head)."""
    (level,), front = tree.levels, stream[:, :, : tree.layout.common]
    wanted = query[:, :, level.where].unflatten(2, (level.sequences, -1))[:, :, :, -level.wanted :]
    own = _along(tree, level, 0, stream)
    return ending.values.of(_own(level, ending.keys.met_by(wanted), own, own, (front, front), scale, None))


def _along(tree: Tree, level: Seen, which: int, tensor: Tensor) -> Tensor:
    """Keys (`which` 0) or values (1) along each sequence: (batch, groups, tokens, d) -> (…, sequences, keys, d)."""
    if level.path is None:
        own = tensor[:, :, level.where].unflatten(2, (level.sequences, -1))
    else:
        own = _picked(tensor, level.path)
    if level.kept is None:
        return own
    kept = _picked(tree.clean[which], level.kept)
    return torch.cat([kept.expand(len(own), -1, -1, -1, -1), own], dim=3)


def _picked(tensor: Tensor, path: Tensor) -> Tensor:
    """Tokens along paths, (batch, groups, tokens, d) and (sequences, keys) to (batch, groups, sequences, keys, d).

    Tokens are copied with all their groups at once, which is several times quicker than group by group.
    """
    batch, groups, tokens, width = tensor.shape
    flat = tensor.transpose(1, 2).reshape(batch * tokens, groups * width)
    where = path.flatten() if batch == 1 else (torch.arange(batch)[:, None] * tokens + path.flatten()).flatten()
    picked = flat.index_select(0, where).view(batch, *path.shape, groups, width)
    return picked.permute(0, 3, 1, 2, 4).contiguous()


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


def _alone(level: Seen, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """The wanted tokens of each sequence against its keys, where rows have no prefix in common."""
    by_sequence = [tensor.transpose(1, 2).flatten(0, 1) for tensor in (query, key, value)]
    allowed = None if level.hidden_own is None else ~level.hidden_own
    grouped = query.shape[1] != key.shape[1]
    z = functional.scaled_dot_product_attention(*by_sequence, attn_mask=allowed, scale=scale, enable_gqa=grouped)
    return z.unflatten(0, (len(query), -1)).transpose(1, 2).flatten(2, 3)


def _own(
    level: Seen,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    shared: tuple[Tensor, Tensor],
    scale: float,
    softcap: float | None,
) -> Tensor:
    """The wanted tokens of each sequence against the common prefix and the rest of their row, in one softmax."""
    batch, heads, rows, wanted, width = query.shape
    groups, keys, common = key.shape[1], key.shape[3], shared[0].shape[2]
    k_front, v_front = (tensor.expand(batch, -1, -1, -1).flatten(0, 1) for tensor in shared)
    # query heads of a group share its keys: (batch x groups, rows x each x wanted, d), and by row
    by_group = query.unflatten(1, (groups, -1)).transpose(2, 3).contiguous()
    q, by_row = by_group.view(batch * groups, -1, width), (batch * groups * rows, -1)
    own = (q.view(*by_row, width) @ key.flatten(0, 2).transpose(1, 2)).view(*q.shape[:2], keys)
    scores = _capped(torch.cat([q @ k_front.transpose(1, 2), own], dim=-1).mul_(scale), softcap)
    by_token = scores.view(-1, wanted, common + keys)
    _masked(by_token[..., :common], level.hidden_front)
    _masked(by_token[..., common:], level.hidden_own)
    seen, own = scores.softmax(-1).split([common, keys], dim=-1)
    z = (own.reshape(*by_row, keys) @ value.flatten(0, 2)).view(q.shape)
    z = torch.baddbmm(z, seen, v_front) if common else z
    return z.view(by_group.shape).transpose(2, 3).reshape(batch, heads, rows * wanted, width)


def _capped(scores: Tensor, softcap: float | None) -> Tensor:
    return scores if softcap is None else torch.tanh(scores / softcap) * softcap


def _masked(scores: Tensor, hidden: Tensor | None) -> Tensor:
    """Scores, those of hidden pairs put to -inf in place."""
    return scores if hidden is None else scores.masked_fill_(hidden, -torch.inf)


AttentionInterface.register(INTERFACE, tree_attention)
