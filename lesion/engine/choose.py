"""Which engine a model runs on: the quick way where it proves to give the reference's numbers, else the reference.

The comparison is made on the loaded weights, on random tokens, for every kind of site at all and at late positions,
with and without a shared prefix. Its error stands in the manifest; a model that fails it is run the plain way, and says
so.
"""


# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from jaxtyping import Float
from torch import Tensor

from lesion.engine import reference
from lesion.engine.attach import Source
from lesion.engine.batch import Batch, batches
from lesion.engine.fast import Fast, not_taken
from lesion.engine.kernels import Kernel
from lesion.engine.memory import Halving
from lesion.engine.reference import Outcome
from lesion.errors import InterventionError
from lesion.identity import Document, generator
from lesion.interventions.intervention import Intervention, Scale
from lesion.interventions.site import Kind, Site
from lesion.models.model import Model
from lesion.tasks.tokenization import Compiled

AGREEMENT = {"float64": 1e-8, "float32": 1e-4, "bfloat16": 0.1}
"""Largest absolute difference of log-probabilities that is accepted, in nats."""


class Choice(Document):
    """Which engine was chosen for a model, and why."""

    engine: Literal["fast", "reference"]
    """`fast` only where the comparison held."""
    kernel: Kernel
    """Matrix kernel of the quick way, by rule; the reference always takes torch's default."""
    error: float | None
    """Largest absolute difference of log-probabilities from the reference, nats; null where none was measured."""
    tolerance: float
    """What was accepted."""
    note: str
    """Why the quick way was not taken; empty where it was."""


class Engine(NamedTuple):
    """A way to run interventions on a model."""

    model: Model
    choice: Choice
    fast: Fast | None

    def clean(self, batch: Batch) -> Float[Tensor, "batch answer vocab"]:
        """The unedited logits at the answer positions, float32."""
        return reference.run(self.model, batch).logits if self.fast is None else self.fast.clean(batch)

    @property
    def halvings(self) -> Sequence[Halving]:
        """Passes of the quick way that were cut because memory did not suffice, since the engine was chosen."""
        return () if self.fast is None else self.fast.halvings

    def why_plain(self, intervention: Intervention) -> str:
        """Why an intervention is run by the reference; empty where the quick way runs it."""
        return (self.choice.note or "no quick way") if self.fast is None else not_taken(intervention)

    def run(
        self,
        batch: Batch,
        interventions: Sequence[Intervention],
        baseline: Tensor | None = None,
        sources: Mapping[Intervention, Source] | None = None,
    ) -> Iterator[tuple[int, Outcome]]:
        """(Number in the list, outcome) for each intervention, in the order of the work; see `Fast.run`.

        What the quick way does not take is run by the reference; `Outcome.engine` says by which it was.
        """
        given = sources or {}
        quick = [index for index, one in enumerate(interventions) if not self.why_plain(one)]
        if self.fast is not None and quick:
            for place, outcome in self.fast.run(batch, [interventions[i] for i in quick], baseline, given):
                yield quick[place], outcome
        for index, one in enumerate(interventions):
            if self.why_plain(one):
                yield index, reference.run(self.model, batch, one, baseline, given.get(one))


def choose(model: Model, engine: Literal["fast", "reference"] = "fast", *, memory: int | None = None) -> Engine:
    """The engine for a model; `reference` asks for the plain way without a comparison.

    Args:
        model: the model.
        engine: which to try.
        memory: bytes that a pass of the quick way may take beside weights and clean run; None: shapes decide.
    """
    tolerance = AGREEMENT[model.dtype]
    if engine == "reference":
        note = "asked for"
        return Engine(model, _plain(None, tolerance, note), None)
    try:
        fast = Fast(model, memory)
        error = disagreement(fast)
    except (InterventionError, RuntimeError, TypeError) as refused:  # a block that does not fit says so in its own way
        return Engine(model, _plain(None, tolerance, str(refused)[:500]), None)
    if not error <= tolerance:
        return Engine(model, _plain(error, tolerance, "the quick way's numbers are not the reference's"), None)
    choice = Choice(engine="fast", kernel=fast.twin.kernel, error=error, tolerance=tolerance, note="")
    return Engine(model, choice, fast)


def disagreement(fast: Fast) -> float:
    """Largest absolute difference of log-probabilities from the reference, nats, over random tokens and all kinds."""
    worst = 0.0
    shapes = (7, 2, 4, 0), (5, 1, 0, 0), (11, 1, 5, 0), (7, 2, 4, 1)  # the last: the first's shape, other tokens
    for prompt, answer, shared, draw in shapes:
        (batch,) = batches(_items(fast.model, prompt, answer, shared, draw), 2)
        wanted = [_intervention(fast.model, kind, where) for kind in _KINDS for where in ("all", "last")]
        pairs = [(fast.clean(batch), reference.run(fast.model, batch).logits)]
        for index, outcome in fast.run(batch, wanted):
            pairs.append((outcome.logits, reference.run(fast.model, batch, wanted[index]).logits))
        for quick, plain in pairs:
            difference = quick.double().log_softmax(-1) - plain.double().log_softmax(-1)
            worst = max(worst, float(difference.abs().max()))
    return worst


_KINDS: tuple[tuple[Kind, ...], ...] = (("head",), ("neuron",), ("resid_pre",), ("head", "neuron"))


def _plain(error: float | None, tolerance: float, note: str) -> Choice:
    return Choice(engine="reference", kernel="default", error=error, tolerance=tolerance, note=note)


def _items(model: Model, prompt: int, answer: int, shared: int, draw: int) -> list[Compiled]:
    """Two prompts of random tokens that share their first ones."""
    rng = generator("agreement", prompt, answer, shared, draw)
    rows = rng.integers(0, model.sizes.vocab_size, size=(2, prompt + answer))
    rows[1, :shared] = rows[0, :shared]
    made = [tuple(map(int, row)) for row in rows]
    return [Compiled(ids, {}, ids[prompt:], ids[prompt:], prompt, None) for ids in made]


def _intervention(model: Model, kinds: Sequence[Kind], positions: str) -> Scale:
    """Half of one site of each kind, in the first and in the last layer."""
    units: dict[Kind, int | None] = {"head": model.sizes.n_heads - 1, "neuron": model.sizes.d_mlp - 1}
    layers = sorted({0, model.sizes.n_layers - 1})
    sites = tuple(Site(kind=kind, layer=layer, index=units.get(kind)) for kind in kinds for layer in layers)
    return Scale(sites=sites, alpha=0.5, positions=positions)
