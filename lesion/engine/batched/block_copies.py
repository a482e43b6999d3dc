"""A second module tree over the same weights, whose blocks can be entered from outside with an edit in every row.

The untouched Hugging Face model stays as it is; its tree is copied (tensors are not), and in the copy three modules of
each block get a wrapper: attention, which can give back a known output instead of computing one, and the two
projections whose inputs are heads and neurons, which can edit their input. So the batched engine runs the family's own
block code, and the residual rule, norms and gates need no second implementation.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import copy
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lesion.engine.batch import Batch
from lesion.engine.batched.last_layer_attention import Role, ending
from lesion.engine.batched.linear_kernels import Kernel, kernel_rule, quicken
from lesion.engine.batched.norm_consumers import Group, Of, Read, Reader, find, form_of
from lesion.engine.batched.prefix_shared_attention import INTERFACE, ReadAttention, by_method
from lesion.engine.hooks import Recorder, block_arguments
from lesion.errors import InterventionError
from lesion.interventions.edit import rewrite
from lesion.interventions.intervention import Intervention, Scale
from lesion.models.model import Model

LENGTHS = 64
"""Lengths of rows of which it is remembered what the model hands to its blocks."""


@dataclass(frozen=True)
class RowEdit:
    """An edit that one pass still has to make: in row `row` of the pass, at the tokens where `mask` holds."""

    row: int
    mask: Tensor
    times: Tensor
    """For how many tokens of the batch each token stands."""
    elements: int
    """Elements written, over the whole batch."""
    units: int
    chosen: tuple[int, ...]
    width: int
    """Numbers of one unit."""
    intervention: Intervention
    source: Tensor | None
    """What is added or put in place, (tokens or 1, sites, width)."""
    recorder: Recorder

    def strength(self, dtype: torch.dtype) -> Tensor:
        """What a scaling adds at each token, as a multiple of what is there: (tokens, 1)."""
        alpha = self.intervention.alpha if isinstance(self.intervention, Scale) else 1.0
        return self.mask[:, None].to(dtype) * (alpha - 1)

    def source_at(self, where: Tensor) -> Tensor | None:
        """The source at some of the tokens."""
        return None if self.source is None else self.source.expand(len(self.mask), -1, -1)[where]

    def among(self, tokens: Tensor) -> "RowEdit":
        """The same edit where only some of the tokens are run."""
        return replace(self, mask=self.mask[tokens], times=self.times[tokens], source=self.source_at(tokens))

    def apply(self, activation: Tensor) -> Tensor:
        """The edited activation of this row, (1, tokens, width); what changed is recorded."""
        source = None if self.source is None else self.source[None]
        edited, before, after = rewrite(activation, self.mask[None], self.units, self.chosen, self.intervention, source)
        self.recorder.saw(before, after, self.times[self.mask], self.elements)
        return edited


def apply_rows(activation: Tensor, edits: Sequence[RowEdit], rows: int) -> Tensor:
    """All edits of a pass of `rows` rows on one activation, whose leading axes hold rows and tokens in this order."""
    if not edits:
        return activation
    seen = activation.reshape(rows, -1, activation.shape[-1]).clone()
    for edit in edits:
        seen[edit.row] = edit.apply(seen[edit.row : edit.row + 1])[0]
    return seen.view(activation.shape)


class Slot(nn.Module):
    """A projection whose input can be edited and recorded."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.edits: Sequence[RowEdit] = ()
        self.rows = 1
        self.recording = False
        self.stopping = False
        """Whether the block is left here, with the input."""
        self.input: Tensor | None = None
        self.output: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """The projection of the edited input.

        Raises:
            ReadAttention: with the input, while `stopping`.
        """
        if self.stopping:
            raise ReadAttention(x)
        x = apply_rows(x, self.edits, self.rows)
        y = self.inner(x)
        if self.recording:
            self.input, self.output = x, y.clone()
        return y


class Gate(nn.Module):
    """An attention module that gives back a known output when there is one."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.known: Tensor | None = None
        self.recording = False
        self.output: Tensor | None = None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the attention module gives: its output first."""
        if self.known is not None:
            return self.known, None
        given = self.inner(*args, **kwargs)
        if self.recording:
            self.output = given[0].clone()
        return given


def shares_prefixes(model: Model) -> bool:
    """Whether a model's attention can be put over a trie; ALiBi is added to scores in the module's own lines."""
    return model.family.attends != "inline" and not getattr(model.module.config, "alibi", False)


