"""The quick way: the reference's numbers for many interventions on one batch, without computing twice what is the same.

1. Everything below an intervention's lowest layer is the clean run's; at that layer the change is written as a sum.
2. A token that rows share, with everything before it, is run once per intervention (`trie`, `layout`, `tree`).
3. An intervention at late positions runs those positions only, on the clean run's keys and values.
4. The last layer and the unembedding are run at the positions whose logits are read.
5. Several interventions go through a block together, each in its own row of the pass.

Every pass runs the family's own blocks (`twin`). What a pass holds is decided by shapes alone, so a result does not
depend on memory or on which interventions are asked for together beyond the last bits of a matrix product.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from lesion.engine.attach import Source
from lesion.engine.batch import Batch
from lesion.engine.clean import Clean, run_clean
from lesion.engine.hooks import Recorder
from lesion.engine.kernels import weight_and_bias
from lesion.engine.layout import Layout
from lesion.engine.memory import Halving, is_out_of_memory, pass_bytes
from lesion.engine.reference import Outcome
from lesion.engine.tree import ReadAttention
from lesion.engine.trie import apart, trie
from lesion.engine.twin import RowEdit, Slot, Twin, apply_rows
from lesion.errors import InterventionError
from lesion.interventions.edit import edit as edit_units
from lesion.interventions.intervention import Intervention, KnockOut, Scale
from lesion.interventions.site import Kind, Site
from lesion.models.model import Model

Beginning = Literal["stream", "attention", "sum"]

TOKENS_PER_PASS = 1024
"""Tokens, over all rows of a pass, that a pass is filled up to; enough to keep a processor's matrix kernel busy."""
LOGITS_PER_PASS = 2**25
"""Logits that one pass may make (128 MiB in float32)."""


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


def not_taken(intervention: Intervention) -> str:
    """Why the quick way does not run an intervention; empty where it does."""
    if isinstance(intervention, KnockOut):
        return "the quick way cuts no attention edges"
    others = sorted({site.kind for site in intervention.sites} - {"head", "neuron", "resid_pre"})
    return f"the quick way does not edit {', '.join(others)}" if others else ""


def _varies(source: Source | None) -> bool:
    """Whether rows are given different things."""
    return source is not None and any(len(tensor) > 1 for tensor in source.values())


def _edits(mask: Tensor, *, varies: bool) -> Tensor:
    """How each token is edited, as numbers; equal ones mean equal edits."""
    return mask * torch.arange(1, len(mask) + 1)[:, None] if varies else mask.long()


