"""Which heads and neurons matter: an estimate for all of them at once from gradients, then the truth for the best.

Every head and neuron is multiplied by a gate of 1. With m the target (logit difference or the answer's logit):

* attribution patching: (alpha - 1) dm/dgate at gate 1, the linear estimate of m(scaled by alpha) - m. One backward pass
  for all heads and all neurons. Exact where m is linear in the gate; blind where it is flat at 1 (a saturated softmax).
* integrated gradients: the same gradient, averaged at the midpoints of `steps` parts of the way from alpha to 1, on
  which all gates of one layer and kind go together. Its sum over such a layer is the joint effect of the layer as steps
  grow (completeness), and the error of that is stored.

Nanda 2023, "Attribution Patching"; Sundararajan et al. 2017; Hanna et al. 2024 for integrated gradients on circuits. An
estimate names candidates only: the best are confirmed one by one by the engine, and the agreement is told.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lesion.engine.batch import Batch
from lesion.engine.choose import Engine
from lesion.engine.hooks import edited
from lesion.errors import InputError, nearest
from lesion.identity import Document, generator
from lesion.interventions.intervention import Scale
from lesion.interventions.site import Site, head, neuron
from lesion.measures.agreement import spearman
from lesion.measures.asked import Asked
from lesion.measures.attribution import Target, places, total_effects, values
from lesion.models.model import Model

Kind = Literal["head", "neuron"]
METHODS = ("gradient", "integrated")


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
    model: Model, batch: Batch, target: Target, gates: dict[tuple[Kind, int], float], positions: str = "all"
) -> tuple[dict[tuple[Kind, int], Tensor], Tensor]:
    """dm/dgate of every unit of the given layers, (batch, units) each, and m, (batch,); gates stand at the given value.

    A gate acts at the positions where the mask holds, all of them moved together; rows do not touch each other, so the
    gradient of the batch's sum is each row's own.
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
            module = model.submodule(f"{model.block_path(layer)}.{path}")
            stack.enter_context(edited(module, _through(leaf, mask)))
        logits = model.module(batch.inputs, use_cache=False).logits[:, batch.first :]
        value = target_of(logits, batch, target)
        gradients = torch.autograd.grad(value.sum(), list(leaves.values()))
    return dict(zip(leaves, gradients, strict=True)), value.detach()


def _through(leaf: Tensor, mask: Tensor) -> Callable[[Tensor], Tensor]:
    """Multiply each unit's slice by its row's gate, where the mask holds."""

    def edit(activation: Tensor) -> Tensor:
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
) -> Estimates:
    """The estimated effect of scaling every head and every neuron by `alpha`, each alone.

    Raises:
        InputError: for an unknown method or no step.
    """
    if method not in METHODS:
        raise InputError(f"'{method}' is not a way to screen; {nearest(method, METHODS)}")
    if steps < 1:
        raise InputError(f"integrated gradients need at least one step, not {steps}")
    rows = sum(len(batch.rows) for batch in batches)
    sizes = model.sizes
    found: dict[Kind, NDArray[np.float64]] = {
        "head": np.zeros((rows, sizes.n_layers, sizes.n_heads)),
        "neuron": np.zeros((rows, sizes.n_layers, sizes.d_mlp)),
    }
    worst, largest = 0.0, 1.0
    for batch in batches:
        here = list(batch.rows)
        for kind, layer, gradient, joint in _gradients(model, batch, target, alpha, method, steps, positions):
            effect = (alpha - 1) * gradient
            found[kind][here, layer] = effect
            if joint is not None:
                worst = max(worst, float(np.abs(effect.sum(1) - joint).max()))
                largest = max(largest, float(np.abs(joint).max()))
    return Estimates(found["head"], found["neuron"], worst / largest if method == "integrated" else None)


def _gradients(
    model: Model, batch: Batch, target: Target, alpha: float, method: str, steps: int, positions: str
) -> Iterator[tuple[Kind, int, NDArray[np.float64], NDArray[np.float64] | None]]:
    """(kind, layer, mean gradient (batch, units), joint effect (batch,) where the method has one)."""
    kinds: tuple[Kind, ...] = ("head", "neuron")
    layers: list[tuple[Kind, int]] = [(kind, layer) for kind in kinds for layer in range(model.sizes.n_layers)]
    if method == "gradient":
        gradients, _ = gated_gradients(model, batch, target, dict.fromkeys(layers, 1.0), positions)
        for (kind, layer), gradient in gradients.items():
            yield kind, layer, gradient.double().numpy(force=True), None
        return
    for kind, layer in layers:
        total = torch.zeros((), dtype=torch.float64)
        for step in range(steps):
            value = alpha + (step + 0.5) / steps * (1 - alpha)
            gradients, _ = gated_gradients(model, batch, target, {(kind, layer): value}, positions)
            total = total + gradients[kind, layer].double() / steps
        ends = [gated_gradients(model, batch, target, {(kind, layer): gate}, positions)[1] for gate in (alpha, 1.0)]
        yield kind, layer, total.numpy(force=True), (ends[0] - ends[1]).double().numpy(force=True)


