"""The verdicts of a look in a study of format 2: every member by its own edit, and by the other ablations beside it.

One rule judges all of them: the same items, family, margins and chance. Where the ablations of a cell do not give one
word, its verdict is tagged `ablation_dependent`. docs/verdict.md states the rule.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import polars as pl

from lesion.stats.paired.numbers import PairedNumbers
from lesion.stats.paired.rows import PairedRows
from lesion.stats.verdict.ablation_agreement import agreement
from lesion.stats.verdict.bfloat16_floor import beside_floor
from lesion.stats.verdict.cell_verdict import CellVerdict, Clause
from lesion.stats.verdict.judge import judge
from lesion.stats.verdict.rule import Discovered
from lesion.study.claims import ABLATIONS, Ablation
from lesion.study.gates.evidence.paired_arms import arm_rows, outcome_rows, pending
from lesion.study.gates.margins import chance_of, margin_of
from lesion.study.plan import Chosen, Plan, pair_name
from lesion.study.rows import ITEM_KEY
from lesion.study.stages.confirmatory_cells import rule_of
from lesion.study.stages.discovery_effects import seen
from lesion.study.stages.edits import measured, others_of

Verdicts = dict[str, CellVerdict]


class Judged(NamedTuple):
    """What a look says."""

    verdicts: Verdicts
    """Member -> its verdict, with the tag and clause of agreement."""
    ablations: dict[str, dict[Ablation, CellVerdict]]
    """Member that ablates -> ablation -> verdict, its own among them."""
    chance: dict[str, float]
    """`model|tier` -> what guessing scores, by the outcome."""
    margins: dict[str, float]
    """`model|tier` -> the margin, a share or nats."""


def judged(plan: Plan, items: pl.DataFrame, prompts: pl.DataFrame, invalid: Mapping[str, str]) -> Judged:
    """Judge every pending member, and what the other ablations show on its items."""
    members = pending(plan)
    places = dict.fromkeys((each.model, each.tier) for each in members if each.id not in invalid)
    chance = {pair_name(*at): chance_of(plan.study, prompts, *at).value for at in places}
    margins = {pair_name(*at): margin_of(plan, items, prompts, *at) for at in places}
    look = _Look(plan, items, prompts, chance, margins)
    own = look.verdicts(members, None, invalid)
    beside: dict[Ablation, Verdicts] = {
        kind: look.verdicts([c for c in members if kind in others_of(c)], kind, invalid) for kind in ABLATIONS
    }
    found: dict[str, dict[Ablation, CellVerdict]] = {}
    for chosen in members:
        if chosen.ablation is not None and chosen.id not in invalid:
            every: dict[Ablation, Verdicts] = {**beside, chosen.ablation: own}
            found[chosen.id] = {kind: every[kind][chosen.id] for kind in measured(chosen) if chosen.id in every[kind]}
    kinds = {chosen.id: chosen.ablation for chosen in members}
    verdicts = {
        name: _agreed(verdict, found[name], str(kinds[name])) if name in found else verdict
        for name, verdict in own.items()
    }
    return Judged(verdicts, found, chance, margins)


class _Look(NamedTuple):
    """Everything that the verdicts of a look share."""

    plan: Plan
    items: pl.DataFrame
    prompts: pl.DataFrame
    chance: Mapping[str, float]
    margins: Mapping[str, float]

    def verdicts(self, members: list[Chosen], kind: Ablation | None, invalid: Mapping[str, str]) -> Verdicts:
        """By the members' own edits, or by another ablation on the items that the own edit has."""
        plan, rule = self.plan, rule_of(self.plan.study)
        faults = {c.id: invalid[c.id] for c in members if c.id in invalid}
        sound = [c for c in members if c.id not in faults]
        cells = {c.id: rows for c in sound if (rows := self._rows(c, kind)) is not None}
        if not cells and not faults:
            return {}
        found = judge(
            cells,
            rule,
            look=plan.attempt + 1,
            family_size=len(plan.present()),
            discovered={c.id: self._discovered(c, kind) for c in sound},
            chance={c.id: self.chance[pair_name(c.model, c.tier)] for c in sound},
            margins={c.id: self.margins[pair_name(c.model, c.tier)] for c in sound},
            conditional=plan.study.prefixes == 1 and any(getattr(t, "shots", 0) for t in plan.study.tasks.values()),
            exhaustive=[c.id for c in sound if c.tier in plan.study.exhaustive],
            invalid=faults,
        )
        if plan.study.dtype == "float32":
            return found
        floors = {c.id: plan.rounding.get(c.model, {}).get(c.tier, 1.0) for c in members}
        return {name: beside_floor(each, floors[name], rule) for name, each in found.items()}

    def _rows(self, chosen: Chosen, kind: Ablation | None) -> PairedRows | PairedNumbers | None:
        name = chosen.condition(edit=kind).name if kind else chosen.arm
        if not arm_rows(self.items, self.plan, chosen, name).height:
            return None
        return outcome_rows(self.plan, self.items, self.prompts, chosen, name, like=chosen.arm)

    def _discovered(self, chosen: Chosen, kind: Ablation | None) -> Discovered:
        if kind is None:
            return chosen.discovered
        return seen(
            self.plan.study, self.items, self.prompts, chosen.model, chosen.tier, chosen.condition(edit=kind).name
        ).found


