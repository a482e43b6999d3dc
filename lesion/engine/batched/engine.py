"""The batched engine: the reference's numbers for many interventions at once, computing nothing twice that is the same.

1. Everything below an intervention's lowest layer is the clean run's; at that layer the change is written as a sum.
2. A token that rows share, with everything before it, is run once per intervention (`trie`, `layout`, `tree`).
3. An intervention at late positions runs those positions only, on the clean run's keys and values.
4. The last layer and the unembedding are run at the positions whose logits are read; where it can, the stream itself
   stands in for that layer's keys and values (`ending`).
5. Several interventions go through a block together, each in its own row of the pass.

Every pass runs the family's own blocks (`twin`). What a pass holds is decided by shapes alone, so a result does not
depend on memory or on which interventions are asked for together beyond the last bits of a matrix product.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lesion.engine.attach import Source
from lesion.engine.batch import Batch
from lesion.engine.batched.block_copies import Twin
from lesion.engine.batched.clean_cache import Clean, What, run_clean
from lesion.engine.batched.forward_pass import Beginning, Job, Pass
from lesion.engine.batched.last_layer_attention import Ending
from lesion.engine.batched.linear_kernels import Kernel
from lesion.engine.batched.memory import Halving, is_out_of_memory, pass_bytes
from lesion.engine.batched.token_order import Layout
from lesion.engine.batched.token_trie import apart, trie
from lesion.engine.hooks import Recorder
from lesion.engine.reference import Outcome, largest_change
from lesion.errors import InterventionError
from lesion.interventions.intervention import Intervention, KnockOut
from lesion.interventions.site import Kind
from lesion.models.model import Model

TOKENS_PER_PASS = {"cpu": 1024, "cuda": 16_384}
"""Tokens, over all rows of a pass, that a pass is filled up to; enough to keep a processor's matrix kernel busy. A
CUDA device's number is a guess: none was at hand to measure it."""
FEWEST_TOKENS = 40
"""Reading a block's weights from memory takes as long as multiplying with so many tokens."""
ATTENTION = 0.4
"""Share of a block that a row is spared where its attention's output is known and its change is a sum."""
LOGITS_PER_PASS = 2**25
"""Logits that one pass may make (128 MiB in float32)."""


def not_taken(intervention: Intervention) -> str:
    """Why the batched engine does not run an intervention; empty where it does."""
    if isinstance(intervention, KnockOut):
        return "the batched engine cuts no attention edges"
    others = sorted({site.kind for site in intervention.sites} - {"head", "neuron", "resid_pre"})
    return f"the batched engine does not edit {', '.join(others)}" if others else ""


def _varies(source: Source | None) -> bool:
    """Whether rows are given different things."""
    return source is not None and any(len(tensor) > 1 for tensor in source.values())


def _edits(mask: Tensor, *, varies: bool) -> Tensor:
    """How each token is edited, as numbers; equal ones mean equal edits."""
    return mask * torch.arange(1, len(mask) + 1)[:, None] if varies else mask.long()


