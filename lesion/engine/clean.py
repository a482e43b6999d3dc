"""The unedited run of a batch, kept so that no intervention computes again what it cannot change.

It is run through the same twin and in the same token order as the edited passes, so that an edited pass and the clean
one differ by the edit and by nothing else.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lesion.engine.batch import Batch
from lesion.engine.hooks import block_arguments, entering_stream
from lesion.engine.layout import Layout
from lesion.engine.tree import Tree
from lesion.engine.twin import Twin
from lesion.errors import InterventionError
from lesion.models.model import Model

_BY_POSITION = {"position_embeddings": 1, "position_ids": 1}
"""Block arguments that have one entry per position, and the axis of the positions."""


@dataclass
class Clean:
    """What the clean run of one batch left behind, token by token in the order of `layout`."""

    layout: Layout
    given: list[dict[str, Any]]
    """What the model hands to each block, for one row of the batch."""
    trees: list[Tree]
    streams: list[Tensor] = field(default_factory=list[Tensor])
    """(tokens, d_model) entering each block; the last one leaves the last block."""
    attention: list[Tensor] = field(default_factory=list[Tensor])
    """(tokens, d_model): what each attention module gave."""
    heads: list[Tensor] = field(default_factory=list[Tensor])
    """(tokens, n_heads * d_head): input of each attention output projection."""
    neurons: list[Tensor] = field(default_factory=list[Tensor])
    """(tokens, d_mlp): input of each MLP down projection."""
    mlp: list[Tensor] = field(default_factory=list[Tensor])
    """(tokens, d_model): what each MLP down projection gave."""
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


def _for_pass(name: str, value: Any, layout: Layout, tree: Tree | None, rows: int) -> Any:
    """One argument of a block, made for a pass from what it was for one row."""
    if name == "attention_mask":
        return value if tree is None else tree
    if value is None or isinstance(value, bool):
        return value
    if name == "alibi":
        return value.repeat(rows * layout.rows, 1, 1)
    if name in _BY_POSITION:
        axis, positions = _BY_POSITION[name], layout.positions
        if tree is None:
            return value
        parts = value if isinstance(value, tuple) else (value,)
        picked = tuple(part.index_select(axis, positions) for part in parts)
        return picked if isinstance(value, tuple) else picked[0]
    raise InterventionError(f"blocks of this family are handed '{name}': the quick way has no rule for that")


def run_clean(model: Model, twin: Twin, batch: Batch, layout: Layout) -> Clean:
    """Run a batch unedited, shared tokens once, and keep everything that an edit could start from."""
    given = block_arguments(model, batch.inputs[:1])
    stream = layout.pack(entering_stream(model, batch.inputs))[None]
    trees = [Tree(layout, _allowed(block, layout.length), recording=True) for block in given]
    clean = Clean(layout, given, trees if model.family.interface else [])
    twin.record(True)
    for layer, block in enumerate(given):
        clean.streams.append(stream[0])
        named = {n: _for_pass(n, v, layout, trees[layer] if clean.trees else None, 1) for n, v in block.items()}
        shaped = stream if clean.trees else stream.view(layout.rows, layout.length, -1)
        stream = twin.enter(layer, shaped, named).reshape(stream.shape)
    clean.streams.append(stream[0])
    _collect(clean, twin)
    twin.record(False)
    return clean


def _collect(clean: Clean, twin: Twin) -> None:
    kept: Mapping[str, list[Tensor | None]] = {
        "attention": [gate.output for gate in twin.gates],
        "heads": [slot.input for slot in twin.heads],
        "neurons": [slot.input for slot in twin.neurons],
        "mlp": [slot.output for slot in twin.neurons],
    }
    for name, tensors in kept.items():
        flat = [tensor.reshape(-1, tensor.shape[-1]) for tensor in tensors if tensor is not None]
        if len(flat) != len(twin.blocks):
            raise InterventionError("a block did not run its attention or its MLP where the family's row says")
        setattr(clean, name, flat)


def _allowed(block: Mapping[str, Any], length: int) -> Tensor:
    """Which key positions a query position may see, from the mask that the model made for one row."""
    mask = block.get("attention_mask")
    if mask is None:
        return torch.ones(length, length, dtype=torch.bool).tril()
    allowed = mask[0, 0] if mask.dtype == torch.bool else mask[0, 0] >= 0
    return allowed[-length:, -length:]
