"""Which engine a model runs on: the batched one where its rounding is the reference's own, else the reference.

Both are held against the same model in float64 (`truth`), on the loaded weights and on random tokens, for every kind of
site, at all and at late positions, with and without a shared prefix. The batched engine is taken where its error is at
most `ALLOWED` times the reference's and no answer changes that float64 decides. The errors are recorded.
"""


# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from jaxtyping import Float
from torch import Tensor

from lesion.engine import reference
from lesion.engine.attach import Source
from lesion.engine.batch import Batch, batches
from lesion.engine.batched.engine import Fast, not_taken
from lesion.engine.batched.last_layer_attention import tried
from lesion.engine.batched.linear_kernels import Kernel, kernels
from lesion.engine.batched.memory import Halving
from lesion.engine.proof.float64_truth import Truth, Variant
from lesion.engine.reference import Outcome
from lesion.errors import InterventionError
from lesion.identity import generator
from lesion.interventions.intervention import Intervention, Scale
from lesion.interventions.site import Kind, Site
from lesion.models.model import Model
from lesion.progress import stage, track
from lesion.study.gates.evidence.model_answers import EngineChoice
from lesion.tasks.tokenizers.prompt_contract import Compiled

ALLOWED = 4.0
"""How many times the reference's own error against float64 the batched engine's may be."""
LEAST = {"float64": 1e-8, "float32": 1e-5, "bfloat16": 1e-2}
"""Error against float64 that is always accepted, nats."""
USABLE = {"float64": 1e-4, "float32": 2e-2, "bfloat16": 2.0}
"""Error of the reference itself, nats, beyond which the comparison says nothing and the reference is used."""
AGREEMENT = {"float64": 1e-8, "float32": 1e-4, "bfloat16": 0.1}
"""Difference between the engines that is always accepted in a cell of a run, nats; its prompts are longer than the rows
here, and rounding grows with them."""


class Engine(NamedTuple):
    """A way to run interventions on a model."""

    model: Model
    choice: EngineChoice
    fast: Fast | None

    def clean(self, batch: Batch) -> Float[Tensor, "batch answer vocab"]:
        """The unedited logits at the answer positions, float32."""
        reference.own_numbers(self.model)
        return reference.run(self.model, batch).logits if self.fast is None else self.fast.clean(batch)

    @property
    def halvings(self) -> Sequence[Halving]:
        """Passes of the batched engine that were cut because memory did not suffice, since the engine was chosen."""
        return () if self.fast is None else self.fast.halvings

    def why_plain(self, intervention: Intervention) -> str:
        """Why an intervention is run by the reference; empty where the batched engine runs it."""
        return (self.choice.note or "no batched engine") if self.fast is None else not_taken(intervention)

    def run(
        self,
        batch: Batch,
        interventions: Sequence[Intervention],
        baseline: Tensor | None = None,
        sources: Mapping[Intervention, Source] | None = None,
    ) -> Iterator[tuple[int, Outcome]]:
        """(Number in the list, outcome) for each intervention, in the order of the work; see `Fast.run`.

        What the batched engine does not take is run by the reference; `Outcome.engine` says by which it was.
        """
        reference.own_numbers(self.model)
        given = sources or {}
        quick = [index for index, one in enumerate(interventions) if not self.why_plain(one)]
        if self.fast is not None and quick:
            for place, outcome in self.fast.run(batch, [interventions[i] for i in quick], baseline, given):
                yield quick[place], outcome
        for index, one in enumerate(interventions):
            if self.why_plain(one):
                yield index, reference.run(self.model, batch, one, baseline, given.get(one))


def choose(
    model: Model,
    engine: Literal["fast", "reference"] = "fast",
    *,
    memory: int | None = None,
) -> Engine:
    """The engine for a model; `reference` asks for the reference without a comparison.

    Args:
        model: the model.
        engine: which to try.
        memory: bytes that a pass of the batched engine may take beside weights and clean run; None: shapes decide.
    """
    if engine == "reference":
        return Engine(model, _refused(model, Errors(), "asked for"), None)
    truths = Truths(model)
    errors, note = Errors(), ""
    for kernel in kernels(model.module):
        try:
            fast = Fast(model, memory, kernel)
            errors = measured(fast, truths)
        except (
            InterventionError,
            RuntimeError,
            TypeError,
        ) as refused:  # a block that does not fit says so in its own way
            note = str(refused)[:500]
            continue
        note = _why_not(model, errors)
        if not note:
            return Engine(model, _accepted(model, kernel, errors), fast)
    return Engine(model, _refused(model, errors, note), None)