class Fast:
    """A model, ready for the batched engine."""

    def __init__(self, model: Model, memory: int | None = None, kernel: Kernel | None = None) -> None:
        """Make the twin.

        Args:
            model: the model.
            memory: bytes that a pass may take beside weights and clean run; passes are cut to fit. None: shapes decide.
            kernel: matrix kernel; None: by rule.
        """
        self.model = model
        self.memory = memory
        self.halvings: list[Halving] = []
        """Passes that were cut because memory did not suffice."""
        self.twin = Twin(model, kernel)
        self.quick = replace(model, module=self.twin.module)
        self.last = model.sizes.n_layers - 1
        self.tokens = TOKENS_PER_PASS.get(model.module.device.type, TOKENS_PER_PASS["cpu"])
        """Up to so many tokens share a pass."""

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
        groups = self._grouped(batch, interventions, sources or {})
        for layout, jobs in groups.items():
            if layout.full not in cleans:
                same = [other for other in groups if other.full == layout.full]
                needs: set[tuple[What, int]] = {
                    need for other in same for job in groups[other] for need in self._needs(job)
                }
                late = any(other.start for other in same)
                cleans[layout.full] = run_clean(self.model, self.twin, batch, layout.full, needs, late=late)
            self._note_limit(layout, jobs)
            for chunk in self._joined(layout, self._chunks(layout, jobs)):
                for part, logits in self._passes(cleans[layout.full], layout, chunk, batch):
                    for row, job in enumerate(part):
                        change = None if baseline is None else largest_change(logits[row], baseline)
                        yield job.index, Outcome(logits[row], job.recorder.receipt(change), "fast")
                    del logits  # before the next pass makes its own

    def _passes(
        self, clean: Clean, layout: Layout, jobs: Sequence[Job], batch: Batch
    ) -> Iterator[tuple[Sequence[Job], Tensor]]:
        """One pass with its logits, or two halves of it where memory does not suffice for the whole."""
        try:
            logits = self._logits(Pass(self.model, self.twin, clean, layout, jobs, jobs[0].layer).run(), batch)
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

    def ending(self, batch: Batch) -> Ending | None:
        """How the last block of a batch's passes attends over the stream; none where it cannot."""
        trees = run_clean(self.model, self.twin, batch, self.layout(batch)).trees
        return trees[-1].ending if trees else None

    def layout(self, batch: Batch, edits: Tensor | None = None) -> Layout:
        """The order of a batch's tokens, where they are edited as `edits` numbers it."""
        if self.twin.shares:
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
        return layout.late(int(touched[0])) if self.twin.shares and len(touched) else layout

    def _job(self, index: int, intervention: Intervention, mask: Tensor, source: Source | None) -> Job:
        if refused := not_taken(intervention):
            raise InterventionError(f"{intervention}: {refused}")
        layer = min(site.layer for site in intervention.sites)
        kinds: set[Kind] = {site.kind for site in intervention.sites if site.layer == layer}
        beginning: Beginning = "stream"
        if "resid_pre" not in kinds:
            beginning = "attention" if "head" in kinds and self.model.residual == "sequential" else "sum"
        return Job(index, intervention, self._recorder(intervention), mask, layer, beginning, source)

    def _needs(self, job: Job) -> Iterator[tuple[What, int]]:
        """What a job's first step takes from the clean run beside the streams."""
        kinds = {site.kind for site in job.intervention.sites if site.layer == job.layer}
        if job.beginning != "stream" and "head" in kinds:
            yield "heads", job.layer
        if job.beginning == "attention":
            yield "attention", job.layer
        if job.beginning == "sum" and "neuron" in kinds:
            yield "neurons", job.layer
            if self.model.family.post_mlp_norm is not None:
                yield "mlp", job.layer

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

    def _joined(self, layout: Layout, chunks: Iterable[list[Job]]) -> Iterator[list[Job]]:
        """Passes that would be small, together: jobs of higher layers join one that begins below them.

        A pass through a block costs as much as `FEWEST_TOKENS`, however few it has. So a chunk joins where the
        blocks that its rows go through in vain cost less than those that a pass of its own would begin.
        """
        held: list[Job] = []
        for chunk in chunks:
            if held and self._joins(layout, held, chunk):
                held = [replace(job, beginning="stream") for job in (*held, *chunk)]
                continue
            if held:
                yield held
            held = chunk
        if held:
            yield held

    def _joins(self, layout: Layout, held: Sequence[Job], chunk: Sequence[Job]) -> bool:
        low, high = held[0], chunk[0]
        if len(held) + len(chunk) > self._most(layout, replace(low, beginning="stream")):
            return False
        apart = high.layer - low.layer
        vain = apart * len(chunk) + (0 if low.beginning == "stream" else ATTENTION * len(held))
        return vain * layout.tokens < (self.last + 1 - high.layer) * FEWEST_TOKENS

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
        return max(1, min(LOGITS_PER_PASS // (reads * self.model.sizes.vocab_size), self.tokens // tokens))

    def _most(self, layout: Layout, job: Job) -> int:
        """How many of them share a pass: as many as fill it, or as fit into the memory limit."""
        most = self._by_shape(layout, job)
        return most if self.memory is None else min(most, max(1, self.memory // pass_bytes(self.model.sizes, layout)))

    @torch.inference_mode()
    def _logits(self, streams: Tensor, batch: Batch) -> Tensor:
        """(passes' rows, reads, d_model) -> (passes' rows, rows, answer, vocab), float32."""
        return self.quick.logits(streams).float().unflatten(1, (len(batch.rows), -1))