def _agreed(verdict: CellVerdict, found: Mapping[Ablation, CellVerdict], own: str) -> CellVerdict:
    """The verdict with the clause of agreement, and the tag where the ablations give different words."""
    told = agreement({str(kind): each for kind, each in found.items()}, own, (*dict.fromkeys((*ABLATIONS, own)),))
    words = "; ".join(f"{kind}: {_said(found.get(kind), told.reasons.get(kind, ''))}" for kind in ABLATIONS)
    clause = Clause("ablations agree", words, f"zero, mean and resample all give the verdict of {own}", told.agrees)
    open_ = verdict.verdict in ("Ambiguous", "Invalid")
    tags = verdict.tags if told.agrees or open_ else (*verdict.tags, "ablation_dependent")
    return replace(verdict, tags=tags, clauses=(*verdict.clauses, clause))


def _said(verdict: CellVerdict | None, reason: str) -> str:
    if verdict is None or verdict.delta is None:
        return reason or "Invalid"
    few = f" ({reason})" if reason.startswith("only") else ""
    return f"{verdict.verdict} on {verdict.n} items{few}"


def spoiled_ablations(plan: Plan, items: pl.DataFrame, chosen: Chosen) -> str | None:
    """The first thing that is wrong with the ablations' rows of a member, or nothing."""
    if chosen.ablation is None:
        return None
    base = arm_rows(items, plan, chosen, "baseline")
    asked = base.select(*ITEM_KEY, pl.col("item_id").alias("asked"), pl.col("answer_logprob").alias("before"))
    tables: dict[Ablation, pl.DataFrame] = {k: _rows_of(items, plan, chosen, k) for k in measured(chosen)}
    for kind, rows in tables.items():
        if reason := _fault(kind, rows, asked):
            return reason
    if not tables["zero"].select(ITEM_KEY).equals(base.select(ITEM_KEY)):
        return f"rows of the zero ablation are missing: {tables['zero'].height} of {base.height}"
    mean = tables["mean"].select(ITEM_KEY)
    for kind, rows in tables.items():
        if kind != "zero" and not mean.equals(rows.select(ITEM_KEY)):
            return f"rows of an ablation are missing: mean has {mean.height}, {kind} has {rows.height}"
    return None


def _rows_of(items: pl.DataFrame, plan: Plan, chosen: Chosen, kind: Ablation) -> pl.DataFrame:
    """Rows of one ablation of the member's target."""
    return arm_rows(items, plan, chosen, chosen.condition(edit=kind).name)


def _fault(kind: Ablation, rows: pl.DataFrame, asked: pl.DataFrame) -> str | None:
    """What is wrong with one ablation's rows beside the baseline's, or nothing."""
    if rows.select(ITEM_KEY).is_duplicated().any():
        return f"rows of the {kind} ablation are doubled"
    both = rows.join(asked, on=ITEM_KEY, how="inner")
    if both.height != rows.height or not both["item_id"].equals(both["asked"]):
        return f"the {kind} ablation answered other items than the baseline"
    if not bool(np.isfinite(rows["answer_logprob"].to_numpy()).all()):
        return f"log-probabilities of the {kind} ablation are not finite"
    if kind != "zero" and both.height and not bool((both["answer_logprob"] != both["before"]).any()):
        return f"the {kind} ablation changed no number, so nothing was replaced"
    return None
