"""The unedited run of a batch, kept so that no intervention computes again what it cannot change.

It is run through the same twin and in the same token order as the edited passes, so that an edited pass and the clean
one differ by the edit and by nothing else.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from lesion.engine.batch import Batch
from lesion.engine.batched.block_copies import Twin
from lesion.engine.batched.norm_consumers import Base, Of, base
from lesion.engine.batched.prefix_shared_attention import Tree
from lesion.engine.batched.token_order import Layout
from lesion.engine.hooks import entering_stream
from lesion.errors import InterventionError
from lesion.models.model import Model

_BY_POSITION = {"position_embeddings": 1, "position_ids": 1}
"""Block arguments that have one entry per position, and the axis of the positions."""


What = Literal["attention", "heads", "neurons", "mlp"]
"""What is kept of a block: attention's output, the inputs of both projections, the MLP's output."""
Reused = tuple[int, Of, int] | Literal["product"]
"""A norm's readers, by layer, stream and number; or what an edit's units add to the stream."""


@dataclass
class Clean:
    """What the clean run of one batch left behind, token by token in the order of `layout`."""

    layout: Layout
    given: list[dict[str, Any]]
    """What the model hands to each block, for one row of the batch."""
    trees: list[Tree]
    streams: list[Tensor] = field(default_factory=list[Tensor])
    """(tokens, d_model) entering each block; the last one leaves the last block."""
    kept: dict[tuple[What, int], Tensor] = field(default_factory=dict[tuple["What", int], Tensor])
    """(tokens, width) of what was asked for, by layer."""
    bases: dict[tuple[int, Of, int, Layout], Base] = field(default_factory=dict[tuple[int, Of, int, Layout], Base])
    """What readers gave, of the layer that was asked for last."""
    last: dict[Reused, tuple[object, tuple[Tensor, ...]]] = field(
        default_factory=dict[Reused, tuple[object, tuple[Tensor, ...]]]
    )
    """Products that the next pass may need again, by what they are for: the key of the last one, and it."""
    arguments: dict[tuple[int, Layout, bool, int], dict[str, Any]] = field(
        default_factory=dict[tuple[int, Layout, bool, int], dict[str, Any]]
    )

    def handed(self, layer: int, layout: Layout, rows: int, *, only_read: bool = False) -> dict[str, Any]:
        """The arguments of block `layer` for a pass of `rows` rows in the order of `layout`.

        Raises:
            InterventionError: for an argument that there is no rule for.
        """
        key = (layer, layout, only_read, rows)
        if key not in self.arguments:
            tree = self.trees[layer].with_layout(layout, only_read=only_read) if self.trees else None
            named = self.given[layer].items()
            self.arguments[key] = {name: _for_pass(name, value, layout, tree, rows) for name, value in named}
        return self.arguments[key]

    def forget_other_layers(self, layer: int) -> None:
        """Drop the products of other layers' readers: passes come layer by layer, and do not need them again."""
        self.last = {place: held for place, held in self.last.items() if place == "product" or place[0] == layer}

    def stream_of(self, layer: int, of: Of) -> Tensor:
        """What the norms of a block read: its stream, or that and what attention adds; (tokens, d_model)."""
        stream = self.streams[layer]
        return stream if of == "stream" else stream + self.kept["attention", layer]

    def base(self, twin: Twin, layer: int, of: Of, number: int, layout: Layout) -> Base:
        """The clean side of a block's `number`-th norm of one stream, at the tokens of `layout`."""
        key = (layer, of, number, layout)
        if key not in self.bases:
            if any(other[:2] != key[:2] for other in self.bases):
                self.bases.clear()
            stream = self.stream_of(layer, of)
            self.bases[key] = base(
                twin.groups[layer][of][number], stream if layout == self.layout else stream[layout.among]
            )
        return self.bases[key]


def _for_pass(name: str, value: Any, layout: Layout, tree: Tree | None, rows: int) -> Any:
    """One argument of a block, made for a pass from what it was for one row."""
    if name == "attention_mask":
        return value if tree is None else tree
    if value is None or isinstance(value, bool):
        return value
    if name == "alibi":
        return value.repeat(rows * layout.rows, *[1] * (value.ndim - 1))
    if name in _BY_POSITION:
        axis, positions = _BY_POSITION[name], layout.positions
        if tree is None:
            return value
        parts = value if isinstance(value, tuple) else (value,)
        picked = tuple(part.index_select(axis, positions) for part in parts)
        return picked if isinstance(value, tuple) else picked[0]
    raise InterventionError(f"blocks of this family are handed '{name}': the batched engine has no rule for that")


def run_clean(
    model: Model,
    twin: Twin,
    batch: Batch,
    layout: Layout,
    needs: Collection[tuple[What, int]] = (),
    *,
    late: bool = False,
) -> Clean:
    """Run a batch unedited, shared tokens once, and keep what an edit can start from.

    Args:
        model: the model.
        twin: its twin.
        batch: the rows.
        layout: the order of their tokens.
        needs: what to keep beside the streams.
        late: whether keys and values are kept for passes that run late positions only.
    """
    given = twin.arguments(model, batch)
    stream = layout.pack(entering_stream(model, batch.inputs))[None]
    trees = [
        Tree(layout, _allowed(block, layout.length, twin.window(layer)), recording=late or layer == len(given) - 1)
        for layer, block in enumerate(given)
    ]
    clean = Clean(layout, given, trees if twin.shares else [])
    for layer, block in enumerate(given):
        clean.streams.append(stream[0])
        named = {n: _for_pass(n, v, layout, trees[layer] if clean.trees else None, 1) for n, v in block.items()}
        shaped = stream if clean.trees else stream.view(layout.rows, layout.length, -1)
        wanted: list[What] = [what for what, where in needs if where == layer]
        with twin.recording(layer, on=bool(wanted)):
            stream = twin.enter(layer, shaped, named).reshape(stream.shape)
            for what in wanted:
                tensor = twin.recorded(layer, what)
                clean.kept[what, layer] = tensor.reshape(-1, tensor.shape[-1])
    clean.streams.append(stream[0])
    if twin.ending is not None and twin.ending.holds(*trees[-1].clean):
        trees[-1] = replace(trees[-1], ending=twin.ending)
    return clean


def _allowed(block: Mapping[str, Any], length: int, window: Tensor | None) -> Tensor:
    """Which key positions a query position may see, from the mask that the model made for one row, and the module's."""
    mask = block.get("attention_mask")
    if mask is None:
        allowed = torch.ones(length, length, dtype=torch.bool).tril()
    else:
        allowed = (mask[0, 0] if mask.dtype == torch.bool else mask[0, 0] >= 0)[-length:, -length:]
    return allowed if window is None else allowed & window[0, 0, :length, :length].bool()
