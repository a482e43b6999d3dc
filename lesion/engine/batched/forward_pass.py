"""One way up through the blocks, with one intervention in each row: what `fast` runs many times.

A pass begins where its interventions do. What it hands to a block beside the stream, and which module the edits sit on,
is the twin's and the clean run's; what is left here is the order of the steps.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lesion.engine.attach import Source
from lesion.engine.batched.block_copies import RowEdit, Slot, Twin, apply_rows
from lesion.engine.batched.clean_cache import Clean
from lesion.engine.batched.linear_kernels import weight_and_bias
from lesion.engine.batched.norm_consumers import Group, Of, added, give
from lesion.engine.batched.prefix_shared_attention import ReadAttention
from lesion.engine.batched.token_order import Layout
from lesion.engine.hooks import Recorder
from lesion.errors import InterventionError
from lesion.interventions.edit import edit as edit_units
from lesion.interventions.intervention import Intervention, Scale
from lesion.interventions.site import Kind, Site
from lesion.models.model import Model

Beginning = Literal["stream", "attention", "sum"]
FEW = 4
"""A change counts as made from few columns where the stream is at least so many times as wide."""
WIDE = 512
"""Width of the stream from which on a known output costs less than the product that it spares."""


@dataclass(frozen=True)
class Job:
    """One intervention of a call, and where it begins."""

    index: int
    intervention: Intervention
    recorder: Recorder
    mask: Tensor
    """(rows, length): where it acts."""
    layer: int
    """The lowest layer with a site; everything below is clean."""
    beginning: Beginning
    """What the first step is: a block on an edited stream, a block with known attention, or a sum."""
    source: Source | None
    """What is added or put in place."""


class Pass:
    """One way up through the blocks, with one intervention in each row."""

    def __init__(self, model: Model, twin: Twin, clean: Clean, layout: Layout, jobs: Sequence[Job], layer: int) -> None:
        self.model, self.twin, self.clean, self.layout, self.jobs = model, twin, clean, layout, jobs
        self.last = model.sizes.n_layers - 1
        self.rows, self.layer = len(jobs), layer
        self.where = None if layout == clean.layout else layout.among
        self.read = layout.read
        self.masks = [layout.pack(job.mask) for job in jobs]
        self.times = layout.times

    @torch.inference_mode()
    def run(self) -> Tensor:
        """The stream that leaves the last block at the read positions, (rows, reads, d_model)."""
        if self.layer > self.last:
            return self._edit_stream(self._expanded(self.clean.streams[-1]), self.layer)[:, self.read]
        try:
            return self._climbed()
        finally:
            self.twin.forget()

    def _climbed(self) -> Tensor:
        read_only = self.layer == self.last
        begin = {"stream": self._from_stream, "attention": self._from_attention, "sum": self._from_sum}
        stream = begin[self.jobs[0].beginning](read_only)
        for layer in range(self.layer + 1, self.last + 1):
            stream = self._edit_stream(stream, layer)
            stream = self._block(layer, stream) if layer < self.last else self._last_block(stream)
        return self._edit_read_stream(stream)

    def _from_stream(self, read_only: bool) -> Tensor:
        stream = self._edit_stream(self._expanded(self.clean.streams[self.layer]), self.layer)
        return self._last_block(stream) if read_only else self._block(self.layer, stream)

    def _from_attention(self, read_only: bool) -> Tensor:
        known = self._change("head").add_(self._expanded(self.clean.kept["attention", self.layer]))
        stream = self._expanded(self.clean.streams[self.layer])
        if read_only:
            stream, known = stream[:, self.read], known[:, self.read]
        else:
            self._foretell(self.layer, "middle", "head", stream, known)
        return self._block(self.layer, stream, known, read_only=read_only)

    def _from_sum(self, read_only: bool) -> Tensor:
        after = self._expanded(self.clean.streams[self.layer + 1])
        change = self._change("neuron")
        norm = self.model.family.post_mlp_norm
        if norm is not None and self._touches("neuron"):
            post, mlp = self.twin.blocks[self.layer].get_submodule(norm), self._kept(self.clean.kept["mlp", self.layer])
            change = post(mlp + change) - post(mlp)
        stream = change.add_(after)
        if self._touches("head"):
            stream.add_(self._change("head"))
        if read_only:
            return stream[:, self.read]
        both: tuple[Kind, Kind] = ("head", "neuron")
        kinds: list[Kind] = [kind for kind in both if self._touches(kind)]
        if len(kinds) == 1 and self.layer + 1 < self.last and not (norm and self._touches("neuron")):
            self._foretell(self.layer + 1, "stream", kinds[0], stream)
        return stream

    def _foretell(self, layer: int, of: Of, kind: Kind, stream: Tensor, plus: Tensor | None = None) -> None:
        """Give the readers of a block's norms their outputs, where a change by few columns is all that the norms see.

        Args:
            layer: the block.
            of: which of its streams has changed.
            kind: whose scaling changed it, in the layer where the pass begins.
            stream: what the norms will read, or its first summand.
            plus: its second summand.
        """
        groups = self.twin.groups[layer].get(of, [])
        small = self.layout.start > 0 or self.model.sizes.d_model < WIDE
        if not groups or small or self._edited(layer, of):
            return
        edits = [edit for row in range(self.rows) for edit in self._edits_at(self.layer, kind, row)]
        if len(edits) != self.rows or not all(self._of_few(edit) for edit in edits):
            return
        changed = stream if plus is None else stream + plus
        for number, group in enumerate(groups):
            known: dict[tuple[int, ...], tuple[Tensor, ...]] = {}
            for edit in edits:
                if edit.chosen not in known:
                    known[edit.chosen] = self._added(group, (layer, of, number), kind, edit)
            rows = [(edit.strength(changed.dtype), known[edit.chosen]) for edit in edits]
            give(group, self.clean.base(self.twin, layer, of, number, self.layout), changed, rows)

    def _edited(self, layer: int, of: Of) -> bool:
        """Whether a row changes the stream of a block before its norms read it, on top of the change at the start."""
        sites = (site for job in self.jobs for site in job.intervention.sites)
        return of == "stream" and any((site.layer, site.kind) == (layer, "resid_pre") for site in sites)

    def _of_few(self, edit: RowEdit) -> bool:
        """Whether an edit scales few columns, so that a small product tells what it changes."""
        few = FEW * len(edit.chosen) * edit.width <= self.model.sizes.d_model
        return few and isinstance(edit.intervention, Scale)

    def _added(self, group: Group, place: tuple[int, Of, int], kind: Kind, edit: RowEdit) -> tuple[Tensor, ...]:
        """What full strength of an edit adds to a group's readers; of the edit that came last it is kept."""
        key = (*place, kind, edit.chosen, self.layout)
        if self.clean.last.get(place, (None, ()))[0] != key:
            self.clean.forget_other_layers(layer=place[0])
            self.clean.last[place] = key, added(group, *self._written(kind, edit))
        return self.clean.last[place][1]

    def _written(self, kind: Kind, edit: RowEdit) -> tuple[Tensor, Tensor]:
        """The clean inputs of the projection that an edit acts on, (tokens, inputs), and their rows of its weight."""
        model, layer = self.model, self.layer
        source = self._kept(self.clean.kept["heads" if kind == "head" else "neurons", layer])
        path = model.family.attention_out if kind == "head" else model.family.mlp_out
        weight, _ = weight_and_bias(model.submodule(f"{model.block_path(layer)}.{path}"))
        width, first, last = len(weight) // edit.units, edit.chosen[0], edit.chosen[-1]
        if edit.chosen == tuple(range(first, last + 1)):
            inputs = slice(first * width, (last + 1) * width)
        else:
            inputs = torch.arange(len(weight)).view(edit.units, -1)[list(edit.chosen)].flatten()
        return source[:, inputs], weight[inputs]

    def _touches(self, kind: Kind) -> bool:
        """Whether any row of the pass edits this kind of site in the layer where it begins."""
        sites = (site for job in self.jobs for site in job.intervention.sites)
        return any((site.layer, site.kind) == (self.layer, kind) for site in sites)

    def _expanded(self, tokens: Tensor) -> Tensor:
        """(all tokens, width) of the clean run -> (rows, tokens of this pass, width)."""
        return self._kept(tokens).expand(self.rows, -1, -1)

    def _kept(self, tokens: Tensor) -> Tensor:
        """Of the clean run's tokens, those of this pass."""
        return tokens if self.where is None else tokens[self.where]

    def _change(self, kind: Kind) -> Tensor:
        """What editing this layer's sites of one kind adds to the output of the projection that reads them."""
        change = self.clean.streams[0].new_zeros(self.rows, self.layout.tokens, self.model.sizes.d_model)
        known: dict[tuple[int, ...], tuple[Tensor, Tensor]] = {}
        for row in range(self.rows):
            for edit in self._edits_at(self.layer, kind, row):
                if edit.chosen not in known:
                    known[edit.chosen] = self._written(kind, edit)
                part, columns = known[edit.chosen]
                if not isinstance(edit.intervention, Scale):
                    before = part.unflatten(-1, (len(edit.chosen), -1))[edit.mask]
                    after = edit_units(before, edit.intervention, edit.source_at(edit.mask))
                    change[row, edit.mask] = (after - before).flatten(1) @ columns
                    edit.recorder.saw(before, after, edit.times[edit.mask], edit.elements)
                    continue
                torch.mul(self._product(kind, edit.chosen, part, columns), edit.strength(part.dtype), out=change[row])
                before, times = (
                    (part, edit.times) if bool(edit.mask.all()) else (part[edit.mask], edit.times[edit.mask])
                )
                edit.recorder.saw(before, before * edit.intervention.alpha, times, edit.elements)
        return change

    def _product(self, kind: Kind, chosen: tuple[int, ...], part: Tensor, columns: Tensor) -> Tensor:
        """What an edit's units add to the stream in the clean run; of the units that came last it is kept."""
        key = (self.layer, kind, chosen, self.layout)
        if self.clean.last.get("product", (None, ()))[0] != key:
            self.clean.last["product"] = key, (part @ columns,)
        return self.clean.last["product"][1][0]

    def _edits_at(self, layer: int, kind: Kind, row: int) -> list[RowEdit]:
        """This row's edits of one kind at one layer: none, or one with all its units."""
        job, model = self.jobs[row], self.model
        sites = [site for site in job.intervention.sites if (site.layer, site.kind) == (layer, kind)]
        if not sites:
            return []
        places = [model.place(site) for site in sites]
        width = {"head": model.sizes.d_head, "neuron": 1, "resid_pre": model.sizes.d_model}[kind]
        return [
            RowEdit(
                row=row,
                mask=self.masks[row],
                times=self.times,
                elements=int(job.mask.sum()) * len(sites) * width,
                units=places[0].units,
                chosen=tuple(place.index for place in places),
                intervention=job.intervention,
                width=width,
                source=self._source(job, sites),
                recorder=job.recorder,
            )
        ]

    def _edits(self, layer: int, kind: Kind, *, read_only: bool = False) -> list[RowEdit]:
        """All rows' edits of one kind at one layer; at the read tokens only, where only those are run."""
        edits = [edit for row in range(self.rows) for edit in self._edits_at(layer, kind, row)]
        if not read_only:
            return edits
        return [edit.among(self.read) for edit in edits]

    def _source(self, job: Job, sites: Sequence[Site]) -> Tensor | None:
        """What is added or put in place at the tokens of this pass, (tokens, sites, width)."""
        if job.source is None:
            return None
        missing = [str(site) for site in sites if site not in job.source]
        if missing:
            raise InterventionError(f"{job.intervention}: the source has nothing for {', '.join(missing)}")
        whole = [job.source[site].expand(*job.mask.shape, -1) for site in sites]
        return torch.stack([self.layout.pack(tensor) for tensor in whole], dim=1)

    def _edit_stream(self, stream: Tensor, layer: int) -> Tensor:
        return apply_rows(stream, self._edits(layer, "resid_pre"), self.rows)

    def _edit_read_stream(self, stream: Tensor) -> Tensor:
        return apply_rows(stream, self._edits(self.last + 1, "resid_pre", read_only=True), self.rows)

    def _set(self, slot: Slot, edits: Sequence[RowEdit]) -> None:
        slot.edits, slot.rows = edits, self.rows

    def _block(self, layer: int, stream: Tensor, known: Tensor | None = None, *, read_only: bool = False) -> Tensor:
        """One block; its heads are edited only where its attention is computed."""
        heads = [] if known is not None else self._edits(layer, "head")
        self._set(self.twin.heads[layer], heads)
        self._set(self.twin.neurons[layer], self._edits(layer, "neuron", read_only=read_only))
        given = self.clean.handed(layer, self.layout, self.rows)
        try:
            return self._entered(layer, stream, given, known)
        finally:
            self._set(self.twin.heads[layer], ())
            self._set(self.twin.neurons[layer], ())

    def _entered(self, layer: int, stream: Tensor, given: dict[str, object], known: Tensor | None) -> Tensor:
        if self.clean.trees:
            return self.twin.enter(layer, stream, given, known)
        by_row = (self.rows * self.layout.rows, -1, stream.shape[-1])
        known = None if known is None else known.reshape(by_row)
        return self.twin.enter(layer, stream.reshape(by_row), given, known).reshape(stream.shape)

    def _last_block(self, stream: Tensor) -> Tensor:
        """The last block at the read positions: attention there first, then the rest of the block on these alone."""
        if not self.clean.trees:
            return self._block(self.last, stream)[:, self.read]
        given = self.clean.handed(self.last, self.layout, self.rows, only_read=True)
        ending = self.clean.trees[self.last].ending
        thrifty = ending.on(self.read) if ending is not None and ending.pays(self.layout) else nullcontext()
        try:
            with thrifty:
                self.twin.enter(self.last, stream, given)
        except ReadAttention as reached:
            slot = self.twin.heads[self.last]
            self._set(slot, self._edits(self.last, "head", read_only=True))
            known = slot(reached.z.flatten(2))
            self._set(slot, ())
            return self._block(self.last, stream[:, self.read], known, read_only=True)
        raise AssertionError("attention of the last block did not stop at the read positions")
