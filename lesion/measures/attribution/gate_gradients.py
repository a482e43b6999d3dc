"""Gradients at gates of 1 (or 0): an estimate of what editing each head and each neuron alone would do.

Every head and neuron is multiplied by a gate of 1. With m the target (logit difference or the answer's logit):

* attribution patching: (alpha - 1) dm/dgate at gate 1, the linear estimate of m(scaled by alpha) - m. One backward pass
  for all heads and all neurons. Exact where m is linear in the gate; blind where it is flat at 1 (a saturated softmax).
* towards the corrupted prompt: a gate g of 0 mixes its activation in, h -> h + g (h' - h), and dm/dg estimates what
  patching h' does. Exact, blind and averaged as above.
* integrated gradients: the same gradient, averaged at the midpoints of `steps` parts of the way from alpha to 1, on
  which all gates of one layer and kind go together. Its sum over such a layer is the joint effect of the layer as steps
  grow (completeness), and the error of that is stored.

Nanda 2023, "Attribution Patching"; Sundararajan et al. 2017; Hanna et al. 2024 for integrated gradients on circuits.
"""


# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lesion.engine.batch import Batch, in_parts
from lesion.engine.batched.memory import give_back
from lesion.engine.hooks import edited, recorded
from lesion.errors import InputError, nearest
from lesion.measures.attribution.target import Target, places
from lesion.models.model import Model
from lesion.progress import track

Kind = Literal["head", "neuron"]
METHODS = ("gradient", "integrated")
Towards = Literal["scale", "corrupted"]
"""What a gate does: it multiplies the activation, or mixes in that of the corrupted prompt."""
TOWARDS: tuple[Towards, ...] = get_args(Towards)
TOKENS = 128
"""Tokens that go through a backward pass together, which keeps the activations of all: 1.6 MiB each on SmolLM2."""


def require_towards(name: str) -> Towards:
    """What a screen goes towards, by its name.

    Raises:
        InputError: for an unknown one.
    """
    if name not in TOWARDS:
        raise InputError(f"'{name[:40]}' is nothing that a screen goes towards; {nearest(name, TOWARDS)}")
    return TOWARDS[TOWARDS.index(name)]


def require_screen(method: str, alpha: float, steps: int) -> None:
    """Make sure that a screen can be made.

    Raises:
        InputError: for an unknown method, no step, or alpha 1, which changes nothing.
    """
    if method not in METHODS:
        raise InputError(f"'{method}' is not a way to screen; {nearest(method, METHODS)}")
    if steps < 1:
        raise InputError(f"integrated gradients need at least one step, not {steps}")
    if alpha == 1:
        raise InputError("scaling by 1 changes nothing: there is no effect to screen for")


class Estimates(NamedTuple):
    """Estimated change of the target, per item, for every gate."""

    heads: NDArray[np.float64]
    """(items, layers, heads)."""
    neurons: NDArray[np.float64]
    """(items, layers, neurons)."""
    completeness: float | None
    """Integrated gradients: largest difference between a layer's sum and its joint effect, over the largest joint
    effect (or 1); None for the gradient at 1, which promises no sum."""


def target_of(logits: Tensor, batch: Batch, target: Target) -> Tensor:
    """The target of each row as a tensor that gradients can pass, (batch,); logits are (batch, answer, vocab)."""
    row, place = torch.arange(len(logits)), places(batch, target)
    right = logits[row, place, batch.answer[row, place]]
    return right if target == "answer" else right - logits[row, place, batch.wrong[row, place]]


def gated_gradients(
    model: Model,
    batch: Batch,
    target: Target,
    gates: dict[tuple[Kind, int], float],
    positions: str = "all",
    corrupted: Mapping[str, Tensor] | None = None,
) -> tuple[dict[tuple[Kind, int], Tensor], Tensor]:
    """dm/dgate of every unit of the given layers, (batch, units) each, and m, (batch,); gates stand at the given value.

    A gate acts at the positions where the mask holds, all of them moved together; rows do not touch each other, so the
    gradient of the batch's sum is each row's own. `corrupted` holds, by module, what the corrupted prompts have there;
    a gate then mixes it in.
    """
    mask = batch.mask(positions)
    leaves: dict[tuple[Kind, int], Tensor] = {}
    dtype = next(model.module.parameters()).dtype
    with ExitStack() as stack, torch.enable_grad():
        for (kind, layer), value in gates.items():
            units = model.sizes.n_heads if kind == "head" else model.sizes.d_mlp
            leaf = torch.full((len(batch.rows), units), value, dtype=dtype, requires_grad=True)
            leaves[kind, layer] = leaf
            path = model.family.attention_out if kind == "head" else model.family.mlp_out
            name = f"{model.block_path(layer)}.{path}"
            other = None if corrupted is None else corrupted[name]
            stack.enter_context(edited(model.submodule(name), _through(leaf, mask, other)))
        kept = batch.inputs.shape[1] - batch.first
        logits = model.module(batch.inputs, use_cache=False, logits_to_keep=kept).logits
        value = target_of(logits, batch, target)
        gradients = torch.autograd.grad(value.sum(), list(leaves.values()))
    return dict(zip(leaves, gradients, strict=True)), value.detach()


