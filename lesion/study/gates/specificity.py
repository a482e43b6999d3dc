"""Is an effect the target's own? The cells that measure matched sets, and the target's rank among them from their rows.

Only cells with a detected effect are measured; Holm counts all that might have been. Every set and the target get the
same edit on the same items: the first ones of each confirmation lane, as many of every seed. Each model, tier and edit
is measured once. What an edit of a set changed stands in its receipt; a set in which nothing changed (a head that
writes nothing there) is left out, which can only raise p.

Where the rank is among sets of the whole model, sets of the target's own layers are measured as well; their rank is
shown beside it and decides nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import ceil, isfinite
from typing import NamedTuple

import polars as pl

from lesion.stats.specificity.rank import RankSpecificity, SetEffects, Within, evaluable, rank_specificity
from lesion.study.arms.arm import BASELINE, Arm
from lesion.study.arms.condition import Role
from lesion.study.gates.evidence.paired_arms import DRIFT, STAGES
from lesion.study.plan import Cell, Chosen, Plan, StageName, is_control
from lesion.study.rows import ITEM_KEY
from lesion.study.stages.confirmatory_cells import rule_of
from lesion.study.stages.discovery_effects import column
from lesion.study.stages.edits import edited
from lesion.study.stages.matched_sets import Matched, sets_of, sets_within
from lesion.study.study import Study

RANKED: tuple[StageName, ...] = ("specificity", "replicate_specificity")
"""Stages that measure matched sets."""
ARMS = 40
"""Arms of one work unit, at most: enough that the clean run is a small part of it, few enough that little is lost."""


def may_ask(plan: Plan) -> list[Chosen]:
    """The members that may ask at the present stage, known before its data: Holm's correction counts them all.

    Whether one does ask depends on a detected effect, and where only strong effects are detected, those that ask are
    the extreme ones. The cells of the positive control do not ask: they are no findings. On other models those may
    whose source was specific.
    """
    members = plan.replicas if plan.stage == "replicate_specificity" else plan.family
    able = [c for c in members if c.set_items and sets_of(plan, c.model, c.target).sets and declared(plan.study, c)]
    if plan.stage != "replicate_specificity":
        return able
    sources = {(each.tier, each.alpha) for each in plan.family if each.id in plan.specific}
    return [each for each in able if (each.tier, each.alpha) in sources]


def declared(study: Study, chosen: Chosen) -> bool:
    """Whether the study lets a member ask: its tier does (`claims.asking`), and it is no control."""
    may = study.claims is None or study.claims.may_ask(chosen.target, chosen.tier)
    return may and not is_control(study, chosen)


def asking(plan: Plan) -> list[Chosen]:
    """The members whose specificity the present stage measures: those that may ask and have a detected effect."""
    return [each for each in may_ask(plan) if each.id in plan.detected]


def seed_items(plan: Plan, chosen: Chosen) -> int:
    """Items of each seed on which a member's sets are measured."""
    return ceil((chosen.set_items or 0) / plan.study.baseline.seeds)


def specificity_cells(plan: Plan) -> tuple[Cell, ...]:
    """The work units: by model, tier, seed, edit and block, the sets in portions."""
    members = asking(plan)
    return tuple(
        Cell(
            stage=plan.stage, model=chosen.model, tier=chosen.tier, split="confirm", seed=seed, start=start,
            stop=min(start + plan.study.block, seed_items(plan, chosen)), arms=arms,
        )
        for pair in plan.pairs()
        for seed in range(plan.study.baseline.seeds)
        for chosen in _widest_first(plan, [each for each in members if (each.model, each.tier) == pair])
        for start in range(0, seed_items(plan, chosen), plan.study.block)
        for arms in _portions(plan, chosen, seed, members)
    )  # fmt: skip


def _widest_first(plan: Plan, members: Sequence[Chosen]) -> list[Chosen]:
    """Members of a tier, the one with the most items first: its units run the baseline for all of them."""
    return sorted(members, key=lambda each: -seed_items(plan, each))


