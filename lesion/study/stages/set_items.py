"""On how many items each matched set is measured: fixed with the family, from what discovery showed of a few sets."""

from math import ceil
from typing import Any

import polars as pl

from lesion.study.plan import Chosen, Plan
from lesion.study.stages.discovery_effects import DISCOVERIES, column

SEEN = 12
"""Sets that discovery measures under the primary ablation, so that their spread is known."""
FINER = 5
"""The noise of items in a set's effect is at most the sets' spread over this."""


def set_items(plan: Plan, items: pl.DataFrame, chosen: Chosen, margin: float, reach: float) -> int | None:
    """Items for each set of a member, all seeds together; nothing where no sets are wanted.

    Enough that the noise of items, the root of psi / n (of sd^2 / n for nats), is a fifth of the spread of the sets
    that discovery measured. A spread below the margin counts as the margin: finer differences between sets say nothing
    about an effect worth having. Never more than the member's own items at the first look.

    Args:
        plan: at a discovery.
        items: its rows.
        chosen: the member, with its items.
        margin: of the member, a share or nats.
        reach: share of items that have the edit.
    """
    claims, seeds = plan.study.claims, plan.study.baseline.seeds
    if claims is None or not claims.sets:
        return None
    seen = _sets(plan, items, chosen)
    spread: Any = seen["mean"].std() if seen.height > 1 else 0.0
    square: Any = seen["square"].mean() if seen.height else 0.0
    wanted = ceil(square * (FINER / max(spread, margin)) ** 2)
    return min(seeds * chosen.items, ceil(max(claims.set_items, wanted) / reach))


def _sets(plan: Plan, items: pl.DataFrame, chosen: Chosen) -> pl.DataFrame:
    """Mean change and mean squared change of an item, by set that discovery measured under the member's edit."""
    here = (pl.col("model") == chosen.model) & (pl.col("tier") == chosen.tier) & pl.col("stage").is_in(DISCOVERIES)
    rows = items.filter(here).select("index", "arm", pl.col(column(plan.study)).cast(pl.Float64).alias("number"))
    base = rows.filter(pl.col("arm") == "baseline").select("index", pl.col("number").alias("before"))
    controls = [chosen.condition("control", i).name for i in range(len(plan.controls.get(chosen.aim, ())))]
    sets = rows.filter(pl.col("arm").is_in(controls))
    change = pl.col("number") - pl.col("before")
    means = (
        sets.join(base, on="index").group_by("arm").agg(change.mean().alias("mean"), (change**2).mean().alias("square"))
    )
    return means.sort("arm")