def _through(leaf: Tensor, mask: Tensor, other: Tensor | None) -> Callable[[Tensor], Tensor]:
    """Multiply each unit's slice by its row's gate, or mix another activation in by it, where the mask holds."""

    def edit(activation: Tensor) -> Tensor:
        if other is not None:
            gate = torch.where(mask[..., None], leaf[:, None], torch.zeros((), dtype=leaf.dtype))
            here, there = (each.reshape(*mask.shape, leaf.shape[1], -1) for each in (activation, other))
            return (here + gate[..., None] * (there - here)).reshape(activation.shape)
        factor = torch.where(mask[..., None], leaf[:, None], torch.ones((), dtype=leaf.dtype))
        parts = activation.reshape(*mask.shape, leaf.shape[1], -1)
        return (parts * factor[..., None]).reshape(activation.shape)

    return edit


def estimate(
    model: Model,
    batches: Sequence[Batch],
    target: Target = "logit_diff",
    alpha: float = 0.0,
    method: str = "gradient",
    steps: int = 5,
    positions: str = "all",
    towards: Towards = "scale",
) -> Estimates:
    """The estimated effect on every head and every neuron, each alone, of scaling by `alpha` or of patching.

    Raises:
        InputError: for an unknown method, no step, or items without corrupted prompts that are asked towards them.
    """
    require_screen(method, 0.0, steps)
    if towards == "corrupted" and any(batch.twins is None for batch in batches):
        raise InputError(
            "a screen towards corrupted prompts needs one that aligns for every item: take a task that has them "
            "(ioi, greater_than, arithmetic, a file with corrupted_prompt)"
        )
    way = _Way(target, alpha, method, steps, positions, towards)
    rows = sum(len(batch.rows) for batch in batches)
    sizes = model.sizes
    found: dict[Kind, NDArray[np.float64]] = {
        "head": np.zeros((rows, sizes.n_layers, sizes.n_heads)),
        "neuron": np.zeros((rows, sizes.n_layers, sizes.d_mlp)),
    }
    worst, highest = 0.0, 1.0
    parts = [part for batch in batches for part in in_parts(batch, max(1, TOKENS // batch.inputs.shape[1]))]
    for batch in track(parts, "gradients") if method == "gradient" else parts:
        here = list(batch.rows)
        for kind, layer, gradient, joint in _gradients(model, batch, way):
            effect = (way.stop - way.start) * gradient
            found[kind][here, layer] = effect
            if joint is not None:
                worst = max(worst, float(np.abs(effect.sum(1) - joint).max()))
                highest = max(highest, float(np.abs(joint).max()))
    give_back()
    return Estimates(found["head"], found["neuron"], worst / highest if method == "integrated" else None)


class _Way(NamedTuple):
    """How effects are estimated."""

    target: Target
    alpha: float
    method: str
    steps: int
    positions: str
    towards: Towards

    @property
    def start(self) -> float:
        """Gate of the unedited run."""
        return 1.0 if self.towards == "scale" else 0.0

    @property
    def stop(self) -> float:
        """Gate of the edited run."""
        return self.alpha if self.towards == "scale" else 1.0


def _gradients(
    model: Model, batch: Batch, way: _Way
) -> Iterator[tuple[Kind, int, NDArray[np.float64], NDArray[np.float64] | None]]:
    """(kind, layer, mean gradient (batch, units), joint effect (batch,) where the method has one)."""
    kinds: tuple[Kind, ...] = ("head", "neuron")
    layers: list[tuple[Kind, int]] = [(kind, layer) for kind in kinds for layer in range(model.sizes.n_layers)]
    other = _corrupted(model, batch) if way.towards == "corrupted" else None

    def at(gates: dict[tuple[Kind, int], float]) -> tuple[dict[tuple[Kind, int], Tensor], Tensor]:
        return gated_gradients(model, batch, way.target, gates, way.positions, other)

    if way.method == "gradient":
        for (kind, layer), gradient in at(dict.fromkeys(layers, way.start))[0].items():
            yield kind, layer, gradient.double().numpy(force=True), None
        return
    for kind, layer in track(layers, "integrated gradients"):
        total = torch.zeros((), dtype=torch.float64)
        for step in range(way.steps):
            value = way.stop + (step + 0.5) / way.steps * (way.start - way.stop)
            total = total + at({(kind, layer): value})[0][kind, layer].double() / way.steps
        ends = [at({(kind, layer): gate})[1] for gate in (way.stop, way.start)]
        yield kind, layer, total.numpy(force=True), (ends[0] - ends[1]).double().numpy(force=True)


def _corrupted(model: Model, batch: Batch) -> dict[str, Tensor]:
    """Module -> what the corrupted prompts have at its input."""
    assert batch.twins is not None  # asked for before the first batch
    family = model.family
    paths = [
        f"{model.block_path(layer)}.{part}"
        for layer in range(model.sizes.n_layers)
        for part in (family.attention_out, family.mlp_out)
    ]
    with recorded(model, paths) as seen, torch.no_grad():
        model.module(batch.twins[:, :-1], use_cache=False, logits_to_keep=1)
    return {path: seen[path].input.detach() for path in paths}
