"""From rows to the verdict's evidence: pairing, strata, and what spoils a cell.

Every family member is judged on its own confirmation rows, paired item by item with a baseline that was run again in
the same batches. Nothing is dropped silently: a missing, doubled or unpaired row makes the cell Invalid.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lesion.stats.paired.numbers import PairedNumbers
from lesion.stats.paired.rows import PairedRows
from lesion.stats.specificity.contrast import Specificity, specific
from lesion.stats.verdict.ablation_agreement import COVERED
from lesion.stats.verdict.bfloat16_floor import beside_floor
from lesion.stats.verdict.cell_verdict import CellVerdict
from lesion.stats.verdict.judge import judge
from lesion.stats.verdict.rule import Discovered
from lesion.study.arms.condition import Edit, Role
from lesion.study.claims import Ablation
from lesion.study.gates.evidence.clusters import clusters
from lesion.study.metric_table import JUDGED
from lesion.study.plan import Chosen, Plan, look_items
from lesion.study.rows import ITEM_KEY
from lesion.study.stages.confirmatory_cells import rule_of
from lesion.study.stages.discovery_effects import column

DISCOVERED = ("discovery", "transfer")
"""Stages whose rows decide what is confirmed, and never a verdict."""
STAGES = ("confirm", "replicate")
"""Stages whose rows decide: the study's own models, and those of its replication."""


def arm_rows(items: pl.DataFrame, plan: Plan, chosen: Chosen, arm: str) -> pl.DataFrame:
    """The confirmation (or replication) rows of one arm of this member's model and tier, up to the present look."""
    stage = STAGES[chosen.model not in plan.study.models]
    here = (pl.col("stage") == stage) & (pl.col("model") == chosen.model) & (pl.col("tier") == chosen.tier)
    return items.filter(here & (pl.col("arm") == arm) & (pl.col("index") < look_items(plan, chosen))).sort(ITEM_KEY)


def pending(plan: Plan) -> list[Chosen]:
    """The members of the family that the present look decides."""
    return [chosen for chosen in plan.present() if chosen.id in plan.pending]


def paired_rows(
    plan: Plan, items: pl.DataFrame, prompts: pl.DataFrame, chosen: Chosen, role: Role = "target"
) -> PairedRows:
    """One member's rows as arrays: baseline, and the target or control under the member's edit, paired by item."""
    return rows_of_arm(plan, items, prompts, chosen, chosen.condition(role).name)


def rows_of_arm(plan: Plan, items: pl.DataFrame, prompts: pl.DataFrame, chosen: Chosen, name: str) -> PairedRows:
    """Baseline and the arm of this name on one member's items, paired by item: right or wrong, whatever is judged."""
    return _answers(plan, _paired(plan, items, prompts, chosen, name))


def outcome_rows(
    plan: Plan, items: pl.DataFrame, prompts: pl.DataFrame, chosen: Chosen, name: str, like: str = ""
) -> PairedRows | PairedNumbers:
    """What the verdict judges of baseline and the arm of this name, paired by item.

    Args:
        plan: at a look.
        items: rows of the run.
        prompts: its questions.
        chosen: the member.
        name: the arm.
        like: only items that this arm has, too; all when empty.
    """
    rows = _paired(plan, items, prompts, chosen, name)
    if like:
        rows = rows.join(arm_rows(items, plan, chosen, like), on=ITEM_KEY, how="semi").sort(ITEM_KEY)
    if not plan.study.continuous:
        return _answers(plan, rows)
    number = column(plan.study)
    return PairedNumbers(
        baseline=rows[f"before_{number}"].to_numpy(),
        edited=rows[number].to_numpy(),
        seed=rows["seed"].to_numpy(),
        strata=_strata(plan, rows),
        cluster=clusters(plan.study, rows["buckets"]),
        item=rows["item_id"].to_numpy(),
    )


def _paired(plan: Plan, items: pl.DataFrame, prompts: pl.DataFrame, chosen: Chosen, name: str) -> pl.DataFrame:
    """An arm's rows with the baseline's numbers (`before_…`) and the buckets, joined by item."""
    edited = arm_rows(items, plan, chosen, name)
    told = [each for each in ("parsed", *JUDGED) if each in items.columns]
    base = arm_rows(items, plan, chosen, "baseline").select(*ITEM_KEY, pl.col(told).name.prefix("before_"))
    rows = edited.join(base, on=ITEM_KEY, how="inner", validate="1:1")
    return rows.join(prompts.select(*ITEM_KEY, "buckets"), on=ITEM_KEY, how="inner", validate="1:1").sort(ITEM_KEY)