class Twin:
    """The copied tree of a model."""

    def __init__(self, model: Model, kernel: Kernel | None = None) -> None:
        original = model.module
        shared = {id(tensor): tensor for tensor in [*original.parameters(), *original.buffers()]}
        self.module: Any = copy.deepcopy(original, shared)
        self.kernel: Kernel = kernel_rule(original) if kernel is None else kernel
        quicken(self.module, self.kernel)
        self.shares = shares_prefixes(model)
        self.blocks: list[nn.Module] = [
            self.module.get_submodule(model.block_path(layer)) for layer in range(model.sizes.n_layers)
        ]
        if self.shares:
            self._attend_over_tries(model)
        self.groups = self._groups(model)
        self.ending = ending(model, self.blocks[-1], self.kernel) if self.shares else None
        self._given: dict[int, list[dict[str, Any]]] = {}
        family = model.family
        self.projections: list[dict[Role, nn.Module]] = [
            {
                "q": block.get_submodule(family.queries),
                "k": block.get_submodule(family.keys),
                "v": block.get_submodule(family.values),
            }
            for block in self.blocks
        ]
        """Per layer the modules whose outputs are queries, keys and values; of a fused projection all the same."""
        self.heads = [self._wrap(block, family.attention_out, Slot) for block in self.blocks]
        self.neurons = [self._wrap(block, family.mlp_out, Slot) for block in self.blocks]
        attention = family.attention_out.rpartition(".")[0]
        self.gates = [self._wrap(block, attention, Gate) for block in self.blocks]

    def _attend_over_tries(self, model: Model) -> None:
        """Put the attention function for tries where the family lets it be put."""
        attention = model.family.attention_out.rpartition(".")[0]
        modules = [block.get_submodule(attention) for block in self.blocks]
        if model.family.attends == "method" and all(hasattr(module, "_attn") for module in modules):
            for module in modules:
                by_method(module)
        else:
            inside = model.family.attends == "torch"
            self.module.config._attn_implementation = "sdpa" if inside else INTERFACE

    def window(self, layer: int) -> Tensor | None:
        """What a block's attention lets see by itself, (1, 1, positions, positions); none where the mask says all."""
        inside = getattr(self.gates[layer].inner, "bias", None)
        return inside if isinstance(inside, Tensor) and inside.ndim == 4 else None

    def _groups(self, model: Model) -> list[dict[Of, list[Group]]]:
        """Per layer and stream, its norms with the modules that read them, these wrapped; none in bfloat16."""
        if model.dtype == "bfloat16":
            return [{} for _ in self.blocks]
        return [self._groups_of(block, reads) for block, reads in zip(self.blocks, find(model), strict=True)]

    def _groups_of(self, block: nn.Module, reads: Sequence[Read]) -> dict[Of, list[Group]]:
        groups: dict[Of, list[Group]] = {}
        for read in reads:
            form = form_of(block.get_submodule(read.norm))
            readers = tuple(self._wrap(block, path, Reader) for path in read.readers)
            if form is not None:
                groups.setdefault(read.of, []).append(Group(read.of, form, readers))
        return groups

    @staticmethod
    def _wrap(block: nn.Module, path: str, wrapper: Any) -> Any:
        parent, _, name = path.rpartition(".")
        holder = block.get_submodule(parent)
        wrapped = wrapper(getattr(holder, name))
        setattr(holder, name, wrapped)
        return wrapped

    @contextmanager
    def recording(self, layer: int, *, on: bool) -> Generator[None]:
        """Make one block's wrappers keep what passes through them while the body runs, where that is wanted."""
        gate, slots = self.gates[layer], (self.heads[layer], self.neurons[layer])
        for wrapper in (gate, *slots):
            wrapper.recording = on
        try:
            yield
        finally:
            for wrapper in (gate, *slots):
                wrapper.recording, wrapper.output = False, None
            for slot in slots:
                slot.input = None

    def forget(self) -> None:
        """Take back what readers were given and did not use, as when a pass ended early, and let go of streams."""
        if self.ending is not None:
            self.ending.forget()
        for layer in self.groups:
            for groups in layer.values():
                for group in groups:
                    for reader in group.readers:
                        reader.known = None

    def recorded(self, layer: int, what: Literal["attention", "heads", "neurons", "mlp"]) -> Tensor:
        """What was kept of a block.

        Raises:
            InterventionError: when the block did not run the module.
        """
        kept = {
            "attention": self.gates[layer].output,
            "heads": self.heads[layer].input,
            "neurons": self.neurons[layer].input,
            "mlp": self.neurons[layer].output,
        }[what]
        if kept is None:
            raise InterventionError("a block did not run its attention or its MLP where the family's row says")
        return kept

    def arguments(self, model: Model, batch: Batch) -> list[dict[str, Any]]:
        """What the model hands to each block for one row; that depends on the length alone, so the newest are kept."""
        length = batch.inputs.shape[1]
        if length not in self._given:
            if len(self._given) >= LENGTHS:
                self._given.pop(next(iter(self._given)))
            self._given[length] = block_arguments(model, batch.inputs[:1])
        return self._given[length]

    def enter(self, layer: int, stream: Tensor, given: dict[str, Any], known: Tensor | None = None) -> Tensor:
        """Block `layer` on a stream, with attention's output known or computed; edits are set on the slots before."""
        self.gates[layer].known = known
        try:
            with torch.inference_mode():
                out = self.blocks[layer](stream, **given)
        finally:
            self.gates[layer].known = None
        return out[0] if isinstance(out, tuple) else out
