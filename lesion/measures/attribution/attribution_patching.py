"""Which heads and neurons matter: an estimate for all of them at once from gradients, then the truth for the best.

Every head and neuron is multiplied by a gate of 1. With m the target (logit difference or the answer's logit):

* attribution patching: (alpha - 1) dm/dgate at gate 1, the linear estimate of m(scaled by alpha) - m. One backward pass
  for all heads and all neurons. Exact where m is linear in the gate; blind where it is flat at 1 (a saturated softmax).
* integrated gradients: the same gradient, averaged at the midpoints of `steps` parts of the way from alpha to 1, on
  which all gates of one layer and kind go together. Its sum over such a layer is the joint effect of the layer as steps
  grow (completeness), and the error of that is stored.

Nanda 2023, "Attribution Patching"; Sundararajan et al. 2017; Hanna et al. 2024 for integrated gradients on circuits. An
estimate names candidates only: the best, and a random sample of the others, are measured one by one by the engine.
From these the screen's recall is estimated, with its interval (`lesion.measures.attribution.recall`).
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lesion.engine.batch import Batch, in_parts
from lesion.engine.batched.memory import give_back
from lesion.engine.hooks import edited
from lesion.engine.select_engine import Engine
from lesion.errors import InputError, nearest
from lesion.identity import Document, generator
from lesion.interventions.intervention import Scale
from lesion.interventions.site import Site, head, neuron
from lesion.measures.attribution.direct_logit import total_effects
from lesion.measures.attribution.rank_correlation import spearman
from lesion.measures.attribution.recall import Recall, Stratum, recall
from lesion.measures.attribution.target import Target, places, target_changes
from lesion.measures.prompt_set import Asked
from lesion.models.model import Model
from lesion.progress import track
from lesion.stats.stability import Stability, largest, stability

Kind = Literal["head", "neuron"]
METHODS = ("gradient", "integrated")
TOKENS = 128
"""Tokens that go through a backward pass together, which keeps the activations of all: 1.6 MiB each on SmolLM2."""
SAMPLE = 20
"""Sites of each kind, beside the chosen ones, whose exact effect is measured."""
COMPLETE = 0.1
"""Largest error of a layer's sum of integrated gradients, over the largest joint effect, that is accepted."""
MOST_STEPS = 1000
"""Most steps that a message proposes."""


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
        kept = batch.inputs.shape[1] - batch.first
        logits = model.module(batch.inputs, use_cache=False, logits_to_keep=kept).logits
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
    require_screen(method, 0.0, steps)
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
        for kind, layer, gradient, joint in _gradients(model, batch, target, alpha, method, steps, positions):
            effect = (alpha - 1) * gradient
            found[kind][here, layer] = effect
            if joint is not None:
                worst = max(worst, float(np.abs(effect.sum(1) - joint).max()))
                highest = max(highest, float(np.abs(joint).max()))
    give_back()
    return Estimates(found["head"], found["neuron"], worst / highest if method == "integrated" else None)


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
    for kind, layer in track(layers, "integrated gradients"):
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
    """Whether the screen chose it; the others were drawn at random, or are all others."""


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
    recall: Recall
    """Share of the `top` sites with the largest exact effects of *all* sites that the screen chose."""
    top: int
    """How many the screen chose."""
    stability: Stability | None
    """Whether the screen chooses the same sites from resampled items, and without each template."""
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


def _require_complete(completeness: float | None, steps: int, model: Model) -> None:
    """Refuse integrated gradients whose sums are not the joint effects.

    The midpoint rule's error falls with the square of the steps, which says how many to try. A norm behind a layer
    undoes a common factor, so there the whole effect lies at a factor of 0 and steps do not reach it.
    """
    if completeness is None or completeness <= COMPLETE:
        return
    if model.family.post_attention_norm or model.family.post_mlp_norm:
        raise InputError(
            f"integrated gradients miss a layer's joint effect by {completeness:.0%} of the largest (allowed: "
            f"{COMPLETE:.0%}): {model.name} normalises what a layer writes, which undoes a common factor, so more "
            "steps do not help; use the method 'gradient'"
        )
    more = min(MOST_STEPS, max(2 * steps, math.ceil(1.2 * steps * math.sqrt(completeness / COMPLETE))))
    raise InputError(
        f"integrated gradients with {steps} steps miss a layer's joint effect by {completeness:.0%} of the largest "
        f"(allowed: {COMPLETE:.0%}), so their estimates are not shown: try {more} steps, or the method 'gradient'"
    )


