"""Matched sets: what a target's effect is ranked among, drawn by rule from the plan's key. Pure.

A set is like the target: as many heads in each of the target's layers, or, for neurons, as many in each layer and
tenth of its output norms. A stream has no like in its own layer: its sets are streams of other layers. A set shares no
site with the target; sets may share sites with each other. Neurons of a layer and tenth, and sites without norms, are
taken as alike: sets are drawn from all of them. Heads whose output norm is near that of a target's head come first: the
neighbourhood widens, in every layer at once, until it holds as many sets as are wanted. With `population="model"` a set
is as many heads of any layer, without regard to norms. Where fewer sets exist than are wanted, all of them are taken,
each once.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import chain, combinations, product
from math import comb, inf, log, prod
from typing import Literal, NamedTuple

import numpy as np

from lesion.identity import generator
from lesion.interventions.site import UNITS, Kind, Site, parse_site
from lesion.study.arms.edits import same_sites
from lesion.study.arms.targets import AllBut, aim
from lesion.study.plan import Plan, Shape

Population = Literal["layer", "model"]
WITHIN = 40
"""Sets of the target's own layers, at most, that are shown beside a rank among sets of the whole model."""
WHOLE = -1
"""In the place of an index: a site of which a layer has one."""
ENDLESS = 10**9
"""In the place of a count: random directions and edges are without number."""
Place = tuple[int, int]
"""Layer and index of a site; pools of thousands of neurons are handled as pairs of numbers."""


class Group(NamedTuple):
    """Places of which every set holds the same number."""

    size: int
    """How many of them a set holds: as many as the target has here."""
    pool: tuple[Place, ...]
    """Those that the target does not hold, heads in the order of their distance in output norm from the target's."""


class Matched(NamedTuple):
    """The sets that a target is ranked among."""

    sets: tuple[tuple[str, ...], ...]
    """In a random order, so that the first few of them are a sample; each by layers and indices, no set twice."""
    exist: int
    """How many sets like the target there are in the population."""


def matched_sets(
    plan: Plan, model: str, target: Sequence[str], wanted: int, population: Population, name: str = ""
) -> Matched:
    """Sets like the target, drawn from the plan's key.

    Args:
        plan: whose key draws, and whose shapes and output norms hold.
        model: which.
        target: the sites that are lesioned together, all heads or all neurons.
        wanted: how many sets; fewer are given where fewer exist.
        population: `layer`, or `model` for sites of any layer.
        name: of the target, in a study of several: each draws its own sets.
    """
    sites = tuple(map(parse_site, target))
    groups = alike(plan, model, sites, population)
    exist = count(groups)
    ordered = sites[0].kind == "head" and model in plan.norms
    if exist > wanted and population == "layer" and (ordered or plan.pools == "first"):
        groups = _near(groups, wanted)
    rng = generator("matched sets", plan.key, model, population, *filter(None, [name]))
    sets = _every(groups, rng) if count(groups) <= wanted else _drawn(groups, wanted, rng)

    @cache
    def spelled(place: Place) -> str:
        return str(Site(kind=sites[0].kind, layer=place[0], index=None if place[1] == WHOLE else place[1]))

    return Matched(tuple(tuple(map(spelled, one)) for one in sets), exist)


def sets_of(plan: Plan, model: str, name: str = "") -> Matched:
    """The matched sets of a model's target."""
    claims, sites = plan.study.claims, plan.targets.get(aim(model, name))
    if claims is None or not claims.sets or not sites or isinstance(plan.study.sweep.named[name], AllBut):
        return Matched((), 0)
    if same_sites(plan.study.sweep.edit):  # random vectors or edges at the target's own place, told apart by number
        return Matched((sites,) * claims.sets, ENDLESS)
    return matched_sets(plan, model, sites, claims.sets, claims.population, name)


def sets_within(plan: Plan, model: str, name: str = "") -> Matched:
    """Sets of the target's own layers, shown beside a rank among those of the whole model; else none."""
    claims, sites = plan.study.claims, plan.targets.get(aim(model, name))
    if claims is None or not claims.sets or claims.population == "layer" or not sites:
        return Matched((), 0)
    if parse_site(sites[0]).kind not in UNITS or same_sites(plan.study.sweep.edit):  # a layer has one stream
        return Matched((), 0)
    return matched_sets(plan, model, sites, min(WITHIN, claims.sets), "layer", name)


