"""Everything that the rows say about the confirmatory family besides the verdicts: what `lesion stats` adds to them.

The verdict is decided by the rule alone (evidence.py). Here the same rows go through other tests and intervals, each
named: McNemar, sign flips, Wilcoxon, bootstrap and cluster intervals, two one-sided tests, effect sizes, and three
corrections over the family. All of it is computed from one generator per member, so that it can be computed again.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lesion.identity import generator
from lesion.stats.intervals import bca, cluster_mean
from lesion.stats.multiplicity import bh, holm, max_t
from lesion.stats.paired.comparison import compare
from lesion.stats.paired.rows import PairedRows
from lesion.stats.paired.tests import deltas, sign_flip, sign_flip_exact, wilcoxon
from lesion.study.gates.evidence.paired_arms import paired_numbers, paired_rows
from lesion.study.plan import Chosen, Plan
from lesion.study.solutions import solution_contrasts
from lesion.study.stages.confirmatory_cells import rule_of

BCA_CLUSTERS = 30
"""Units without which the bootstrap covers too rarely (lesion/stats/intervals.py)."""

Numbers = NDArray[np.float64]


def analyse(plan: Plan, looks: Mapping[str, Plan], items: pl.DataFrame, prompts: pl.DataFrame) -> dict[str, Any]:
    """Member of the family -> its numbers, and the corrections over the whole family; the replication's apart.

    Tiers that ask the same problems directly and worked also have their paired contrast, under `solutions`.

    Args:
        plan: as it stood at the end.
        looks: member -> the plan of the look at which it was decided; only members that have rows.
        items: rows of the run.
        prompts: its questions.
    """
    own = _analysed(plan, plan.family, looks, items, prompts)
    if contrasts := solution_contrasts(plan.family, looks, items, prompts):
        own["solutions"] = contrasts
    if not plan.replicas:
        return own
    return own | {"replication": _analysed(plan, plan.replicas, looks, items, prompts)}


def _analysed(
    plan: Plan, family: Sequence[Chosen], looks: Mapping[str, Plan], items: pl.DataFrame, prompts: pl.DataFrame
) -> dict[str, Any]:
    members = [chosen for chosen in family if chosen.id in looks]
    rows = {chosen.id: paired_rows(looks[chosen.id], items, prompts, chosen, "target") for chosen in members}
    told = {chosen.id: _member(looks[chosen.id], chosen, rows[chosen.id], items) for chosen in members}
    return {"members": told, "family": _family(plan, len(family), members, rows, told)}


def _member(plan: Plan, chosen: Chosen, rows: PairedRows, items: pl.DataFrame) -> dict[str, Any]:
    rule, counts = rule_of(plan.study), deltas(rows.baseline, rows.edited)
    by_item = compare(PairedRows(rows.baseline, rows.edited, rows.seed), rule.confidence, rule.margin)
    logprobs = paired_numbers(plan, items, chosen, "answer_logprob")
    rng = generator("stats", plan.key, chosen.id)
    return {
        "look": plan.attempt + 1,
        "n": counts.n,
        "gained": counts.gained,
        "lost": counts.lost,
        "delta": counts.delta,
        "psi": counts.psi,
        "odds_ratio": _number(counts.odds_ratio),
        "cohens_g": _number(counts.cohens_g),
        "mcnemar_p": by_item.p,
        "sign_flip_p": sign_flip(_told(rows.difference), rng),
        "tost": {"margin": rule.margin, "p": by_item.p_equivalence, "shown": by_item.p_equivalence < rule.alpha_look},
        "intervals": {"tango": _ends(*by_item.interval), "confidence": rule.confidence, **_intervals(rows, rule, rng)},
        "answer_logprob": _continuous(logprobs),
    }


def _intervals(rows: PairedRows, rule: Any, rng: np.random.Generator) -> dict[str, Any]:
    """By item, by seed, and by template where the tier has templates: cluster t, and BCa from 30 units on."""
    units = {"item": np.arange(rows.n), "seed": rows.seed}
    if rows.cluster is not None:
        units["template"] = rows.cluster
    told: dict[str, Any] = {}
    for name, unit in units.items():
        labels, place = np.unique(unit, return_inverse=True)
        sums, sizes = np.zeros(len(labels), dtype=np.int64), np.bincount(place)
        np.add.at(sums, place, rows.difference)
        told[name] = {"units": len(labels), "sign_flip_p": sign_flip_exact(sums), "t": None, "bca": None}
        if len(labels) >= 2:
            told[name]["t"] = _ends(*cluster_mean(sums, sizes).interval(rule.confidence))
        if len(labels) >= BCA_CLUSTERS:
            low, high = bca(sums, sizes, rng, rule.confidence)
            told[name]["bca"] = _ends(float(low[0]), float(high[0]))
    return told


def _continuous(change: Numbers) -> dict[str, Any]:
    """The change of ln p(answer), nats: mean, standardised mean (d_z = mean / sd) and Wilcoxon's signed-rank p."""
    spread = float(change.std(ddof=1)) if change.size > 1 else 0.0
    mean = float(change.mean())
    return {"mean": mean, "d_z": mean / spread if spread > 0 else None, "wilcoxon_p": wilcoxon(change)}


def _family(
    plan: Plan, size: int, members: list[Chosen], rows: Mapping[str, PairedRows], told: Mapping[str, Any]
) -> dict[str, Any]:
    """Holm and Benjamini-Hochberg over McNemar's p, and max-T over joint sign flips of the items."""
    p = [told[chosen.id]["mcnemar_p"] for chosen in members]
    corrected = {"holm": holm(p, size).tolist(), "bh": bh(p, size).tolist(), "max_t": [1.0] * len(members)}
    table = _joint(members, rows)
    if table.size:
        corrected["max_t"] = max_t(table, generator("max-t", plan.key)).tolist()
    names = [chosen.id for chosen in members]
    return {"size": size, **{name: dict(zip(names, values, strict=True)) for name, values in corrected.items()}}


def _joint(members: list[Chosen], rows: Mapping[str, PairedRows]) -> Numbers:
    """Paired differences [units, members]: an item of a tier and seed flips all its signs together, 0 where unasked.

    Items in which no member changed anything are left out: they add nothing to any sum.
    """
    place: dict[tuple[str, int, str], int] = {}
    filled: list[tuple[int, int, int]] = []
    for column, chosen in enumerate(members):
        each = rows[chosen.id]
        if each.item is None:
            continue
        changed = np.flatnonzero(each.difference)
        for row in changed.tolist():
            key = (chosen.tier, int(each.seed[row]), str(each.item[row]))
            filled.append((place.setdefault(key, len(place)), column, int(each.difference[row])))
    table = np.zeros((len(place), len(members)))
    for unit, column, difference in filled:
        table[unit, column] = difference
    return table


def _told(difference: NDArray[np.int64]) -> NDArray[np.int64]:
    """The differences that are not 0, or a single 0: zeros change no sum of signs."""
    changed = difference[difference != 0]
    return changed if changed.size else np.zeros(1, dtype=np.int64)


def _ends(low: float, high: float) -> list[float | None]:
    return [_number(low), _number(high)]


def _number(value: float) -> float | None:
    """A number as JSON can hold it: nothing where it is not finite."""
    return value if math.isfinite(value) else None
