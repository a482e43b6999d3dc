"""The confirmatory family: which cells discovery puts forward, and how many items each needs; fixed before look 1.

Factors listed under `sweep.always` are confirmed in every tier; besides them the `sweep.best` factors with the highest
accuracy on discovery items (ties go to the factor nearest 1). Discovery's effects choose; they are never results.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import polars as pl

from lesion.stats.power import needed_n, needed_numbers_n
from lesion.stats.verdict.rule import Discovered, Outcome, Rule
from lesion.study.arms.condition import target
from lesion.study.gates.margins import margin_of
from lesion.study.plan import Chosen, Plan
from lesion.study.stages.discovery_effects import DISCOVERIES, needed, seen, with_margin
from lesion.study.stages.edits import primary_of
from lesion.study.stages.set_items import set_items
from lesion.study.study import Study
from lesion.tasks.task import RUN


def discovery_table(items: pl.DataFrame, outcome: Outcome = "accuracy") -> pl.DataFrame:
    """Per model, tier and arm: n, accuracy, delta = mean(edited - baseline), psi = share changed.

    With a continuous outcome its mean stands beside them as `outcome`, and that of its change as `outcome_delta`, nats.
    """
    table = _accuracies(items)
    if outcome == "accuracy":
        return table
    rows = items.filter(pl.col("stage").is_in(DISCOVERIES))
    keys = ["model", "tier", "index"]
    base = rows.filter(pl.col("arm") == "baseline").select(*keys, pl.col(outcome).alias("before"))
    both = rows.join(base, on=keys, how="inner", validate="m:1").group_by("model", "tier", "arm")
    means = both.agg(
        pl.col(outcome).mean().alias("outcome"), (pl.col(outcome) - pl.col("before")).mean().alias("outcome_delta")
    )
    return table.join(means, on=["model", "tier", "arm"], how="left").sort("model", "tier", "arm")


def _accuracies(items: pl.DataFrame) -> pl.DataFrame:
    rows = items.filter(pl.col("stage").is_in(DISCOVERIES))
    base = rows.filter(pl.col("arm") == "baseline").select("model", "tier", "index", pl.col("correct").alias("before"))
    change = pl.col("correct").cast(pl.Int64) - pl.col("before").cast(pl.Int64)
    return (
        rows.join(base, on=["model", "tier", "index"], how="inner", validate="m:1")
        .with_columns(change.alias("change"))
        .group_by("model", "tier", "arm")
        .agg(
            pl.len().cast(pl.Int64).alias("n"),
            pl.col("correct").mean().alias("accuracy"),
            pl.col("change").mean().alias("delta"),
            pl.col("change").abs().mean().alias("psi"),
            (pl.col("change") > 0).sum().cast(pl.Int64).alias("gained"),
            (pl.col("change") < 0).sum().cast(pl.Int64).alias("lost"),
        )
        .sort("model", "tier", "arm")
    )


def rule_of(study: Study) -> Rule:
    """The study's thresholds as the statistics know them, and the edition of the rule that its format means."""
    verdict = study.verdict
    return Rule(
        margin=verdict.margin,
        alpha=verdict.alpha,
        looks=verdict.looks,
        spread=verdict.spread,
        effect=verdict.effect,
        power=verdict.power,
        outcome=study.outcome,
        edition=study.lesion,
    )


def _factors(study: Study, table: pl.DataFrame, model: str, tier: str, name: str) -> list[float]:
    """The factors of a target that this tier puts forward, `always` first; the best by what the verdict judges."""
    accuracy = {
        row["arm"]: row["outcome" if study.continuous else "accuracy"]
        for row in table.filter((pl.col("model") == model) & (pl.col("tier") == tier)).to_dicts()
    }
    others = [alpha for alpha in study.sweep.alphas if alpha not in study.sweep.always]
    ranked = sorted(others, key=lambda alpha: (-accuracy[target(alpha, name).name], abs(alpha - 1), alpha))
    return [*study.sweep.always, *ranked[: study.sweep.best]]


def family_size(study: Study) -> int:
    """How many cells a study means to confirm: models x tiers x targets x (always + best)."""
    each = len(study.sweep.always) + study.sweep.best
    return len(study.models) * len(study.tasks) * len(study.sweep.named) * each


PSI_GRID = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)


