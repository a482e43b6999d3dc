"""Staged ablation: sites are ablated one after another, those before stay ablated, and each time it is measured.

The ablation is chosen: scaling (0 is off-distribution, a stress test), the mean or median over other items, or the
value of another item (averaged over draws). Each stage tells the change of accuracy from the unedited run, item by
item.

The order decides what the curve says: by score (how few suffice), by layer (where it happens), or random (what as many
others do). A random order is drawn by the seed, several of them give the spread. Report a curve beside the random ones,
never alone: any model breaks when enough of it is taken away.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lesion.engine.select_engine import Engine
from lesion.errors import InputError, nearest
from lesion.identity import Document, generator
from lesion.interventions.site import Site
from lesion.measures.attribution.target import mean_interval
from lesion.measures.effects.ablation import Ablation, scaling
from lesion.measures.metrics import measure
from lesion.measures.prompt_set import Asked
from lesion.progress import stage as progress

ORDERS = ("score", "layer", "random")
NAMES = ("correct", "logit_diff", "answer_logprob")


class Stage(Document):
    """One step of a curve."""

    sites: int
    """Sites ablated so far; 0 is the unedited run."""
    added: str | None
    """The site that came last; null for the unedited run."""
    accuracy: float
    """Share of right answers, 0 … 1."""
    low: float
    """Lower end of the 95 % t interval of the paired change of accuracy from the unedited run."""
    high: float
    """Upper end."""
    logit_diff: float | None
    """Mean logit difference; null where a row has none."""
    answer_logprob: float | None
    """Mean log-probability of the answer, nats."""


class Curve(Document):
    """A staged ablation."""

    order: str
    """`score`, `layer` or `random`."""
    ablation: str
    """What is done to the sites, in words."""
    seed: int
    """Draws a random order."""
    stages: tuple[Stage, ...]
    """From the unedited run to all sites ablated."""


def require_order(order: str) -> None:
    """Make sure that an order exists.

    Raises:
        InputError: when it does not.
    """
    if order not in ORDERS:
        raise InputError(f"'{order}' is not an order of sites; {nearest(order, ORDERS)}")


def ordered(sites: Sequence[Site], order: str, scores: Mapping[str, float] | None = None, seed: int = 0) -> list[Site]:
    """Sites in the order of a staged ablation: the highest score first, the lowest layer first, or drawn.

    Raises:
        InputError: for an unknown order, no sites, or sites without a score.
    """
    require_order(order)
    if not sites:
        raise InputError("no sites to ablate")
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
    ablation: Ablation | None = None,
    seed: int = 0,
) -> Curve:
    """Ablate sites cumulatively in an order and measure after each.

    Args:
        engine: the model and the way it is run.
        asked: the items; what an ablation puts in place must come from others.
        sites: all that are ablated in the end.
        order: `score`, `layer` or `random`.
        scores: of every site, for the order by score.
        ablation: what is done; scaling by 0 by default.
        seed: draws a random order.

    Raises:
        InputError: for an unknown order or sites without a score.
        InterventionError: for a site that the model does not have, or items that no reference item is like.
    """
    line, how = ordered(sites, order, scores, seed), ablation or scaling()
    steps = [how.make(tuple(line[: count + 1])) for count in range(len(line))]
    edits = [(stage, one) for stage, together in enumerate(steps, 1) for one in together]
    table = np.zeros((len(line) + 1, len(NAMES), len(asked.compiled)))
    do = [one for _, one in edits]
    with progress(f"ablating, order {order}", len(asked.compiled) * len(do)) as advance:
        for batch in asked.batches:
            rows, clean = list(batch.rows), engine.clean(batch)
            table[0][:, rows] = _numbers(measure(clean, batch, NAMES))
            sources = None if how.library is None else how.library.sources(batch, do)
            for index, outcome in engine.run(batch, do, clean, sources):
                number = edits[index][0]
                table[number][:, rows] += _numbers(measure(outcome.logits, batch, NAMES)) / len(steps[number - 1])
                advance(len(rows))
    stages = [
        _stage(count, site, row, table[0]) for count, (site, row) in enumerate(zip([None, *line], table, strict=True))
    ]
    return Curve(order=order, ablation=how.words, seed=seed, stages=tuple(stages))


def _numbers(found: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.stack([found[name] for name in NAMES])


def _stage(count: int, added: Site | None, rows: NDArray[np.float64], clean: NDArray[np.float64]) -> Stage:
    accuracy, difference, logprob = (float(value) for value in rows.mean(1))
    _, low, high = mean_interval(rows[0] - clean[0]) if rows.shape[1] > 1 else (0.0, -1.0, 1.0)
    return Stage(
        sites=count,
        added=None if added is None else str(added),
        accuracy=accuracy,
        low=low,
        high=high,
        logit_diff=difference if np.isfinite(difference) else None,
        answer_logprob=logprob if np.isfinite(logprob) else None,
    )
