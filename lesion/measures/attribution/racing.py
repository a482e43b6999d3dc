"""The heads with the largest effects, and all heads' effects, from few exact passes.

Gradients estimate the effect of every head on every item at the price of a few passes. Exact effects on some items,
drawn at random, correct the estimates (`lesion.stats.racing.control_variate`); a race measures more items only for
heads that may still be among the top (`lesion.stats.racing.race`).
"""

from typing import Literal, NamedTuple

import numpy as np

from lesion.engine.replacement_activations import Library
from lesion.engine.select_engine import Engine
from lesion.errors import InputError
from lesion.identity import Document, generator
from lesion.interventions.site import Site, head
from lesion.measures.attribution.expected_loss import exact_edits, scalings
from lesion.measures.attribution.gate_gradients import Towards, estimate, require_screen
from lesion.measures.attribution.target import Target, target_changes
from lesion.measures.prompt_set import Asked, of
from lesion.models.model import Model
from lesion.stats.racing.control_variate import Agreement, Floats, agreement, corrected
from lesion.stats.racing.race import Measure, Places, RaceRule, race, require_race

Standing = Literal["top", "undecided", "dropped"]
CONFIDENCE = 0.95


class HeadEffect(Document):
    """One head's mean effect over all items."""

    site: str
    """L5H1."""
    estimate: float
    """The gradient's mean estimate over all items, logits."""
    effect: float
    """Corrected by exact effects on `items` items, logits."""
    low: float
    """Lower end of its 95 % t interval, for the mean over the items given."""
    high: float
    """Upper end."""
    items: int
    """Items that the head was measured on exactly."""
    standing: Standing | None = None
    """What a race found; null in a map."""


class LayerAgreement(Document):
    """How well gradients agree with exact effects in a layer."""

    layer: int
    correlation: float
    """r over items, within heads."""
    variance_ratio: float
    """Variance of the corrected effects over that of the exact ones: 1 - r^2 or more; from 1 on nothing is gained."""


class HeadMap(Document):
    """The effects of all heads from few exact passes."""

    target: str
    alpha: float
    towards: Towards
    items: int
    """Items that the means are over."""
    passes: int
    """Exact passes: items times heads that were measured."""
    share: float
    """Of the passes that a full exact map makes."""
    heads: tuple[HeadEffect, ...]
    """The largest effect first."""
    layers: tuple[LayerAgreement, ...]


class RaceRound(Document):
    """One round of a race."""

    items: int
    """Items that each head in question has been measured on."""
    heads: int
    """Heads in question when the round began."""
    accepted: tuple[str, ...]
    dropped: tuple[str, ...]
    passes: int
    """Exact passes from the beginning."""


class HeadRace(HeadMap):
    """The top heads, by racing."""

    top: int
    error: float
    """Largest probability that a true top head is dropped or another one accepted; fixed beforehand."""
    budget: float
    """Largest share of passes; fixed beforehand."""
    chosen: tuple[str, ...]
    """The top heads, the largest effect first within accepted ones, then the best of the undecided."""
    accepted: tuple[str, ...]
    """Heads that are in the top."""
    undecided: tuple[str, ...]
    """Heads that could not be told apart within the budget."""
    rounds: tuple[RaceRound, ...]


class _Field(NamedTuple):
    """What is raced over: estimates, and a way to measure."""

    estimates: Floats
    """(items, heads)."""
    layers: Places
    """Of each head."""
    measure: Measure
    sites: tuple[Site, ...]


def race_heads(
    engine: Engine,
    asked: Asked,
    rule: RaceRule,
    target: Target = "logit_diff",
    alpha: float = 0.0,
    towards: Towards = "scale",
    seed: int = 0,
) -> HeadRace:
    """Find the heads whose mean effect on these items is the largest in size.

    Args:
        engine: the model and the way it is run.
        asked: the items; a race answers what all of them would say.
        rule: top, error, budget and first items, fixed beforehand.
        target: `logit_diff` or `answer`.
        alpha: what heads are scaled by.
        towards: `scale`, or `corrupted`: patch from the items' corrupted prompts.
        seed: draws the order of the items.

    Raises:
        InputError: for a rule that does not fit, alpha 1, or items without corrupted prompts that are asked for.
    """
    require_race(rule, len(asked.compiled), engine.model.sizes.n_layers * engine.model.sizes.n_heads)
    field = _field(engine, asked, target, alpha, towards)
    found = race(field.measure, field.estimates, field.layers, rule, generator("race", seed))
    names = [str(site) for site in field.sites]
    low, high = found.intervals(CONFIDENCE)
    standings: dict[int, Standing] = {
        **dict.fromkeys(found.accepted, "top"),
        **dict.fromkeys(found.undecided, "undecided"),
    }
    heads = [
        HeadEffect(
            site=name, estimate=float(field.estimates[:, place].mean()), effect=float(found.means[place]),
            low=float(low[place]), high=float(high[place]), items=int(found.items[place]),
            standing=standings.get(place, "dropped"),
        )
        for place, name in enumerate(names)
    ]  # fmt: skip
    rounds = [
        RaceRound(
            items=one.items, heads=one.sites, passes=one.spent,
            accepted=tuple(names[place] for place in one.accepted),
            dropped=tuple(names[place] for place in one.dropped),
        )
        for one in found.rounds
    ]  # fmt: skip
    return HeadRace(
        target=target, alpha=alpha, towards=towards, items=len(asked.compiled), passes=found.spent,
        share=found.spent / field.estimates.size, heads=_sorted(heads), layers=_layers(found.groups),
        top=rule.top, error=rule.error, budget=rule.budget, chosen=tuple(names[place] for place in found.top),
        accepted=tuple(names[place] for place in found.accepted),
        undecided=tuple(names[place] for place in found.undecided), rounds=tuple(rounds),
    )  # fmt: skip