class Fast:
    """A model, ready for the quick way."""

    def __init__(self, model: Model, memory: int | None = None) -> None:
        """Make the twin.

        Args:
            model: the model.
            memory: bytes that a pass may take beside weights and clean run; passes are cut to fit. None: shapes decide.
        """
        self.model = model
        self.memory = memory
        self.halvings: list[Halving] = []
        """Passes that were cut because memory did not suffice."""
        self.twin = Twin(model)
        self.quick = replace(model, module=self.twin.module)
        self.last = model.sizes.n_layers - 1

    def run(
        self,
        batch: Batch,
        interventions: Sequence[Intervention],
        baseline: Tensor | None = None,
        sources: Mapping[Intervention, Source] | None = None,
    ) -> Iterator[tuple[int, Outcome]]:
        """What `reference.run` gives for each intervention, as (number in the list, outcome), in the order of the work.

        Args:
            batch: the rows.
            interventions: what is changed, each on its own.
            baseline: the unedited logits of the same batch, for the receipts' largest change.
            sources: what the interventions add or put in place, for those that need it.

        Raises:
            InterventionError: when a site does not exist, is not one that `takes` allows, or an intervention did not
                act as it must.
        """
        cleans: dict[Layout, Clean] = {}
        for layout, jobs in self._grouped(batch, interventions, sources or {}).items():
            if layout.full not in cleans:
                cleans[layout.full] = run_clean(self.model, self.twin, batch, layout.full)
            self._note_limit(layout, jobs)
            for chunk in self._chunks(layout, jobs):
                for part, logits in self._passes(cleans[layout.full], layout, chunk, batch):
                    for row, job in enumerate(part):
                        change = None if baseline is None else float((logits[row] - baseline).abs().max())
                        yield job.index, Outcome(logits[row], job.recorder.receipt(change), "fast")

    def _passes(
        self, clean: Clean, layout: Layout, jobs: Sequence[Job], batch: Batch
    ) -> Iterator[tuple[Sequence[Job], Tensor]]:
        """One pass with its logits, or two halves of it where memory does not suffice for the whole."""
        try:
            logits = self._logits(Pass(self, clean, layout, jobs).run(), batch)
        except (RuntimeError, MemoryError) as error:  # torch's allocators say it as a RuntimeError
            if not is_out_of_memory(error):
                raise
            if len(jobs) == 1:
                need = f"{pass_bytes(self.model.sizes, layout) / 2**20:.0f} MiB"
                rows = f"{len(batch.rows)} rows of {layout.length} tokens"
                raise InterventionError(
                    f"memory does not suffice for {rows}, about {need}: ask for fewer rows"
                ) from error
            middle = len(jobs) // 2
            self.halvings.append(Halving("out of memory", jobs[0].layer, len(jobs), middle))
            again = [replace(job, recorder=self._recorder(job.intervention)) for job in jobs]
        else:
            yield jobs, logits
            return
        yield from self._passes(clean, layout, again[:middle], batch)
        yield from self._passes(clean, layout, again[middle:], batch)

    def clean(self, batch: Batch) -> Tensor:
        """The unedited logits, (rows, answer, vocab)."""
        clean = run_clean(self.model, self.twin, batch, self.layout(batch))
        return self._logits(clean.streams[-1][None, clean.layout.read], batch)[0]

    def layout(self, batch: Batch, edits: Tensor | None = None) -> Layout:
        """The order of a batch's tokens, where they are edited as `edits` numbers it."""
        if self.model.family.interface:
            return trie(batch.inputs, batch.first, edits)
        return apart(batch.inputs, batch.first)

    def _grouped(
        self, batch: Batch, interventions: Sequence[Intervention], sources: Mapping[Intervention, Source]
    ) -> dict[Layout, list[Job]]:
        """Jobs by the layout of their passes, each group in the order of its lowest layers."""
        groups: dict[Layout, list[Job]] = {}
        known: dict[tuple[str, bool], tuple[Tensor, Layout]] = {}
        for index, intervention in enumerate(interventions):
            source = sources.get(intervention)
            key = (str(intervention.positions), _varies(source))
            if key not in known:
                mask = batch.mask(intervention.positions)
                known[key] = mask, self._late(self.layout(batch, _edits(mask, varies=key[1])), mask)
            mask, layout = known[key]
            groups.setdefault(layout, []).append(self._job(index, intervention, mask, source))
        return {key: sorted(jobs, key=lambda job: (job.layer, job.beginning)) for key, jobs in groups.items()}

    def _late(self, layout: Layout, mask: Tensor) -> Layout:
        """The layout that runs what an edit under the mask can change, where the family allows."""
        touched = torch.nonzero(mask.any(0)).flatten()
        return layout.late(int(touched[0])) if self.model.family.interface and len(touched) else layout

    def _job(self, index: int, intervention: Intervention, mask: Tensor, source: Source | None) -> Job:
        if refused := not_taken(intervention):
            raise InterventionError(f"{intervention}: {refused}")
        layer = min(site.layer for site in intervention.sites)
        kinds: set[Kind] = {site.kind for site in intervention.sites if site.layer == layer}
        beginning: Beginning = "stream"
        if "resid_pre" not in kinds:
            beginning = "attention" if "head" in kinds and self.model.residual == "sequential" else "sum"
        return Job(index, intervention, self._recorder(intervention), mask, layer, beginning, source)

    def _recorder(self, intervention: Intervention) -> Recorder:
        recorder = Recorder(intervention, len({self.model.place(site).path for site in intervention.sites}))
        recorder.forwards = 1
        return recorder

    def _chunks(self, layout: Layout, jobs: Sequence[Job]) -> Iterator[list[Job]]:
        """Jobs that begin alike, as many as fill a pass."""
        chunk: list[Job] = []
        for job in jobs:
            alike = chunk and (chunk[0].layer, chunk[0].beginning) == (job.layer, job.beginning)
            if chunk and (not alike or len(chunk) >= self._most(layout, chunk[0])):
                yield chunk
                chunk = []
            chunk.append(job)
        if chunk:
            yield chunk

    def _note_limit(self, layout: Layout, jobs: Sequence[Job]) -> None:
        """Write down, once per layer, that the memory limit makes passes smaller than shapes would."""
        for job in {job.layer: job for job in jobs}.values():
            by_shape, got = self._by_shape(layout, job), self._most(layout, job)
            if got < by_shape:
                self.halvings.append(Halving("limit", job.layer, by_shape, got))

    def _by_shape(self, layout: Layout, job: Job) -> int:
        """How many jobs that begin like this one fill a pass."""
        reads = len(layout.read)
        tokens = reads if job.layer >= self.last and job.beginning != "stream" else layout.tokens
        return max(1, min(LOGITS_PER_PASS // (reads * self.model.sizes.vocab_size), TOKENS_PER_PASS // tokens))

    def _most(self, layout: Layout, job: Job) -> int:
        """How many of them share a pass: as many as fill it, or as fit into the memory limit."""
        most = self._by_shape(layout, job)
        return most if self.memory is None else min(most, max(1, self.memory // pass_bytes(self.model.sizes, layout)))

    @torch.inference_mode()
    def _logits(self, streams: Tensor, batch: Batch) -> Tensor:
        """(passes' rows, reads, d_model) -> (passes' rows, rows, answer, vocab), float32."""
        return self.quick.logits(streams).float().unflatten(1, (len(batch.rows), -1))


class Pass:
    """One way up through the blocks, with one intervention in each row."""

    def __init__(self, fast: Fast, clean: Clean, layout: Layout, jobs: Sequence[Job]) -> None:
        self.fast, self.clean, self.layout, self.jobs = fast, clean, layout, jobs
        self.twin, self.last = fast.twin, fast.last
        self.rows, self.layer = len(jobs), jobs[0].layer
        self.where = None if layout == clean.layout else layout.among
        self.read = layout.read
        self.masks = [layout.pack(job.mask) for job in jobs]
        self.times = layout.times

    @torch.inference_mode()
    def run(self) -> Tensor:
        """The stream that leaves the last block at the read positions, (rows, reads, d_model)."""
        if self.layer > self.last:
            return self._edit_stream(self._expanded(self.clean.streams[-1]), self.layer)[:, self.read]
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
        known = self._change("head").add_(self._expanded(self.clean.attention[self.layer]))
        stream = self._expanded(self.clean.streams[self.layer])
        if read_only:
            stream, known = stream[:, self.read], known[:, self.read]
        return self._block(self.layer, stream, known, read_only=read_only)

    def _from_sum(self, read_only: bool) -> Tensor:
        after = self._expanded(self.clean.streams[self.layer + 1])
        change = self._change("neuron")
        norm = self.fast.model.family.post_mlp_norm
        if norm is not None and self._touches("neuron"):
            post, mlp = self.twin.blocks[self.layer].get_submodule(norm), self._kept(self.clean.mlp[self.layer])
            change = post(mlp + change) - post(mlp)
        stream = change.add_(after)
        if self._touches("head"):
            stream.add_(self._change("head"))
        return stream[:, self.read] if read_only else stream

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
        """What scaling this layer's sites of one kind adds to the output of the projection that reads them."""
        model, layer = self.fast.model, self.layer
        source = (self.clean.heads if kind == "head" else self.clean.neurons)[layer]
        source = self._kept(source)
        path = model.family.attention_out if kind == "head" else model.family.mlp_out
        weight, _ = weight_and_bias(model.submodule(f"{model.block_path(layer)}.{path}"))
        change = source.new_zeros(self.rows, len(source), weight.shape[1])
        known: dict[tuple[int, ...], tuple[Tensor, Tensor]] = {}
        for row in range(self.rows):
            for edit in self._edits_at(layer, kind, row):
                columns = torch.arange(len(weight)).view(edit.units, -1)[list(edit.chosen)].flatten()
                if not isinstance(edit.intervention, Scale):
                    before = source[:, columns].unflatten(-1, (len(edit.chosen), -1))
                    after = edit_units(before[edit.mask], edit.intervention, edit.source_at(edit.mask))
                    change[row, edit.mask] = (after - before[edit.mask]).flatten(1) @ weight[columns]
                    edit.recorder.saw(before[edit.mask], after, edit.times[edit.mask], edit.elements)
                    continue
                alpha = edit.intervention.alpha
                if edit.chosen not in known:
                    part = source[:, columns]
                    known[edit.chosen] = part, part @ weight[columns]
                part, added = known[edit.chosen]
                torch.mul(added, edit.mask[:, None] * (alpha - 1), out=change[row])
                before, times = (
                    (part, edit.times) if bool(edit.mask.all()) else (part[edit.mask], edit.times[edit.mask])
                )
                edit.recorder.saw(before, before * alpha, times, edit.elements)
        return change

    def _edits_at(self, layer: int, kind: Kind, row: int) -> list[RowEdit]:
        """This row's edits of one kind at one layer: none, or one with all its units."""
        job, model = self.jobs[row], self.fast.model
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
        try:
            self.twin.enter(self.last, stream, given)
        except ReadAttention as reached:
            slot = self.twin.heads[self.last]
            self._set(slot, self._edits(self.last, "head", read_only=True))
            known = slot(reached.z.flatten(2))
            self._set(slot, ())
            return self._block(self.last, stream[:, self.read], known, read_only=True)
        raise AssertionError("attention of the last block did not stop at the read positions")
