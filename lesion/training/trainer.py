"""The trainer: a recipe in, an embedded model's folder out; deterministic, and resumable after a kill at any moment.

The rows of a step are a function of recipe and step, nothing draws from a global generator, and one number of threads
is used; so the same command gives the same weights on one machine, whether or not it was interrupted. Nothing is
printed here: progress goes to a callback.
"""

import math
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch._dynamo.exc import BackendCompilerFailed
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_

from lesion.errors import InputError
from lesion.measures.heads.pattern_scores import robust_induction
from lesion.measures.heads.repeated_sequences import Probe
from lesion.outside.documents import read_document
from lesion.training.checkpoint import (
    FILE,
    Measurement,
    Parameters,
    State,
    load_checkpoint,
    save_checkpoint,
    write_atomically,
)
from lesion.training.evaluation.accuracy import Examination
from lesion.training.evaluation.report import MOST_REPORT_BYTES, REPORT, TrainingReport
from lesion.training.folder import save_model, weights_hash
from lesion.training.mixture import Batch, draw_batch
from lesion.training.network import GatedProjection, decay_groups, gated, new_network, set_gates
from lesion.training.recipe import Optimiser, Recipe
from lesion.training.stopping import Until
from lesion.training.vocabulary import BOS_ID, SYMBOL_IDS

_STAGE_BLOCKS, _STAGE_SEQUENCES = (7,), 16
_STAGE_FROM, _STAGE_EVERY = 200, 50


class Progress(NamedTuple):
    """What a progress bar shows after a step."""

    step: int
    steps: int
    staged: bool
    """Whether the first stage is on."""
    loss: float
    """Loss of this step, in nats."""
    measurement: Measurement | None
    """The last measurement."""


OnProgress = Callable[[Progress], None]


def train(recipe: Recipe, out: Path, resume: bool = True, on_progress: OnProgress | None = None) -> TrainingReport:
    """Train a recipe into the folder `out`, or go on where a killed training stopped.

    The folder then holds the model, its tokenizer, the report and the kept checkpoints. A finished training of the
    same recipe is not repeated: its report is returned.

    Raises:
        InputError: when the folder holds another recipe's training, or torch.compile does not work here.
    """
    out.mkdir(parents=True, exist_ok=True)
    if resume and (report := finished(recipe, out)):
        return report
    if not resume:
        for name in (FILE, REPORT):
            (out / name).unlink(missing_ok=True)
    with _threads(recipe.threads):
        training = _Training(recipe, out)
        state = training.run(on_progress)
    save_model(training.network, training.parameters, out)
    report = TrainingReport.of(recipe, state, weights_hash(out))
    write_atomically(out / REPORT, report.model_dump_json(indent=1).encode())
    (out / FILE).unlink()
    return report


def finished(recipe: Recipe, out: Path) -> TrainingReport | None:
    """The report of a finished training of this recipe in `out`, if there is one.

    Raises:
        InputError: when the folder holds the report of another recipe.
    """
    if not (out / REPORT).exists():
        return None
    report = read_document(out / REPORT, TrainingReport, MOST_REPORT_BYTES)
    if report.recipe.hash() != recipe.hash():
        raise InputError(f"{out} holds a training of another recipe; give another folder, or start afresh")
    return report


def learning_rate(optimiser: Optimiser, step: int, steps: int, until: Until | None = None) -> float:
    """Linear warm-up to the peak, then a cosine down to the floor; `step` counts from 0.

    From `steps` on, `until` gives further cycles.
    """
    if until and step >= steps:
        return optimiser.peak * until.rate(optimiser.floor, step - steps)
    if step < optimiser.warmup:
        return optimiser.peak * (step + 1) / optimiser.warmup
    done = (step - optimiser.warmup) / max(1, steps - optimiser.warmup)
    share = optimiser.floor + (1 - optimiser.floor) * 0.5 * (1 + math.cos(math.pi * done))
    return optimiser.peak * share


def head_factors(recipe: Recipe, batch: Batch, staged: bool) -> Float[Tensor, "batch layers heads"] | None:
    """Which heads are on (1) and off (0) in each row; None when all are on."""
    if recipe.stage is None or not (staged or recipe.drop):
        return None
    factors = torch.ones(len(batch.ids), recipe.shape.layers, recipe.shape.heads)
    if staged:
        if recipe.stage.lower is not None:
            factors[:, 0, recipe.stage.lower :] = 0
        factors[:, 1, recipe.stage.heads :] = 0
        factors[:, 2:] = 0
    else:
        factors[torch.as_tensor(batch.dropped), 1, : recipe.stage.heads] = 0
    return factors


