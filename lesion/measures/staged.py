"""Staged ablation: sites are scaled one after another, those before stay scaled, and each time it is measured.

The order decides what the curve says: by score (how few suffice), by layer (where it happens), or random (what as many
others do). A random order is drawn by the seed, several of them give the spread. Report a curve beside the random ones,
never alone: any model breaks when enough of it is taken away.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from lesion.engine.choose import Engine
from lesion.errors import InputError, nearest
from lesion.identity import Document, generator
from lesion.interventions.intervention import Scale
from lesion.interventions.site import Site
from lesion.measures.asked import Asked
from lesion.measures.metrics import measure

ORDERS = ("score", "layer", "random")


class Stage(Document):
    """One step of a curve."""

    sites: int
    """Sites scaled so far; 0 is the unedited run."""
    added: str | None
    """The site that came last; null for the unedited run."""
    accuracy: float
    """Share of right answers, 0 … 1."""
    logit_diff: float | None
    """Mean logit difference; null where a row has none."""
    answer_logprob: float | None
    """Mean log-probability of the answer, nats."""


class Curve(Document):
    """A staged ablation."""

    order: str
    """`score`, `layer` or `random`."""
    alpha: float
    """What sites are scaled by."""
    seed: int
    """Draws a random order."""
    stages: tuple[Stage, ...]
    """From the unedited run to all sites scaled."""


def ordered(sites: Sequence[Site], order: str, scores: Mapping[str, float] | None = None, seed: int = 0) -> list[Site]:
    """Sites in the order of a staged ablation: the highest score first, the lowest layer first, or drawn.

    Raises:
        InputError: for an unknown order, no sites, or sites without a score.
    """
    if not sites or order not in ORDERS:
        raise InputError(f"'{order}' is not an order of {len(sites)} sites; {nearest(order, ORDERS)}")
    by_layer = sorted(sites, key=lambda s: (s.layer, s.kind, s.index or 0))
    if order == "layer":
        return by_layer
    if order == "random":
        places = generator("staged", seed, len(sites)).permutation(len(sites))
        return [by_layer[place] for place in places]
    missing = [str(site) for site in sites if scores is None or str(site) not in scores]
    if scores is None or missing:
        raise InputError(f"an order by score needs one for every site; there is none for {', '.join(missing[:4])}")
    return sorted(by_layer, key=lambda s: -scores[str(s)])


def staged(
    engine: Engine,
    asked: Asked,
    sites: Sequence[Site],
    order: str = "layer",
    scores: Mapping[str, float] | None = None,
    alpha: float = 0.0,
    seed: int = 0,
) -> Curve:
    """Scale sites cumulatively in an order and measure after each.

    Raises:
        InputError: for an unknown order or sites without a score.
        InterventionError: for a site that the model does not have.
    """
    line = ordered(sites, order, scores, seed)
    edits = [Scale(sites=tuple(line[: count + 1]), alpha=alpha) for count in range(len(line))]
    names = ("correct", "logit_diff", "answer_logprob")
    table = np.zeros((len(line) + 1, len(names), len(asked.compiled)))
    for batch in asked.batches:
        rows = list(batch.rows)
        clean = measure(engine.clean(batch), batch, names)
        table[0][:, rows] = [clean[name] for name in names]
        for index, outcome in engine.run(batch, edits):
            found = measure(outcome.logits, batch, names)
            table[index + 1][:, rows] = [found[name] for name in names]
    steps = enumerate(zip([None, *map(str, line)], table, strict=True))
    return Curve(
        order=order,
        alpha=alpha,
        seed=seed,
        stages=tuple(_stage(count, site, row.mean(1)) for count, (site, row) in steps),
    )


def _stage(count: int, added: str | None, means: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> Stage:
    accuracy, difference, logprob = (float(value) for value in means)
    return Stage(
        sites=count,
        added=added,
        accuracy=accuracy,
        logit_diff=difference if np.isfinite(difference) else None,
        answer_logprob=logprob if np.isfinite(logprob) else None,
    )
