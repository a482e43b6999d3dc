"""What mean and resample ablation say of every zeroed cell of the family, from their rows on the same items.

They are no members of the family and have no N of their own. stats/companion.py holds the rule, fixed before any run;
here are the rows, what spoils them, and the tag that a verdict gets. An item whose layout is too rare has no companion
and is counted; every companion of a cell has the same items, so that a lost row shows.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import polars as pl

from lesion.stats.specificity.companion import Companion, companion, zero_only
from lesion.stats.verdict.cell_verdict import CellVerdict, Clause
from lesion.study.arms.arm import companions
from lesion.study.arms.condition import target
from lesion.study.claims import Replaced
from lesion.study.gates.evidence.paired_arms import arm_rows, rows_of_arm
from lesion.study.plan import Chosen, Plan
from lesion.study.rows import ITEM_KEY
from lesion.study.stages.confirmatory_cells import rule_of

Found = dict[str, dict[str, Companion]]
"""Cell -> ablation -> what it says."""


def kinds_of(plan: Plan, chosen: Chosen) -> tuple[Replaced, ...]:
    """The companions that a member of the family has."""
    there = plan.references.get(chosen.model, {}).get(chosen.tier)
    return tuple(companions(chosen.alpha, plan.study)) if there else ()


def found_beside(plan: Plan, items: pl.DataFrame, prompts: pl.DataFrame, verdicts: Mapping[str, CellVerdict]) -> Found:
    """What the companions of the cells that this look judged say; cells that are Invalid are not asked."""
    found: Found = {}
    for chosen in plan.present():
        verdict = verdicts.get(chosen.id)
        if verdict is not None and verdict.verdict != "Invalid" and kinds_of(plan, chosen):
            found[chosen.id] = {
                kind: _one(plan, items, prompts, chosen, kind, verdict) for kind in kinds_of(plan, chosen)
            }
    return found


def _one(
    plan: Plan, items: pl.DataFrame, prompts: pl.DataFrame, chosen: Chosen, kind: Replaced, verdict: CellVerdict
) -> Companion:
    edited = arm_rows(items, plan, chosen, target(kind).name)
    rows = rows_of_arm(plan, items, prompts, chosen, target(kind).name) if edited.height else None
    base = arm_rows(items, plan, chosen, "baseline").select(*ITEM_KEY, pl.col("answer_logprob").alias("before"))
    both = edited.join(base, on=ITEM_KEY, how="inner")
    replaced = bool((both["answer_logprob"] != both["before"]).any())
    return companion(verdict.verdict, rows, verdict.n, rule_of(plan.study), replaced=replaced)


def tagged(verdicts: Mapping[str, CellVerdict], found: Found) -> dict[str, CellVerdict]:
    """The verdicts, with the companions' clause, and the tag `zero_only` where they do not agree."""
    return {
        name: _with_clause(verdict, found[name]) if name in found else verdict for name, verdict in verdicts.items()
    }


def _with_clause(verdict: CellVerdict, found: Mapping[str, Companion]) -> CellVerdict:
    alone = zero_only(list(found.values()))
    clause = Clause(
        "mean and resample agree",
        "; ".join(f"{kind}: {_said(each)}" for kind, each in found.items()),
        "each shows the same by the same test, for a claim that names the target",
        holds=all(each.answer == "agrees" for each in found.values()),
    )
    tags = (*verdict.tags, "zero_only") if alone else verdict.tags
    return replace(verdict, tags=tags, clauses=(*verdict.clauses, clause))


def _said(found: Companion) -> str:
    if found.delta is None or found.ci_low is None or found.ci_high is None or found.p is None:
        return f"{found.answer} ({found.reason})"
    numbers = f"{100 * found.delta:+.2f} points [{100 * found.ci_low:+.2f}, {100 * found.ci_high:+.2f}]"
    told = f"{found.answer} ({found.reason})" if found.reason else found.answer
    return f"{numbers}, p {found.p:.3g}, {found.n} of {found.of} items: {told}"


def spoiled_companion(plan: Plan, items: pl.DataFrame, chosen: Chosen) -> str | None:
    """The first thing that is wrong with the companions' rows of a member, or nothing."""
    base = arm_rows(items, plan, chosen, "baseline").select(*ITEM_KEY, pl.col("item_id").alias("asked"))
    kinds = kinds_of(plan, chosen)
    tables = {kind: arm_rows(items, plan, chosen, target(kind).name) for kind in kinds}
    for kind, rows in tables.items():
        if rows.select(ITEM_KEY).is_duplicated().any():
            return f"rows of the {kind} ablation are doubled"
        both = rows.join(base, on=ITEM_KEY, how="inner")
        if both.height != rows.height or not both["item_id"].equals(both["asked"]):
            return f"the {kind} ablation answered other items than the baseline"
        if not bool(np.isfinite(rows["answer_logprob"].to_numpy()).all()):
            return f"log-probabilities of the {kind} ablation are not finite"
        if not rows.select(ITEM_KEY).equals(tables[kinds[0]].select(ITEM_KEY)):
            return f"rows of the {kind} ablation are missing: {rows.height}, and {tables[kinds[0]].height} of the other"
    return None