def _portions(plan: Plan, chosen: Chosen, seed: int, members: Sequence[Chosen]) -> Iterator[tuple[Arm, ...]]:
    """The arms of a member by work unit; the baseline stands in those of its tier's first member."""
    tier = [each for each in members if (each.model, each.tier) == (chosen.model, chosen.tier)]
    base = [BASELINE] if chosen is _widest_first(plan, tier)[0] else []
    sets: dict[Role, tuple[tuple[str, ...], ...]] = {
        "set": sets_of(plan, chosen.model, chosen.target).sets,
        "within": sets_within(plan, chosen.model, chosen.target).sets,
    }  # fmt: skip
    arms = [edited("target", plan.targets[chosen.aim], chosen, plan, seed)]
    for role, each in sets.items():
        arms += [edited(role, sites, chosen, plan, seed, i) for i, sites in enumerate(each)]
    every = (*base, *arms)
    return (every[first : first + ARMS] for first in range(0, len(every), ARMS))


Receipts = Mapping[tuple[str, str, str], float]
"""(model, tier, arm) -> how much the arm changed in all units of a stage: the norm of the change."""


class Ranked(NamedTuple):
    """What a stage found."""

    specific: dict[str, RankSpecificity]
    sets: dict[str, tuple[tuple[str, ...], ...]]
    """Cell -> its sets, in the order of their effects."""
    inert: dict[str, tuple[int, ...]]
    """Cell -> numbers of the sets that were left out, for their receipts show that nothing changed."""
    spoiled: dict[str, str]
    """Cell -> why its rows cannot be trusted; it is not evaluable."""
    within: dict[str, Within]
    """Cell -> the target among sets of its own layers, where its rank is one in the whole model."""


def ranked(plan: Plan, items: pl.DataFrame, receipts: Receipts) -> Ranked:
    """The rank of every cell that asks.

    Holm corrects for every cell that may ask, whether its effect was detected or not. Cells with too few sets for any
    claim are ranked, too, and do not count: that they can show nothing is known before the data.

    Args:
        plan: at a stage of specificity.
        items: rows of all stages.
        receipts: of this stage.
    """
    rule = rule_of(plan.study)
    found, spoiled = dict[str, SetEffects](), dict[str, str]()
    sets, inert = dict[str, tuple[tuple[str, ...], ...]](), dict[str, tuple[int, ...]]()
    within = dict[str, Within]()
    for chosen in asking(plan):
        matched = sets_of(plan, chosen.model, chosen.target)
        unmoved = [i for i in range(len(matched.sets)) if receipts.get(_key(chosen, "set", i)) == 0]
        numbers = [i for i in range(len(matched.sets)) if i not in unmoved]
        told = _effects(plan, items, receipts, chosen, matched, "set", numbers)
        near = _within(plan, items, receipts, chosen)
        if isinstance(told, str) or isinstance(near, str):
            spoiled[chosen.id] = told if isinstance(told, str) else str(near)
            continue
        found[chosen.id] = told
        sets[chosen.id] = tuple(matched.sets[i] for i in numbers)
        if unmoved:
            inert[chosen.id] = tuple(unmoved)
        if near:
            within[chosen.id] = near
    able = {name: each for name, each in found.items() if evaluable(len(each.effects), rule)}
    rest = {name: each for name, each in found.items() if name not in able}
    counted = sum(bool(evaluable(len(sets_of(plan, each.model, each.target).sets), rule)) for each in may_ask(plan))
    specific = rank_specificity(able, rule, asking=counted) | rank_specificity(rest, rule, asking=len(rest))
    return Ranked({name: specific[name] for name in found}, sets, inert, spoiled, within)


def _key(chosen: Chosen, role: Role, member: int) -> tuple[str, str, str]:
    return chosen.model, chosen.tier, chosen.condition(role, member).name


def _within(plan: Plan, items: pl.DataFrame, receipts: Receipts, chosen: Chosen) -> Within | str | None:
    """The rank among sets of the target's own layers; nothing where there are none; or what is wrong with the rows."""
    near = sets_within(plan, chosen.model, chosen.target)
    moved = [i for i in range(len(near.sets)) if receipts.get(_key(chosen, "within", i)) != 0]
    told = _effects(plan, items, receipts, chosen, near, "within", moved)
    if not moved:
        return None
    if isinstance(told, str):
        return told
    rank = rank_specificity({chosen.id: told}, rule_of(plan.study), asking=1)[chosen.id]
    return Within(tuple(near.sets[i] for i in moved), rank.effects, near.exist, rank.rank, rank.p)


