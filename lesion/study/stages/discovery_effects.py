"""What discovery showed of an edit, for planning: its variance by item and by cluster, and its share of items."""

from dataclasses import replace
from math import ceil, sqrt
from typing import NamedTuple

import numpy as np
import polars as pl

from lesion.stats.power import UNREACHABLE, needed_n, needed_numbers_n
from lesion.stats.verdict.rule import Discovered, Rule
from lesion.study.gates.evidence.clusters import clusters
from lesion.study.rows import ITEM_KEY
from lesion.study.study import Study

DISCOVERIES = ("discovery", "transfer")
"""Stages that measure discovery items."""


class Seen(NamedTuple):
    """An edit on the discovery items of a model and tier."""

    found: Discovered
    n: int
    """Items that have the edit."""
    of: int
    """Items that were asked."""
    clusters: int
    """Clusters of a seed; 0: items are independent."""

    @property
    def reach(self) -> float:
        """Share of items that will have the edit, at the least: two standard errors below what was seen."""
        share = self.n / self.of
        return max(share - 2 * sqrt(share * (1 - share) / self.of), 0.01)


def seen(study: Study, items: pl.DataFrame, prompts: pl.DataFrame, model: str, tier: str, arm: str) -> Seen:
    """What discovery showed of an arm."""
    here = (pl.col("model") == model) & (pl.col("tier") == tier) & (pl.col("split") == "discovery")
    rows = items.filter(here & pl.col("stage").is_in(DISCOVERIES))
    base = rows.filter(pl.col("arm") == "baseline").select(*ITEM_KEY, pl.col(value := column(study)).alias("before"))
    both = rows.filter(pl.col("arm") == arm).join(base, on=ITEM_KEY, how="inner", validate="1:1")
    both = both.join(prompts.filter(here).select(*ITEM_KEY, "buckets"), on=ITEM_KEY, how="inner").sort(ITEM_KEY)
    change = both[value].cast(pl.Float64).to_numpy() - both["before"].cast(pl.Float64).to_numpy()
    cluster = clusters(study, both["buckets"])
    if both.height < 2:
        return Seen(Discovered(0.5), both.height, max(base.height, 1), 0)
    found = Discovered.from_numbers(change, cluster)
    if not study.continuous:
        counted = Discovered.from_counts(int((change > 0).sum()), int((change < 0).sum()), change.size)
        found = counted._replace(between=found.between)
    return Seen(found, both.height, base.height, 0 if cluster is None else len(np.unique(cluster)))


def column(study: Study) -> str:
    """The column of the rows that the verdict judges."""
    return "correct" if study.outcome == "accuracy" else study.outcome


def needed(edit: Seen, rule: Rule, family: int, seeds: int, *, null: bool = True) -> int:
    """Items per seed at the first look; `null`: so many that a Null is within reach.

    Where clusters differ so much that no number of items makes the seed gate evaluable, it is what the items' own noise
    needs: such a cell can show a direction, never a Null or a size.
    """
    if not edit.clusters and edit.found.sd is None:
        need = needed_n(edit.found.psi, edit.found.delta, rule, family, seeds)
    else:
        need = needed_numbers_n(edit.found, rule, family, seeds, edit.clusters, null=null)
        if need >= UNREACHABLE:
            need = needed_numbers_n(edit.found._replace(between=0.0), rule, family, seeds, edit.clusters, null=null)
    return ceil(need / edit.reach)


def with_margin(rule: Rule, margin: float) -> Rule:
    """The rule with a cell's own margin."""
    return replace(rule, margin=margin)