class Candidate(Document):
    """One head or neuron: the screen's estimate and the exact effect."""

    site: str
    """L5H1 or L5N12."""
    estimate: float
    """Estimated change of the mean target when the site is scaled."""
    exact: float
    """Exact change, by the engine."""
    chosen: bool
    """Whether the screen chose it; the others were drawn at random, to see what the screen misses."""


class Screening(Document):
    """A screen of one kind of site, and how far it can be believed."""

    kind: Kind
    """`head` or `neuron`."""
    screened: int
    """Sites estimated."""
    candidates: tuple[Candidate, ...]
    """Sites confirmed exactly, the largest exact effect first."""
    rank_agreement: float | None
    """Spearman's correlation of estimate and exact effect over the confirmed sites; null where all are equal."""
    overlap: float
    """Share of the `top` largest exact effects, by size, among the confirmed that the screen ranked among its `top`."""
    top: int
    """How many the screen chose."""
    sign_agreement: float | None
    """Share of chosen sites whose estimate has the exact effect's sign, sites without any effect left out; null where
    there is none."""


class Screen(Document):
    """A whole screen."""

    method: str
    """`gradient` (attribution patching) or `integrated` (gradients)."""
    target: str
    """What was changed."""
    alpha: float
    """What sites are scaled by."""
    items: int
    """Items."""
    completeness: float | None
    """Integrated gradients: largest error of a layer's sum against its joint effect, over the largest joint effect."""
    heads: Screening
    """All heads."""
    neurons: Screening
    """All neurons."""


def screen(
    engine: Engine,
    asked: Asked,
    target: Target = "logit_diff",
    alpha: float = 0.0,
    method: str = "gradient",
    top: int = 10,
    steps: int = 5,
    seed: int = 0,
) -> Screen:
    """Estimate all heads and neurons, then confirm the `top` of each kind and as many random ones exactly.

    Raises:
        InputError: for an unknown method, or alpha 1, which changes nothing.
    """
    if alpha == 1:
        raise InputError("scaling by 1 changes nothing: there is no effect to screen for")
    found = estimate(engine.model, asked.batches, target, alpha, method, steps)
    return Screen(
        method=method,
        target=target,
        alpha=alpha,
        items=len(asked.compiled),
        completeness=found.completeness,
        heads=_confirmed(engine, asked, target, alpha, "head", found.heads.mean(0), top, seed),
        neurons=_confirmed(engine, asked, target, alpha, "neuron", found.neurons.mean(0), top, seed),
    )


def _confirmed(
    engine: Engine,
    asked: Asked,
    target: Target,
    alpha: float,
    kind: Kind,
    mean: NDArray[np.float64],
    top: int,
    seed: int,
) -> Screening:
    order = np.argsort(-np.abs(mean), axis=None, kind="stable")
    top = min(top, mean.size)
    others = np.sort(order[top:])
    drawn = generator("screen controls", kind, seed).permutation(others)[: min(top, len(others))]
    sites = [_site(kind, *divmod(int(place), mean.shape[1])) for place in [*order[:top], *drawn]]
    exact = {name: -float(effect.mean()) for name, effect in total_effects(engine, asked, sites, target, alpha).items()}
    candidates = [
        Candidate(
            site=str(site),
            estimate=float(mean[site.layer, site.index or 0]),
            exact=exact[str(site)],
            chosen=number < top,
        )
        for number, site in enumerate(sites)
    ]
    truth = sorted(candidates, key=lambda c: -abs(c.exact))
    felt = [c for c in candidates if c.chosen and c.exact != 0]
    pairs = np.array([(c.estimate, c.exact) for c in candidates])
    return Screening(
        kind=kind,
        screened=mean.size,
        candidates=tuple(truth),
        rank_agreement=spearman(pairs[:, 0], pairs[:, 1]),
        overlap=sum(c.chosen for c in truth[:top]) / top,
        top=top,
        sign_agreement=float(np.mean([(c.estimate > 0) == (c.exact > 0) for c in felt])) if felt else None,
    )


def _site(kind: Kind, layer: int, index: int) -> Site:
    return head(layer, index) if kind == "head" else neuron(layer, index)


def joint_effect(engine: Engine, asked: Asked, sites: Sequence[Site], target: Target, alpha: float = 0.0) -> float:
    """The exact change of the mean target when several sites are scaled together."""
    edit = Scale(sites=tuple(sites), alpha=alpha)
    total = 0.0
    for batch in asked.batches:
        base = values(engine.clean(batch), batch, target)
        ((_, outcome),) = engine.run(batch, [edit])
        total += float((values(outcome.logits, batch, target) - base).sum())
    return total / len(asked.compiled)