def alike(plan: Plan, model: str, target: Sequence[Site], population: Population) -> list[Group]:
    """The groups of places that sets are made of."""
    kind, shape = target[0].kind, plan.shapes[model]
    tenths = plan.tenths.get(model) if kind == "neuron" else None

    def group(place: Place) -> tuple[int, str]:
        """What a set shares with the target: the layer (or any), and for neurons the tenth of the output norms."""
        anywhere = population == "model" or kind not in UNITS
        return -1 if anywhere else place[0], tenths[place[0]][place[1]] if tenths else ""

    held = {(site.layer, WHOLE if site.index is None else site.index) for site in target}
    members: dict[tuple[int, str], list[Place]] = {}
    for place in sorted(held):
        members.setdefault(group(place), []).append(place)
    pools: dict[tuple[int, str], list[Place]] = {key: [] for key in members}
    for layer in range(shape.layers):
        for index in _indices(kind, shape):
            place = layer, index
            if place not in held and group(place) in pools:
                pools[group(place)].append(place)
    norms = plan.norms.get(model) if kind == "head" else None
    return [Group(len(here), _by_norm(norms, here, pools[key])) for key, here in members.items()]


def _indices(kind: Kind, shape: Shape) -> Iterable[int]:
    """The indices of a kind of site within a layer; none of key and value groups, whose number a plan does not know."""
    if kind not in UNITS:
        return (WHOLE,)
    return range({"head": shape.heads, "neuron": shape.neurons, "group": 0}[UNITS[kind]])


def count(groups: Iterable[Group]) -> int:
    """How many sets the groups allow, exactly."""
    return prod(comb(len(group.pool), group.size) for group in groups)


def _by_norm(
    norms: Sequence[Sequence[float]] | None, here: Sequence[Place], pool: Sequence[Place]
) -> tuple[Place, ...]:
    """Heads ordered by how near their output norm is to that of any of the target's; other sites as they stand."""
    if norms is None:
        return tuple(pool)

    def distance(place: Place) -> float:
        return min(_apart(norms[place[0]][place[1]], norms[own[0]][own[1]]) for own in here)

    return tuple(sorted(pool, key=distance))


def _apart(one: float, other: float) -> float:
    """How far two norms are apart: the absolute logarithm of their ratio; a head that writes nothing is furthest."""
    if one == other:
        return 0.0
    return abs(log(one / other)) if min(one, other) > 0 else inf


def _near(groups: Sequence[Group], wanted: int) -> list[Group]:
    """The nearest places of every group: one more in each, until they allow as many sets as are wanted."""
    for spare in range(max(len(group.pool) for group in groups) + 1):
        near = [group._replace(pool=group.pool[: group.size + spare]) for group in groups]
        if count(near) >= wanted:
            return near
    return list(groups)


def _every(groups: Sequence[Group], rng: np.random.Generator) -> Iterator[tuple[Place, ...]]:
    """Every set, once, in a random order; none where a group has too few places."""
    parts = list(product(*(combinations(sorted(group.pool), group.size) for group in groups)))
    return (tuple(sorted(chain.from_iterable(parts[i]))) for i in map(int, rng.permutation(len(parts)).tolist()))


def _drawn(groups: Sequence[Group], wanted: int, rng: np.random.Generator) -> Iterator[tuple[Place, ...]]:
    """So many different sets, every one as likely as any other; the groups allow more of them."""
    known: set[tuple[Place, ...]] = set()
    while len(known) < wanted:
        one = tuple(sorted(place for group in groups for place in _some(group, rng)))
        if one not in known:
            known.add(one)
            yield one


def _some(group: Group, rng: np.random.Generator) -> Iterator[Place]:
    """A random choice of a group's places."""
    numbers = rng.choice(len(group.pool), group.size, replace=False).tolist()
    return (group.pool[int(i)] for i in numbers)