def _answers(plan: Plan, rows: pl.DataFrame) -> PairedRows:
    return PairedRows(
        baseline=rows["before_correct"].to_numpy(),
        edited=rows["correct"].to_numpy(),
        seed=rows["seed"].to_numpy(),
        strata=_strata(plan, rows),
        cluster=clusters(plan.study, rows["buckets"]),
        item=rows["item_id"].to_numpy(),
        **_parse_flags(rows),
    )


def _strata(plan: Plan, rows: pl.DataFrame) -> dict[str, NDArray[Any]]:
    names = plan.study.verdict.strata
    levels = rows.select(pl.col("buckets").str.json_path_match(f"$.{name}").alias(name) for name in names)
    return {name: levels[name].to_numpy() for name in names if rows.height and levels[name].null_count() == 0}


def _parse_flags(rows: pl.DataFrame) -> dict[str, NDArray[Any]]:
    """Which answers of both arms could be read; nothing where an arm did not write its answers out."""
    told = {"baseline_parsed": "before_parsed", "edited_parsed": "parsed"}
    if "parsed" not in rows.columns or any(rows[column].null_count() for column in told.values()):
        return {}
    return {name: rows[column].to_numpy() for name, column in told.items()}


def paired_numbers(plan: Plan, items: pl.DataFrame, chosen: Chosen, number: str) -> NDArray[np.float64]:
    """Edited minus baseline of a per-item number, by item, for the rows of one member's look; shape [n]."""
    base = arm_rows(items, plan, chosen, "baseline").select(*ITEM_KEY, pl.col(number).alias("before"))
    edited = arm_rows(items, plan, chosen, chosen.arm)
    both = edited.join(base, on=ITEM_KEY, how="inner", validate="1:1").sort(ITEM_KEY)
    return (both[number] - both["before"]).to_numpy()


def confirm_cells(
    plan: Plan, items: pl.DataFrame, prompts: pl.DataFrame, invalid: Mapping[str, str]
) -> dict[str, CellVerdict]:
    """Format 1: the verdict of every pending member, with Holm over the whole family."""
    members = pending(plan)
    cells = {c.id: paired_rows(plan, items, prompts, c, "target") for c in members if c.id not in invalid}
    rule = rule_of(plan.study)
    verdicts = judge(
        cells,
        rule,
        look=plan.attempt + 1,
        family_size=len(plan.present()),
        discovered={chosen.id: Discovered(psi=chosen.psi, delta=chosen.delta) for chosen in members},
        chance=dict.fromkeys([chosen.id for chosen in members], 0.0),
        invalid=dict(invalid),
    )
    if plan.study.dtype == "float32":
        return verdicts
    floors = {c.id: plan.rounding.get(c.model, {}).get(c.tier, 1.0) for c in members}
    return {name: beside_floor(found, floors[name], rule) for name, found in verdicts.items()}


def specificity_arms(
    plan: Plan, items: pl.DataFrame, prompts: pl.DataFrame, invalid: Mapping[str, str]
) -> dict[str, Specificity]:
    """Format 1: target against matched random set, item by item, for pending members whose model has control sets."""
    members = [c for c in pending(plan) if c.id not in invalid and plan.controls[c.aim]]
    if not members:
        return {}
    targets = {chosen.id: paired_rows(plan, items, prompts, chosen, "target") for chosen in members}
    controls = {chosen.id: paired_rows(plan, items, prompts, chosen, "control") for chosen in members}
    return specific(targets, controls, rule_of(plan.study), family_size=len(plan.present()))


def spoiled(plan: Plan, items: pl.DataFrame, prompts: pl.DataFrame) -> dict[str, str]:
    """The members whose rows cannot be trusted, each with the reason."""
    reasons: dict[str, str] = {}
    for chosen in pending(plan):
        if reason := _fault(plan, items, prompts, chosen):
            reasons[chosen.id] = reason
    return reasons


DRIFT = {"float32": 1e-2, "bfloat16": 0.5}
"""Largest difference of an answer's log-probability between two unedited runs of an item, nats: a hundred times what
the engines may differ by at one token (five times in bfloat16, whose answers are compared with its floor besides), and
far below any effect that a verdict could rest on."""