def _effects(
    plan: Plan,
    items: pl.DataFrame,
    receipts: Receipts,
    chosen: Chosen,
    matched: Matched,
    role: Role,
    counted: Sequence[int],
) -> SetEffects | str:
    """The mean change under the target and every set, or what is wrong with the rows."""
    names = [chosen.arm, *(chosen.condition(role, number).name for number in counted)]
    if lost := [name for name in names if (chosen.model, chosen.tier, name) not in receipts]:
        return f"{len(lost)} arms have no receipt, the first of them {lost[0]}"
    here = (pl.col("stage") == plan.stage) & (pl.col("model") == chosen.model) & (pl.col("tier") == chosen.tier)
    rows = items.filter(here & (pl.col("index") < seed_items(plan, chosen)))
    for arm in ("baseline", names[0]):
        if reason := _differs(plan, rows, _decided(plan, items, chosen, arm), arm):
            return reason
    number = pl.col(column(plan.study)).cast(pl.Float64)
    asked = _decided(plan, items, chosen, names[0]).select(*ITEM_KEY, "item_id")
    base = rows.filter(pl.col("arm") == "baseline").join(asked, on=ITEM_KEY, how="semi")
    both = rows.filter(pl.col("arm").is_in(names)).join(
        base.select(*ITEM_KEY, "item_id", number.alias("before")), on=[*ITEM_KEY, "item_id"], how="inner"
    )
    found = both.group_by("arm").agg(
        (number - pl.col("before")).mean().alias("effect"), pl.len().alias("n"),
        pl.struct("seed", "index").n_unique().alias("different"),
    )  # fmt: skip
    measured = {row["arm"]: row for row in found.to_dicts()}
    for name in names:
        row = measured.get(name)
        if row is None or not row["n"] == row["different"] == asked.height:
            return f"{name} was not measured on the same {asked.height} items as the target"
        if not isfinite(row["effect"]):
            return f"{name}: an outcome is not finite"
    effects = [float(measured[name]["effect"]) for name in names]
    claims = plan.study.claims
    return SetEffects(
        verdict=plan.detected[chosen.id], target=effects[0], effects=tuple(effects[1:]), items=asked.height,
        exist=matched.exist, population=claims.population if claims is not None else "layer",
    )  # fmt: skip


def _decided(plan: Plan, items: pl.DataFrame, chosen: Chosen, arm: str) -> pl.DataFrame:
    """The rows by which the cell was decided, of the items that the sets are measured on."""
    stage = STAGES[chosen.model not in plan.study.models]
    here = (pl.col("stage") == stage) & (pl.col("model") == chosen.model) & (pl.col("tier") == chosen.tier)
    return items.filter(here & (pl.col("arm") == arm) & (pl.col("index") < seed_items(plan, chosen)))


def _differs(plan: Plan, rows: pl.DataFrame, decided: pl.DataFrame, arm: str) -> str:
    """How an arm's rows differ from those by which the cell was decided; empty where they do not."""
    told = rows.filter(pl.col("arm") == arm).select(
        *ITEM_KEY, "item_id", pl.col("correct").alias("again"), pl.col("answer_logprob").alias("told")
    )
    both = decided.join(told, on=[*ITEM_KEY, "item_id"], how="inner")
    if both.height != decided.height or not decided.height:
        return f"{arm} has {both.height} of the {decided.height} items by which the cell was decided"
    if flips := int((both["correct"] != both["again"]).sum()):
        return f"{flips} answers of {arm} differ from those by which the cell was decided"
    gap = (both["answer_logprob"] - both["told"]).abs().max()
    limit = DRIFT[plan.study.dtype]
    if not (isinstance(gap, float) and gap <= limit):
        return f"log-probabilities of {arm} differ by {gap} nats from those by which the cell was decided"
    return ""