class Errors(NamedTuple):
    """What the comparison with float64 found, nats; null where it was not made."""

    difference: float | None = None
    """Batched engine and reference."""
    batched: float | None = None
    """Batched engine and float64."""
    reference: float | None = None
    """Reference and float64."""
    decided: float = 0.0
    """Largest margin of float64 between the two best tokens where the batched engine names another one."""


def limit(model: Model, errors: Errors) -> float:
    """Largest error of the batched engine that is accepted, nats."""
    return max(LEAST[model.dtype], ALLOWED * (errors.reference or 0.0))


def _why_not(model: Model, errors: Errors) -> str:
    """Why the batched engine is not taken; empty where it is."""
    batched, plain = errors.batched, errors.reference
    if batched is None or plain is None or not plain <= USABLE[model.dtype]:
        return (
            f"the reference engine itself differs from float64 by {plain} nats (usable up to "
            f"{USABLE[model.dtype]:g}), so the batched engine cannot be checked"
        )
    most = limit(model, errors)
    if not batched <= most:
        return (
            f"the batched engine differs from float64 by {batched:.1e} nats (limit {most:.1e}, the reference differs "
            f"by {plain:.1e}), so the slower reference engine is used"
        )
    if errors.decided > most:
        return (
            f"the batched engine names another most likely token where float64 decides by {errors.decided:.1e} nats "
            f"(limit {most:.1e}), so the slower reference engine is used"
        )
    return ""


def _accepted(model: Model, kernel: Kernel, errors: Errors) -> EngineChoice:
    most = limit(model, errors)
    return EngineChoice(
        engine="fast",
        kernel=kernel,
        error=errors.difference,
        batched_error=errors.batched,
        reference_error=errors.reference,
        limit=most,
        floor=errors.batched,
        tolerance=max(AGREEMENT[model.dtype], most + (errors.reference or 0.0)),
        note="",
    )


def _refused(model: Model, errors: Errors, note: str) -> EngineChoice:
    return EngineChoice(
        engine="reference",
        kernel="default",
        error=errors.difference,
        batched_error=errors.batched,
        reference_error=errors.reference,
        limit=None if errors.reference is None else limit(model, errors),
        floor=errors.reference,
        tolerance=AGREEMENT[model.dtype],
        note=note,
    )


class Trial(NamedTuple):
    """A batch of random tokens and the edits that are tried on it."""

    batch: Batch
    edits: tuple[Scale, ...]


SHAPES = ((7, 2, 4, 0), (5, 1, 0, 0), (11, 1, 5, 0), (7, 2, 4, 1))
"""Prompt, answer and shared tokens, and which draw; the last has the first one's shape and other tokens."""
_KINDS: tuple[tuple[Kind, ...], ...] = (("head",), ("neuron",), ("resid_pre",), ("head", "neuron"))