SD_GRID = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Standard deviations of a paired difference, nats."""


def assumed_n(study: Study, spread: float, tier: str = "") -> int:
    """Items per seed and look for a true difference of 0, before discovery has measured how answers vary.

    Args:
        study: whose rule and family hold.
        spread: share of changed answers, or for a continuous outcome the standard deviation of a difference in nats.
        tier: whose items are asked for; without one, a tier where a Null should be within reach.
    """
    rule, size = rule_of(study), family_size(study)
    if study.continuous:
        null = tier not in study.effects_only
        return needed_numbers_n(Discovered(0.0, sd=spread), rule, size, study.baseline.seeds, null=null)
    return needed_n(spread, 0.0, rule, size, study.baseline.seeds)


def power_table(plan: Plan) -> list[dict[str, object]]:
    """`assumed_n` for several spreads (`psi`, or `sd` in nats); does each tier hold the items of all looks?"""
    study = plan.study
    name, grid = ("sd", SD_GRID) if study.continuous else ("psi", PSI_GRID)
    return [
        {"tier": tier, name: spread, "items": need, "holds": held, "enough": need * study.verdict.looks <= held}
        for tier, held in plan.capacity.items()
        for spread in grid
        for need in (assumed_n(study, spread, tier),)
    ]


class _Wanted(NamedTuple):
    """A cell before its items are counted."""

    model: str
    tier: str
    target: str
    alpha: float


class Discovery(NamedTuple):
    """What discovery measured."""

    table: pl.DataFrame
    """`discovery_table` of it."""
    items: pl.DataFrame
    prompts: pl.DataFrame


def choose(plan: Plan, found: Discovery) -> tuple[tuple[Chosen, ...], list[str]]:
    """The family, and a sentence for each cell that its tier's pool cannot hold (N is never lowered)."""
    study = plan.study
    wanted = [
        _Wanted(model, tier, name, alpha)
        for model, tier in plan.own_pairs()
        for _, name, _ in plan.aims(model)
        for alpha in _factors(study, found.table, model, tier, name)
    ]
    return _sized(plan, found, wanted, family_size(study))


def choose_replicas(plan: Plan, found: Discovery) -> tuple[tuple[Chosen, ...], list[str]]:
    """The replication's family: every configuration on every model that it was mapped to; as `choose`."""
    others = plan.other_pairs()
    wanted = [_Wanted(m, t, "", each.alpha) for m, t in others for each in plan.configurations if each.tier == t]
    return _sized(plan, found, wanted, len(wanted))


def _sized(plan: Plan, found: Discovery, wanted: Sequence[_Wanted], size: int) -> tuple[tuple[Chosen, ...], list[str]]:
    """Cells with the items that each needs, and a sentence for each that its pool cannot hold."""
    study, block = plan.study, plan.study.block
    family: list[Chosen] = []
    dropped: list[str] = []
    for each in wanted:
        model, tier = each.model, each.tier
        chosen, need, reach = (_first_rule if study.lesion == 1 else _member)(plan, found, each, size)
        need = max(block, -(-need // block) * block)
        chosen = chosen.model_copy(update={"items": need})
        margin = margin_of(plan, found.items, found.prompts, model, tier)
        chosen = chosen.model_copy(update={"set_items": set_items(plan, found.items, chosen, margin, reach)})
        if need * study.verdict.looks > plan.capacity[tier]:
            dropped.append(
                f"{chosen.id} needs {need} items per seed and look, and a seed of {tier} holds"
                f" {plan.capacity[tier]} for {study.verdict.looks} looks"
            )
        else:
            family.append(chosen)
    return tuple(family), dropped


def _member(plan: Plan, found: Discovery, wanted: _Wanted, size: int) -> tuple[Chosen, int, float]:
    """A member under its own edit, the items per seed that it needs, and the share of items that have the edit."""
    model, tier, name, alpha = wanted
    study, kind = plan.study, primary_of(plan, model, tier, alpha)
    exchange = study.sweep.edit.exchange
    edit = seen(study, found.items, found.prompts, model, tier, target(exchange or kind or alpha, name).name)
    rule = with_margin(rule_of(study), margin_of(plan, found.items, found.prompts, model, tier))
    psi, delta, sd, between = edit.found
    chosen = Chosen(
        model=model, tier=tier, alpha=alpha, items=0, psi=psi, delta=delta, ablation=kind, exchange=exchange, sd=sd,
        between=between, target=name,
    )  # fmt: skip
    every_prefix = RUN * study.prefixes if edit.clusters and has_prefixes(found.prompts, tier) else 0
    return (
        chosen,
        max(every_prefix, needed(edit, rule, size, study.baseline.seeds, null=tier not in study.effects_only)),
        edit.reach,
    )


def has_prefixes(prompts: pl.DataFrame, tier: str) -> bool:
    """Whether a tier's items stand behind example sets; else its clusters are templates alone."""
    buckets = prompts.filter(pl.col("tier") == tier)["buckets"]
    return bool(buckets.str.json_path_match("$.prefix").is_not_null().any())


def _first_rule(plan: Plan, found: Discovery, wanted: _Wanted, size: int) -> tuple[Chosen, int, float]:
    """The same in a study of format 1."""
    model, tier, _, alpha = wanted
    row = _row(found.table, model, tier, target(alpha).name)
    told = Discovered.from_counts(row["gained"], row["lost"], row["n"])
    need = needed_n(told.psi, told.delta, rule_of(plan.study), size, plan.study.baseline.seeds)
    return Chosen(model=model, tier=tier, alpha=alpha, items=0, psi=told.psi, delta=told.delta), need, 1.0


def _row(table: pl.DataFrame, model: str, tier: str, arm: str) -> dict[str, Any]:
    here = (pl.col("model") == model) & (pl.col("tier") == tier) & (pl.col("arm") == arm)
    return table.filter(here).row(0, named=True)
