"""Matched random sets: what a target is held against, drawn by rule and seed from the same layers. Pure.

A control neuron has the layer of the one that it stands for and the same tenth of its output norms. A layer has too few
heads for tenths: a control head is drawn from the few free heads whose output norm is nearest to that of the head that
it stands for, and heads that no earlier set has come first, so that sets are disjoint as long as the layer suffices.
"""

from math import inf, log

import numpy as np

from lesion.identity import generator
from lesion.interventions.site import UNITS, Kind, Site
from lesion.study.arms.edits import same_sites
from lesion.study.arms.targets import AllBut
from lesion.study.plan import Plan

NEAREST = 3
"""A control head is drawn from so many."""


def control_sets(
    plan: Plan, model: str, target: tuple[Site, ...], barred: frozenset[str], name: str = ""
) -> tuple[tuple[str, ...], ...]:
    """Random sets like the target, disjoint from it and from `barred`; none where a layer has too few other sites.

    Each set has a generator of its own. Where a set is another edit of the target's own sites, it names these; where
    all heads but some are edited, there is none.
    """
    if same_sites(plan.study.sweep.edit):
        return (tuple(map(str, target)),) * plan.study.sweep.controls
    if isinstance(plan.study.sweep.named[name], AllBut):
        return ()
    sets: list[tuple[str, ...]] = []
    for number in range(plan.study.sweep.controls):
        rng = generator("controls", plan.study.seed, model, number, *filter(None, [name]))
        if target[0].kind == "head" and model in plan.norms:
            chosen = _heads(plan, model, target, barred, frozenset(site for one in sets for site in one), rng)
        else:
            chosen = _alike(plan, model, target, barred, rng)
        if chosen is None:
            break
        sets.append(chosen)
    return tuple(sets)


def _ordered(target: tuple[Site, ...]) -> list[Site]:
    return sorted(target, key=lambda site: (site.layer, site.index or 0))


def _every(plan: Plan, model: str, kind: Kind, layer: int) -> list[Site]:
    """All sites of a kind in a layer; of a stream, those of all layers."""
    shape = plan.shapes[model]
    if kind not in UNITS:
        return [Site(kind=kind, layer=each) for each in range(shape.layers)]
    if UNITS[kind] == "group":
        return []
    width = shape.neurons if UNITS[kind] == "neuron" else shape.heads
    return [Site(kind=kind, layer=layer, index=index) for index in range(width)]


def _heads(
    plan: Plan,
    model: str,
    target: tuple[Site, ...],
    barred: frozenset[str],
    used: frozenset[str],
    rng: np.random.Generator,
) -> tuple[str, ...] | None:
    """One head for each of the target's, from its layer and among the nearest in output norm."""
    norms, chosen = plan.norms[model], list[Site]()
    for site in _ordered(target):
        norm = norms[site.layer][site.index or 0]
        every = _every(plan, model, "head", site.layer)
        free = [other for other in every if other not in target and str(other) not in barred and other not in chosen]
        if not free:
            return None
        unused = [other for other in free if str(other) not in used] or free
        near = sorted(unused, key=lambda other: _apart(norm, norms[other.layer][other.index or 0]))[:NEAREST]
        chosen.append(near[int(rng.integers(len(near)))])
    return tuple(map(str, _ordered(tuple(chosen))))


def _apart(one: float, other: float) -> float:
    """How far two norms are apart: the absolute logarithm of their ratio; a head that writes nothing is furthest."""
    if one == other:
        return 0.0
    return abs(log(one / other)) if min(one, other) > 0 else inf


def _alike(
    plan: Plan, model: str, target: tuple[Site, ...], barred: frozenset[str], rng: np.random.Generator
) -> tuple[str, ...] | None:
    """As many sites as the target has in each layer, for neurons in each tenth of its norms."""
    tenths = plan.tenths.get(model)

    def group(site: Site) -> tuple[int, str]:
        return site.layer if site.kind in UNITS else 0, tenths[site.layer][
            site.index or 0
        ] if site.kind == "neuron" and tenths else ""

    groups: dict[tuple[int, str], list[Site]] = {}
    for site in sorted(target, key=lambda each: (*group(each), each.index or 0)):
        groups.setdefault(group(site), []).append(site)
    chosen: list[str] = []
    for key, here in groups.items():
        every = _every(plan, model, here[0].kind, key[0])
        free = [str(site) for site in every if site not in target and group(site) == key and str(site) not in barred]
        if len(free) < len(here):
            return None
        chosen += [free[i] for i in sorted(rng.choice(len(free), len(here), replace=False).tolist())]
    return tuple(chosen)
