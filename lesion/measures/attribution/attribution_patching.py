"""Which heads and neurons matter: an estimate for all of them at once from gradients, then the truth for the best.

An estimate (`lesion.measures.attribution.gate_gradients`) names candidates only: the best, and a random sample of the
others, are measured one by one by the engine. From these the screen's recall is estimated, with its interval
(`lesion.measures.attribution.recall`).
"""


# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from lesion.engine.replacement_activations import Library
from lesion.engine.select_engine import Engine
from lesion.errors import InputError
from lesion.identity import Document, generator
from lesion.interventions.intervention import Scale
from lesion.interventions.site import Site, head, neuron
from lesion.measures.attribution.expected_loss import exact_edits, scalings
from lesion.measures.attribution.gate_gradients import Estimates, Kind, Towards, estimate, require_screen
from lesion.measures.attribution.rank_correlation import spearman
from lesion.measures.attribution.recall import Recall, Stratum, recall
from lesion.measures.attribution.target import Target, target_changes
from lesion.measures.prompt_set import Asked
from lesion.models.model import Model
from lesion.stats.stability import Stability, largest, stability

SAMPLE = 20
"""Sites of each kind, beside the chosen ones, whose exact effect is measured."""
COMPLETE = 0.1
"""Largest error of a layer's sum of integrated gradients, over the largest joint effect, that is accepted."""
MOST_STEPS = 1000
"""Most steps that a message proposes."""


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
    """What sites are scaled by; of no meaning towards corrupted prompts."""
    towards: Towards = "scale"
    """What was done: scaled, or patched from the corrupted prompts."""
    items: int
    """Items."""
    completeness: float | None
    """Integrated gradients: largest error of a layer's sum against its joint effect, over the largest joint effect."""
    heads: Screening
    """All heads."""
    neurons: Screening
    """All neurons."""


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
    towards: Towards = "scale",
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
        towards: `scale` by alpha, or `corrupted`: patch from the items' corrupted prompts.

    Raises:
        InputError: for an unknown method, no corrupted prompts, alpha 1, which changes nothing, or integrated
            gradients that are not complete.
    """
    require_screen(method, alpha, steps)
    found = estimate(engine.model, asked.batches, target, alpha, method, steps, towards=towards)
    _require_complete(found.completeness, steps, engine.model)
    most = found.heads[0].size if every else sample
    heads, neurons, completeness = found.heads.mean(0), found.neurons.mean(0), found.completeness
    stable = _stability(asked, "head", found.heads, top, seed), _stability(asked, "neuron", found.neurons, top, seed)
    del found  # every item's numbers, before exact effects need the memory

    def exact(sites: Sequence[Site]) -> list[float]:
        edits = exact_edits(sites, "corrupted") if towards == "corrupted" else scalings(sites, alpha)
        changes = target_changes(engine, asked, edits, target, "exact effects", Library(engine.model))
        return [float(row.mean()) for row in changes]

    return Screen(
        method=method,
        target=target,
        alpha=alpha,
        towards=towards,
        items=len(asked.compiled),
        completeness=completeness,
        heads=_confirmed(exact, "head", heads, top, most, seed, stable[0]),
        neurons=_confirmed(exact, "neuron", neurons, top, sample, seed, stable[1]),
    )


def _confirmed(
    measured: Callable[[Sequence[Site]], list[float]],
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
    exact = dict(zip(map(str, sites), measured(sites), strict=True))
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
