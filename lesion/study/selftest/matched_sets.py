"""Matched sets and ranks among them are tried: sets that must keep off the target, ranks that must and must not do.

A rank test that cannot fail, a correction left out or a target that is missing from its own p would call anything
specific; a set that shares a head with the target would be no comparison.
"""

from collections.abc import Iterator, Mapping

from lesion.interventions.site import parse_site
from lesion.stats.specificity.rank import SetEffects, Status, rank_specificity
from lesion.stats.verdict.rule import Rule
from lesion.study.plan import Shape
from lesion.study.selftest.known_rows import MODEL, known_plan
from lesion.study.stages.matched_sets import Population, matched_sets


def _effects(target: float, sets: int, beyond: int) -> SetEffects:
    """A harmed cell with so many sets, of which so many lose more than the target."""
    others = [target - 0.1] * beyond + [target + 0.01 + 0.001 * i for i in range(sets - beyond)]
    return SetEffects("Harm", target, tuple(others), 256, sets)


def _ranks() -> Iterator[str]:
    """Ranks whose status and p are known."""
    sure = _effects(-0.5, 199, 0)
    known: Mapping[str, tuple[SetEffects, float, Status]] = {
        "a loss beyond all of 199 sets": (sure, 1 / 200, "specific"),
        "a loss beyond all of 40 sets": (_effects(-0.5, 40, 0), 1 / 41, "specific"),
        "a loss beyond all of 39 sets": (_effects(-0.5, 39, 0), 1 / 40, "not evaluable"),
        "a loss as large as 99 of 199 sets' or smaller": (_effects(-0.5, 199, 99), 100 / 200, "not specific"),
        "a loss as large as every set's": (SetEffects("Harm", -0.5, (-0.5,) * 199, 256, 199), 1.0, "not specific"),
        "a gain where every set loses": (SetEffects("Improvement", 0.1, (-0.1,) * 199, 256, 199), 0.005, "specific"),
        "a gain where every set gains more": (
            SetEffects("Improvement", 0.1, (0.2,) * 199, 256, 199), 1.0, "not specific",
        ),
        "no effect at all": (SetEffects("Null", 0.0, (0.1,) * 199, 256, 199), 0.0, "not asked"),
    }  # fmt: skip
    for what, (cell, p, status) in known.items():
        found = rank_specificity({"cell": cell}, Rule(), asking=1)["cell"]
        if found.status != status or (status != "not asked" and abs(found.p - p) > 1e-9):
            yield f"{what} is called {found.status} with a rank p of {found.p:.4g}, not {status} with {p:.4g}"
    near = _effects(-0.5, 199, 1)
    four = rank_specificity({f"cell {i}": near for i in range(4)}, Rule(), asking=4)
    if any(each.status != "not specific" or abs(each.p_holm - 0.04) > 1e-9 for each in four.values()):
        yield "four cells that ask, with a rank p of .01 each, are not corrected to .04"


def _sets() -> Iterator[str]:
    """Sets are like the target, disjoint from it and different from each other; where few exist, all are taken."""
    plan = known_plan().model_copy(update={"shapes": {MODEL: Shape(layers=3, heads=8, neurons=20)}})
    target = ("L1H0", "L1H1")
    known: Mapping[Population, tuple[int, int]] = {"layer": (15, 15), "model": (199, 231)}
    for population, (many, exist) in known.items():
        found = matched_sets(plan, MODEL, target, 199, population)
        if (len(found.sets), found.exist) != (many, exist):
            yield f"of {exist} sets like two heads of eight, {len(found.sets)} of {found.exist} are drawn"
        if any(set(one) & set(target) for one in found.sets):
            yield "a matched set shares a head with the target"
        if len({frozenset(one) for one in found.sets}) < len(found.sets):
            yield "a matched set is drawn twice"
        if population == "layer" and any(parse_site(site).layer != 1 for one in found.sets for site in one):
            yield "a matched set has heads of other layers than the target"
    other = matched_sets(plan.model_copy(update={"key": "other"}), MODEL, target, 20, "model")
    if other == matched_sets(plan, MODEL, target, 20, "model"):
        yield "matched sets do not depend on the registration"


SET_CASES = (_ranks, _sets)