def map_heads(
    engine: Engine,
    asked: Asked,
    few: int,
    target: Target = "logit_diff",
    alpha: float = 0.0,
    towards: Towards = "scale",
    seed: int = 0,
) -> HeadMap:
    """Every head's mean effect over all items, without bias, from exact passes on few of them.

    Args:
        engine: the model and the way it is run.
        asked: the items that the means are over.
        few: items that are measured exactly, drawn at random.
        target: `logit_diff` or `answer`.
        alpha: what heads are scaled by.
        towards: `scale`, or `corrupted`: patch from the items' corrupted prompts.
        seed: draws the items.

    Raises:
        InputError: for fewer than four or more than all items, alpha 1, or items without corrupted prompts.
    """
    everything = len(asked.compiled)
    if not 4 <= few <= everything:
        raise InputError(f"a map needs exact effects on 4 to {everything} items (all), not {few}")
    field = _field(engine, asked, target, alpha, towards)
    drawn = generator("race", seed).permutation(everything)[:few].astype(np.intp)
    exact = field.measure(drawn, np.arange(len(field.sites), dtype=np.intp))
    found = corrected(exact, field.estimates, drawn, field.layers)
    low, high = found.intervals(CONFIDENCE)
    heads = [
        HeadEffect(
            site=str(site), estimate=float(field.estimates[:, place].mean()), effect=float(found.means[place]),
            low=float(low[place]), high=float(high[place]), items=few,
        )
        for place, site in enumerate(field.sites)
    ]  # fmt: skip
    return HeadMap(
        target=target, alpha=alpha, towards=towards, items=everything, passes=exact.size,
        share=exact.size / field.estimates.size, heads=_sorted(heads),
        layers=_layers(agreement(exact, field.estimates[drawn], found.residuals, field.layers)),
    )  # fmt: skip


def _field(engine: Engine, asked: Asked, target: Target, alpha: float, towards: Towards) -> _Field:
    """Estimates of all heads on all items, and the exact effects of some heads on some items."""
    require_screen("gradient", alpha, 1)
    sites = all_heads(engine.model)
    library = Library(engine.model)
    estimates = estimate(engine.model, asked.batches, target, alpha, towards=towards).heads

    def measure(items: Places, heads: Places) -> Floats:
        rows: list[int] = items.tolist()
        chosen: list[int] = heads.tolist()
        some = of([asked.compiled[row] for row in rows], [asked.items[row] for row in rows] if asked.items else [])
        wanted = [sites[place] for place in chosen]
        edits = exact_edits(wanted, "corrupted") if towards == "corrupted" else scalings(wanted, alpha)
        return target_changes(engine, some, edits, target, "exact effects", library).T

    layers = np.array([site.layer for site in sites], dtype=np.intp)
    return _Field(estimates.reshape(len(estimates), -1), layers, measure, sites)


def all_heads(model: Model) -> tuple[Site, ...]:
    """Every head, layer by layer."""
    return tuple(head(layer, index) for layer, index in np.ndindex(model.sizes.n_layers, model.sizes.n_heads))


def _sorted(heads: list[HeadEffect]) -> tuple[HeadEffect, ...]:
    return tuple(sorted(heads, key=lambda one: -abs(one.effect)))


def _layers(found: "tuple[Agreement, ...] | list[Agreement]") -> tuple[LayerAgreement, ...]:
    return tuple(
        LayerAgreement(layer=layer, correlation=one.correlation, variance_ratio=one.variance_ratio)
        for layer, one in enumerate(found)
    )
