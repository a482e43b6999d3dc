"""What specificity a study can show at all: how many matched sets exist, and the smallest p that they allow. Pure.

With S sets no p lies below 1 / (1 + S), and Holm's correction over q cells that ask multiplies it by q. Both are known
before the data, so what cannot be shown is said before the run, and nothing later may say it.
"""

from functools import cache
from math import comb
from typing import NamedTuple

from lesion.interventions.site import parse_site
from lesion.stats.specificity.rank import evaluable, fewest_sets
from lesion.study.arms.edits import same_sites
from lesion.study.arms.targets import NAMED, AllBut, DetectedHeads, RankedNeurons, aim, named_sites
from lesion.study.gates.specificity import declared
from lesion.study.plan import Plan, Shape
from lesion.study.stages.confirmatory_cells import family_size, rule_of
from lesion.study.stages.matched_sets import ENDLESS, Population, alike, count


class Reach(NamedTuple):
    """What the cells of one model and target can show."""

    about: str
    """Model, and in a study of several targets the target's name."""
    least: int
    """Fewest matched sets that may exist."""
    most: int
    """Most that may exist; the same where the target is known."""
    sets: int
    """Sets that are measured where fewest exist."""
    asking: int
    """Cells of the study that may ask, those of all models; the positive control's do not."""
    cells: int
    """Cells that can be called specific with the fewest sets: all that may ask, or 0: NOT EVALUABLE."""
    wanted: int
    """Sets with which all of them may ask."""
    elsewhere: int
    """Fewest sets that exist in the population of the whole model."""
    alpha: float
    """What p, corrected, must be below."""

    @property
    def smallest(self) -> float:
        """The smallest p of a cell, before the correction."""
        return 1 / (1 + self.sets)


def reaches(plan: Plan) -> tuple[Reach, ...]:
    """What can be shown of each target on each model of the study's own; nothing where the study asks for no sets."""
    claims = plan.study.claims
    if claims is None or not claims.sets:
        return ()
    named = plan.study.sweep.named
    return tuple(
        _reach(plan, model, name, claims.sets, claims.population) for model in plan.study.models for name in named
    )


def _reach(plan: Plan, model: str, name: str, wanted: int, population: Population) -> Reach:
    rule = rule_of(plan.study)
    least, most = exist(plan, model, population, name)
    sets = min(wanted, least)
    asking = _asking(plan)
    return Reach(
        about=f"{model}, {name}" if name else model,
        least=least,
        most=most,
        sets=sets,
        asking=asking,
        cells=evaluable(sets, rule, asking=asking),
        wanted=fewest_sets(rule, asking=asking),
        elsewhere=exist(plan, model, "model", name)[0],
        alpha=rule.alpha_look,
    )


def _asking(plan: Plan) -> int:
    """Cells that may ask, those of the tiers that may, without the ablations of the positive control."""
    study = plan.study
    if plan.family:
        return sum(declared(study, each) for each in plan.family)
    claims, named = study.claims, study.sweep.named
    pairs = [(name, tier) for name in named for tier in study.tasks if claims is None or claims.may_ask(name, tier)]
    control = study.positive_control in [tier for _, tier in pairs] and 0.0 in study.sweep.always
    each = family_size(study) // (len(study.tasks) * len(named))
    return each * len(pairs) - (len(study.models) if control else 0)


def exist(plan: Plan, model: str, population: Population, name: str = "") -> tuple[int, int]:
    """Fewest and most sets like the target that there are; the two are equal where the target is known."""
    if same_sites(plan.study.sweep.edit):
        return ENDLESS, ENDLESS
    target, shape = plan.study.sweep.named[name], plan.shapes[model]
    if isinstance(target, AllBut):
        return 0, 0
    known = plan.targets.get(aim(model, name)) or named_sites(target, shape.layers, shape.heads)
    if known:
        many = count(alike(plan, model, tuple(map(parse_site, known)), population))
        return many, many
    if isinstance(target, DetectedHeads):
        return _of_heads(shape, target.most, population)
    assert not isinstance(target, NAMED)
    if isinstance(target, RankedNeurons) or target.of == "neuron":
        return _of_neurons(shape, target.most, population)
    return _of_heads(shape, target.most, population) if target.of == "head" else _of_layers(shape, target.most)


def _of_heads(shape: Shape, most: int, population: Population) -> tuple[int, int]:
    """Over all numbers and places of heads that a detector may find."""
    if population == "model":
        free = shape.layers * shape.heads
        found = [comb(max(0, free - many), many) for many in range(1, most + 1)]
        return min(found), max(found)
    ways = [_placed(shape.layers, many, shape.heads) for many in range(1, most + 1)]
    return min(low for low, _ in ways), max(high for _, high in ways)


def _of_layers(shape: Shape, most: int) -> tuple[int, int]:
    """Sets of so many other layers, over all numbers of layers that a screen may name."""
    found = [comb(max(0, shape.layers - many), many) for many in range(1, min(most, shape.layers) + 1)]
    return min(found), max(found)


def _placed(layers: int, many: int, heads: int) -> tuple[int, int]:
    """Fewest and most sets for so many heads, over all ways to place them in the layers."""

    @cache
    def ways(layer: int, left: int) -> tuple[int, int]:
        if layer == 0:
            return (1, 1) if left == 0 else (-1, -1)
        found: list[tuple[int, int]] = []
        for here in range(min(left, heads) + 1):
            low, high = ways(layer - 1, left - here)
            if low >= 0:
                each = comb(heads - here, here)
                found.append((low * each, high * each))
        if not found:
            return -1, -1
        return min(low for low, _ in found), max(high for _, high in found)

    low, high = ways(layers, many)
    return max(0, low), max(0, high)


def _of_neurons(shape: Shape, most: int, population: Population) -> tuple[int, int]:
    """Neurons are ranked by what they write, so that any number of them may fall into one tenth of a layer."""
    tenth = shape.neurons // 10 * (shape.layers if population == "model" else 1)
    return comb(max(0, tenth - most), most), comb(tenth, 1) ** most


def words(reach: Reach) -> str:
    """The sentences that a plan, a registration and a run print."""
    wider = ""
    if reach.elsewhere > reach.least and reach.elsewhere >= reach.wanted:
        wider = f" (claims: {{population: model}} has {_short(reach.elsewhere)} or more)"
    if reach.least != reach.most:
        said = (
            f"{reach.about}: {_short(reach.least)} to {_short(reach.most)} matched sets exist,"
            " depending on which sites are found"
        )
        if not reach.cells:
            return f"{said}. With fewer than {reach.wanted} sets specificity is NOT EVALUABLE{wider}."
    else:
        said = f"{reach.about}: {_short(reach.least)} matched sets exist, {reach.sets} are measured"
    said += f". The smallest p that they allow is 1/{1 + reach.sets} = {reach.smallest:.3g}"
    if not reach.cells:
        more = f"; claims: {{sets: {reach.wanted}}} would do" if reach.least >= reach.wanted else wider
        return (
            f"{said}. With {reach.asking} cells that may ask, {reach.wanted} sets are needed: specificity is NOT"
            f" EVALUABLE{more}."
        )
    cells = "the one cell that may ask" if reach.asking == 1 else f"all {reach.asking} cells that may ask"
    return f"{said}, which is enough for {cells}."


def _short(number: int) -> str:
    return f"{number:,}" if number < 10**9 else "over 10^9"
