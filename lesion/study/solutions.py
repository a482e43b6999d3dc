"""Direct answers against worked ones on the same items: does an edit change both alike?

Two tiers whose settings differ in `solution` alone ask the same problems in the same order, one for the answer at once
and one for the steps before it (chain of thought). So each edit has a paired contrast, item by item:

    (edited - baseline, worked) - (edited - baseline, direct)

of right answers. Where both tiers are `decoded`, an answer is right when the number in its own written text is the
problem's; else when greedy decoding gives exactly the reference, steps included. Exploratory: no verdict rests on it.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import polars as pl

from lesion.stats.paired.cluster_mean import guarded
from lesion.study.gates.evidence.clusters import clusters
from lesion.study.gates.evidence.paired_arms import arm_rows
from lesion.study.gates.evidence.written_answers import read_texts
from lesion.study.plan import Chosen, Plan
from lesion.study.rows import ITEM_KEY
from lesion.study.study import Study

CONFIDENCE = 0.95
PLACE = [name for name in ITEM_KEY if name != "tier"]
"""What names a problem that two tiers share."""


def solution_pairs(study: Study) -> list[tuple[str, str]]:
    """Tiers that ask the same problems directly and worked, by name."""
    settings = {tier: task.model_dump(mode="json") for tier, task in study.tasks.items()}
    rest = {tier: {key: value for key, value in each.items() if key != "solution"} for tier, each in settings.items()}
    return [
        (direct, worked)
        for direct, one in settings.items()
        for worked, other in settings.items()
        if (one.get("solution"), other.get("solution")) == ("direct", "worked") and rest[direct] == rest[worked]
    ]


def solution_contrasts(
    family: Sequence[Chosen], looks: Mapping[str, Plan], items: pl.DataFrame, prompts: pl.DataFrame
) -> dict[str, Any]:
    """Model, arm and pair of tiers -> the change in each tier and their paired difference, shares.

    Args:
        family: the members of the confirmation.
        looks: member -> the plan of the look at which it was decided; members without one are left out.
        items: rows of the run.
        prompts: its questions.
    """
    found: dict[str, Any] = {}
    members = [chosen for chosen in family if chosen.id in looks]
    for direct, worked in product(members, members):
        pairs = solution_pairs(looks[direct.id].study)
        if (direct.model, direct.alpha) != (worked.model, worked.alpha) or (direct.tier, worked.tier) not in pairs:
            continue
        for arm in dict.fromkeys((direct.arm, worked.arm)):
            pair = (direct, worked)
            written = all(_wrote(looks[each.id], each, arm, items) for each in pair)  # one rule for both
            both = [_changes(looks[each.id], each, arm, items, prompts, written=written) for each in pair]
            name = f"{direct.model}|{arm}|{worked.tier} against {direct.tier}"
            found[name] = _contrast(looks[worked.id].study, *both)
    return found


def _wrote(plan: Plan, chosen: Chosen, arm: str, items: pl.DataFrame) -> bool:
    """Whether every answer of a member was written out under an arm."""
    edited = arm_rows(items, plan, chosen, arm)
    return "written" in edited.columns and chosen.tier in plan.study.decoded and not edited["written"].null_count()


def _changes(
    plan: Plan, chosen: Chosen, arm: str, items: pl.DataFrame, prompts: pl.DataFrame, *, written: bool
) -> pl.DataFrame:
    """The change of each item of a member under an arm: edited minus baseline, -1, 0 or 1, with the item's buckets."""
    arms: list[pl.DataFrame] = []
    for name in ("baseline", arm):
        rows = read_texts(plan, items, prompts, chosen, name) if written else arm_rows(items, plan, chosen, name)
        right = pl.col("agrees" if written else "correct").cast(pl.Int64).alias("right")
        arms.append(rows.select(*ITEM_KEY, right))
    joined = arms[1].join(arms[0], on=ITEM_KEY, how="inner", validate="1:1", suffix="_base")
    asked = joined.join(prompts.select(*ITEM_KEY, "buckets"), on=ITEM_KEY, how="inner")
    return asked.select(*PLACE, "buckets", (pl.col("right") - pl.col("right_base")).alias("change")).sort(PLACE)


def _contrast(study: Study, direct: pl.DataFrame, worked: pl.DataFrame) -> dict[str, Any]:
    both = worked.join(direct, on=PLACE, how="inner", validate="1:1", suffix="_direct").sort(PLACE)
    difference = (both["change"] - both["change_direct"]).to_numpy()
    unit = clusters(study, both["buckets"])
    place = np.arange(len(difference)) if unit is None else np.unique(unit, return_inverse=True)[1]
    told: dict[str, Any] = {
        "items": len(difference),
        "clusters": int(np.unique(place).size),
        "direct": _mean(both["change_direct"]),
        "worked": _mean(both["change"]),
        "difference": _mean(both["change"] - both["change_direct"]),
        "interval": None,
        "p": None,
    }
    if told["clusters"] >= 2:
        sizes = np.bincount(place)
        made = guarded(np.bincount(place, weights=difference), sizes)
        low, high = made.ends(CONFIDENCE)
        told |= {"interval": [float(low), float(high)], "p": float(made.p_zero())}
    return told


def _mean(numbers: pl.Series) -> float | None:
    return float(numbers.to_numpy().mean()) if numbers.len() else None