class _Training:
    """One training: the network, its optimiser and the state, advanced step by step."""

    def __init__(self, recipe: Recipe, out: Path):
        self.recipe, self.out = recipe, out
        self.network = network = new_network(recipe)
        self.parameters: Parameters = dict(network.named_parameters())
        betas = recipe.optimiser.betas
        groups = decay_groups(network, recipe.optimiser.decay)
        self.optimiser: Any = torch.optim.AdamW(groups, lr=recipe.optimiser.peak, betas=betas, fused=True)
        fresh = State(recipe=recipe.hash())
        self.state = load_checkpoint(out, self.parameters, self.optimiser, fresh.recipe) or fresh
        self.examination = Examination(recipe)
        self.staged = recipe.stage is not None and self.state.stage_end is None

    @property
    def end(self) -> int:
        """The step at which the training ends, as far as its measurements tell."""
        recipe = self.recipe
        if recipe.until is None:
            return recipe.steps
        return recipe.until.end(recipe.steps, ((one.step, one.accuracy) for one in self.state.history))

    def run(self, on_progress: OnProgress | None) -> State:
        """Take all remaining steps."""
        recipe = self.recipe
        self.network.train()
        with gated(self.network, recipe.family) as gates:
            graded_loss = self._loss_function(gates)
            while self.state.step < self.end:
                started = time.process_time()
                set_gates(gates, None)
                self._end_stage_when_due()
                loss = self._step(graded_loss)
                set_gates(gates, None)
                self._account(loss, started)
                if on_progress:
                    last = self.state.history[-1] if self.state.history else None
                    on_progress(Progress(self.state.step, self.end, self.staged, loss, last))
                if self.state.step in recipe.keep:
                    self._keep()
        return self.state

    def _loss_function(self, gates: list[GatedProjection]) -> Callable[..., Tensor]:
        def graded_loss(
            ids: Int[Tensor, "batch length"], labels: Int[Tensor, "batch length"], factors: Tensor | None
        ) -> Float[Tensor, ""]:
            set_gates(gates, factors)
            logits = self.network(input_ids=ids, use_cache=False).logits
            return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)

        return cast("Any", torch).compile(graded_loss, dynamic=False) if self.recipe.compile else graded_loss

    def _step(self, graded_loss: Callable[..., Tensor]) -> float:
        recipe, step = self.recipe, self.state.step
        batch = draw_batch(recipe, step, self.staged)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(recipe.optimiser, step, recipe.steps, recipe.until)
        factors = head_factors(recipe, batch, self.staged)
        try:
            loss = graded_loss(torch.as_tensor(batch.ids), torch.as_tensor(batch.labels), factors)
        except BackendCompilerFailed as error:
            raise InputError(
                "torch.compile does not work here (it needs a C++ compiler and Python's headers); "
                "install them, or write `compile: false` in the recipe"
            ) from error
        self.optimiser.zero_grad()
        cast("Any", loss).backward()
        clip_grad_norm_(self.network.parameters(), recipe.optimiser.clip)
        self.optimiser.step()
        return loss.item()

    def _end_stage_when_due(self) -> None:
        stage, step = self.recipe.stage, self.state.step
        if not self.staged or stage is None or step < _STAGE_FROM or step % _STAGE_EVERY:
            return
        probe = Probe(blocks=stage.blocks or _STAGE_BLOCKS, sequences=_STAGE_SEQUENCES)
        scores = robust_induction(self.network, SYMBOL_IDS, BOS_ID, probe)[1, : stage.heads]
        if float(scores.min()) > stage.threshold or step >= stage.most:
            self.state = self.state.model_copy(update={"stage_end": step})
            self.staged = False

    def _account(self, loss: float, started: float) -> None:
        """Advance the state by one step; measure and write a checkpoint where they are due."""
        recipe, state = self.recipe, self.state
        step, loss_sum, history = state.step + 1, state.loss_sum + loss, state.history
        due = step == self.end
        if due or step % recipe.measure_every == 0:
            since = step - (history[-1].step if history else 0)
            history, loss_sum = (*history, self.examination.measure(self.network, step, loss_sum / since)), 0.0
        seconds = state.cpu_seconds + time.process_time() - started
        update = {"step": step, "loss_sum": loss_sum, "history": history, "cpu_seconds": seconds}
        self.state = state.model_copy(update=update)
        if due or step % recipe.checkpoint_every == 0 or step == self.end:
            save_checkpoint(self.out, self.parameters, self.optimiser, self.state)

    def _keep(self) -> None:
        save_model(self.network, self.parameters, self.out / "checkpoints" / f"step-{self.state.step:06d}")


@contextmanager
def _threads(count: int) -> Generator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