def _asked_before(items: pl.DataFrame, base: pl.DataFrame) -> int:
    """How many of these questions discovery has asked."""
    discovered = items.filter(pl.col("stage").is_in(DISCOVERED))
    return base.join(discovered.select("model", "tier", "item_id").unique(), on=["model", "tier", "item_id"]).height


def _fault(plan: Plan, items: pl.DataFrame, prompts: pl.DataFrame, chosen: Chosen) -> str | None:
    """The first thing that is wrong with a member's rows, or nothing."""
    base, edited = (arm_rows(items, plan, chosen, arm) for arm in ("baseline", chosen.arm))
    asked = (
        (pl.col("model") == chosen.model)
        & (pl.col("tier") == chosen.tier)
        & (pl.col("split") == "confirm")
        & (pl.col("index") < look_items(plan, chosen))
        & pl.col("refused").is_null()
    )
    expected = prompts.filter(asked).select(ITEM_KEY).sort(ITEM_KEY)
    for name, rows in (("baseline", base), ("edited", edited)):
        wanted = _expected(plan, items, chosen, name, expected)
        if reason := _incomplete(name, rows, wanted):
            return reason
        if rows.height < COVERED * expected.height:
            return f"only {rows.height} of {expected.height} items have a reference for the {chosen.edit} ablation"
    if seen := _asked_before(items, base):
        return f"{seen} of its questions were asked in discovery as well"
    if twice := base.height - base["item_id"].n_unique():
        return f"{twice} of its questions were asked twice"
    if not base.join(edited, on=ITEM_KEY, how="semi").sort(ITEM_KEY)["item_id"].equals(edited["item_id"]):
        return "the edited run answered other items than the baseline"
    return _moved(plan, items, chosen, base) or _diverged(plan, edited)


def _incomplete(name: str, rows: pl.DataFrame, wanted: pl.DataFrame) -> str | None:
    """What is wrong with an arm's rows, held against the questions that it must answer, or nothing."""
    if rows.select(ITEM_KEY).is_duplicated().any():
        return f"{name} rows are doubled"
    if not rows.select(ITEM_KEY).equals(wanted):
        return f"{name} rows are missing or foreign: {rows.height} rows for {wanted.height} questions"
    if not bool(np.isfinite(rows["answer_logprob"].to_numpy()).all()):
        return f"{name} log-probabilities are not finite"
    return None


def _expected(plan: Plan, items: pl.DataFrame, chosen: Chosen, name: str, asked: pl.DataFrame) -> pl.DataFrame:
    """The items that an arm must have: all; of an ablation that needs a reference, those that the other one has."""
    others: dict[Ablation | None, Edit] = {"mean": "resample", "median": "mean", "resample": "mean"}
    other = others.get(chosen.ablation)
    if name == "baseline" or other is None:
        return asked
    return asked.join(arm_rows(items, plan, chosen, chosen.condition(edit=other).name), on=ITEM_KEY, how="semi").sort(
        ITEM_KEY
    )


def _diverged(plan: Plan, edited: pl.DataFrame) -> str | None:
    """By how much the edited answers diverge from the unedited ones, where the study sets a limit that they exceed."""
    limit = plan.study.verdict.most_kl
    if limit is None:
        return None
    mean = edited["kl"].mean() if "kl" in edited.columns and not edited["kl"].null_count() else None
    if not isinstance(mean, float):
        return "how far edited answers diverge from the unedited ones was not measured in every row"
    return f"edited answers diverge by {mean:.3g} nats on average (verdict.most_kl {limit:g})" if mean > limit else None


def _moved(plan: Plan, items: pl.DataFrame, chosen: Chosen, base: pl.DataFrame) -> str | None:
    """How the baseline differs from the baseline stage or the placebo, where it does."""
    first = items.filter((pl.col("stage") == "baseline") & (pl.col("arm") == "baseline"))
    for name, other in (("the baseline stage", first), ("the placebo", arm_rows(items, plan, chosen, chosen.placebo))):
        told = other.select(*ITEM_KEY, pl.col("correct").alias("again"), pl.col("answer_logprob").alias("told"))
        both = base.join(told, on=ITEM_KEY, how="inner")
        if flips := int((both["correct"] != both["again"]).sum()):
            return f"{flips} answers differ between the baseline and {name}"
        gap = (both["answer_logprob"] - both["told"]).abs().max()
        limit = DRIFT[plan.study.dtype]
        if isinstance(gap, float) and not gap <= limit:
            return f"log-probabilities differ by {gap:.2g} nats between the baseline and {name} (limit {limit:g})"
    return None