def screen(
    engine: Engine,
    asked: Asked,
    target: Target = "logit_diff",
    alpha: float = 0.0,
    method: str = "gradient",
    top: int = 10,
    steps: int = 5,
    seed: int = 0,
    sample: int = SAMPLE,
    every: bool = False,
) -> Screen:
    """Estimate all heads and neurons, then measure the `top` of each kind and a sample of the others exactly.

    Args:
        engine: the model and the way it is run.
        asked: the items.
        target: `logit_diff` or `answer`.
        alpha: what sites are scaled by.
        method: `gradient` or `integrated`.
        top: sites of each kind that the screen chooses.
        steps: of integrated gradients.
        seed: draws the sample.
        sample: other sites of each kind, drawn in two strata: half of them from the next `4 * top` estimates.
        every: measure every head, so that the heads' recall is known and not estimated.

    Raises:
        InputError: for an unknown method, alpha 1, which changes nothing, or integrated gradients that are not
            complete.
    """
    require_screen(method, alpha, steps)
    found = estimate(engine.model, asked.batches, target, alpha, method, steps)
    _require_complete(found.completeness, steps, engine.model)
    most = found.heads[0].size if every else sample
    heads, neurons, completeness = found.heads.mean(0), found.neurons.mean(0), found.completeness
    stable = _stability(asked, "head", found.heads, top, seed), _stability(asked, "neuron", found.neurons, top, seed)
    del found  # every item's numbers, before exact effects need the memory
    return Screen(
        method=method,
        target=target,
        alpha=alpha,
        items=len(asked.compiled),
        completeness=completeness,
        heads=_confirmed(engine, asked, target, alpha, "head", heads, top, most, seed, stable[0]),
        neurons=_confirmed(engine, asked, target, alpha, "neuron", neurons, top, sample, seed, stable[1]),
    )


def _confirmed(
    engine: Engine,
    asked: Asked,
    target: Target,
    alpha: float,
    kind: Kind,
    mean: NDArray[np.float64],
    top: int,
    sample: int,
    seed: int,
    again: Stability | None,
) -> Screening:
    order = np.argsort(-np.abs(mean), axis=None, kind="stable")
    top = min(top, mean.size)
    strata = _strata(order[top:], 4 * top, sample, generator("screen sample", kind, seed))
    drawn = [place for _, places in strata for place in places]
    sites = [_site(kind, *divmod(int(place), mean.shape[1])) for place in [*order[:top], *drawn]]
    exact = {name: -float(effect.mean()) for name, effect in total_effects(engine, asked, sites, target, alpha).items()}
    size_of = [abs(exact[str(site)]) for site in sites]
    sizes = {int(place): size for place, size in zip([*order[:top], *drawn], size_of, strict=True)}
    found = recall(
        np.array([sizes[int(place)] for place in order[:top]]),
        [Stratum(size, np.array([sizes[int(place)] for place in places])) for size, places in strata],
    )
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
        recall=found,
        top=top,
        stability=again,
        sign_agreement=float(np.mean([(c.estimate > 0) == (c.exact > 0) for c in felt])) if felt else None,
    )


def _stability(asked: Asked, kind: Kind, each: NDArray[np.float64], top: int, seed: int) -> Stability | None:
    """How much of the `top` estimates is chosen again from resampled items, or without one template."""
    named = [item.buckets.get("template") for item in asked.items]
    templates = [name for name in named if name is not None]
    return stability(
        each.reshape(len(each), -1), largest(top), generator("screen stability", kind, seed),
        templates=templates if len(templates) == len(named) else (),
    )  # fmt: skip


def _strata(
    others: NDArray[np.int64], near: int, sample: int, rng: np.random.Generator
) -> list[tuple[int, NDArray[np.int64]]]:
    """The sites that were not chosen, those with the next best estimates apart: (size, places drawn) of each stratum.

    Args:
        others: places of all sites that were not chosen, the largest estimate first.
        near: size of the first stratum.
        sample: sites drawn in all; half of them in the first stratum, or more where the second is small.
        rng: draws them.
    """
    parts = [part for part in (others[:near], others[near:]) if len(part)]
    if len(parts) < 2:
        counts = [min(sample, len(part)) for part in parts]
    else:
        far = min(len(parts[1]), max(sample - len(parts[0]), sample // 2))
        counts = [min(len(parts[0]), sample - far), far]
    return [
        (len(part), np.sort(rng.permutation(part)[:count]))
        for part, count in zip(parts, counts, strict=True)
        if count or len(part)
    ]


def _site(kind: Kind, layer: int, index: int) -> Site:
    return head(layer, index) if kind == "head" else neuron(layer, index)


def largest_estimates(found: Estimates, count: int) -> list[Site]:
    """The heads with the largest estimated mean effects, the largest first."""
    mean = found.heads.mean(0)
    order = np.argsort(-np.abs(mean), axis=None, kind="stable")[:count]
    return [head(*divmod(int(place), mean.shape[1])) for place in order]


def joint_effect(engine: Engine, asked: Asked, sites: Sequence[Site], target: Target, alpha: float = 0.0) -> float:
    """The exact change of the mean target when several sites are scaled together."""
    edit = Scale(sites=tuple(sites), alpha=alpha)
    return float(target_changes(engine, asked, [edit], target, "joint effect").mean())