def trials(model: Model) -> list[Trial]:
    """Every kind of edit at all and at late positions, from the first, the middle and the last layer on."""
    last = model.sizes.n_layers - 1
    layers = ((0, last), (last // 2,), (last,), (0, last))
    made: list[Trial] = []
    for number, (shape, where) in enumerate(zip(SHAPES, layers, strict=True)):
        (batch,) = batches(_items(model, *shape), 2)
        tried = _KINDS if number in (0, 3) else _KINDS[number - 1 :: 2]
        places = [("all", "last")[(number + _KINDS.index(kinds)) % 2] for kinds in tried]
        edits = [_intervention(model, kinds, set(where), at) for kinds, at in zip(tried, places, strict=True)]
        made.append(Trial(batch, tuple(edits)))
    return made


class Truths:
    """The trials with what float64 and the reference give for each; made at the first asking."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.trials = trials(model)
        self._found: list[list[tuple[Tensor, Tensor]]] | None = None

    def pairs(self) -> list[list[tuple[Tensor, Tensor]]]:
        """Per trial, for the unedited model and each edit: log-probabilities in float64, and of the reference."""
        if self._found is None:
            with stage("float64", len(self.trials) + 1) as advance:
                exact = iter(Truth(self.model).logits([one for trial in self.trials for one in _variants(trial)]))
                advance()
                self._found = []
                for trial in self.trials:
                    plain = [reference.run(self.model, trial.batch, edit).logits for edit in (None, *trial.edits)]
                    self._found.append([(next(exact).log_softmax(-1), _logs(logits)) for logits in plain])
                    advance()
        return self._found


def _variants(trial: Trial) -> list[Variant]:
    ids, first, mask = trial.batch.inputs, trial.batch.first, trial.batch.mask
    plain = Variant(ids, first, None, mask("all"))
    return [plain, *(Variant(ids, first, edit, mask(edit.positions)) for edit in trial.edits)]


def measured(fast: Fast, truths: Truths) -> Errors:
    """How far the batched engine and the reference are from float64, and from one another."""
    batched = plain = difference = decided = 0.0
    compared = list(zip(truths.trials, truths.pairs(), strict=True))
    for trial, pairs in track(compared, "batched engine"):
        found = _quick(fast, trial)
        if fast.ending(trial.batch) is not None:  # its shorter way, too, which pays in longer texts only
            with tried():
                found += _quick(fast, trial)
        for quick, (exact, beside) in zip(map(_logs, found), [*pairs] * (len(found) // len(pairs)), strict=True):
            batched = _larger(batched, quick - exact)
            plain = _larger(plain, beside - exact)
            difference = _larger(difference, quick - beside)
            decided = max(decided, _decided(quick, exact))
    return Errors(difference, batched, plain, decided)


def _quick(fast: Fast, trial: Trial) -> list[Tensor]:
    """What the batched engine gives: clean, then under each edit."""
    outcomes = {index: outcome.logits for index, outcome in fast.run(trial.batch, trial.edits)}
    return [fast.clean(trial.batch), *(outcomes[index] for index in range(len(trial.edits)))]


def _logs(logits: Tensor) -> Tensor:
    return logits.double().log_softmax(-1)


def _larger(worst: float, difference: Tensor) -> float:
    """The largest absolute value; what is no number is larger than all others."""
    found = float(difference.abs().max())
    return float("inf") if math.isnan(found) else max(worst, found)


def _decided(quick: Tensor, exact: Tensor) -> float:
    """Largest margin of the best token in float64 where the other engine names another one."""
    best = exact.topk(2, -1).values
    flipped = quick.argmax(-1) != exact.argmax(-1)
    return float((best[..., 0] - best[..., 1])[flipped].max()) if bool(flipped.any()) else 0.0


def _items(model: Model, prompt: int, answer: int, shared: int, draw: int) -> list[Compiled]:
    """Two prompts of random tokens that share their first ones; shorter where the model reads fewer."""
    if (most := model.sizes.max_positions) is not None:
        prompt = max(1, min(prompt, most + 1 - answer))
        shared = min(shared, prompt - 1)
    rng = generator("agreement", prompt, answer, shared, draw)
    rows = rng.integers(0, model.sizes.vocab_size, size=(2, prompt + answer))
    rows[1, :shared] = rows[0, :shared]
    made = [tuple(map(int, row)) for row in rows]
    return [Compiled(ids, {}, ids[prompt:], ids[prompt:], prompt, None) for ids in made]


def _intervention(model: Model, kinds: Sequence[Kind], layers: set[int], positions: str) -> Scale:
    """Half of one site of each kind in some layers."""
    units: dict[Kind, int | None] = {"head": model.sizes.n_heads - 1, "neuron": model.sizes.d_mlp - 1}
    sites = tuple(Site(kind=kind, layer=layer, index=units.get(kind)) for kind in kinds for layer in sorted(layers))
    return Scale(sites=sites, alpha=0.5, positions=positions)
