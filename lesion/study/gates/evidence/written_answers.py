"""What the written answers of a decoded tier say beside exact match: how many can be read, and what spoils the reading.

A text is read as graders of GSM8K do (tasks/answers.py). Flags are never taken on trust: the texts stand in the rows
and are read again here, and a row that teacher forcing calls right must have a text that gives the right number.
"""

from collections.abc import Collection
from fractions import Fraction

import polars as pl

from lesion.study.gates.evidence.paired_arms import arm_rows, pending
from lesion.study.plan import Chosen, Plan
from lesion.study.rows import ITEM_KEY
from lesion.study.study import Study
from lesion.tasks.answers import Reading, Unparsed, extract, plain

CLOSE = 1e-3
"""Logits nearer than this are a tie, of which either may be written."""


def way(study: Study, tier: str) -> str:
    """How a tier writes numbers."""
    return getattr(study.tasks[tier], "format", "compact")


def number(text: str, written: str) -> Fraction | None:
    """The number of a text that writes numbers in this way; nothing where none can be read.

    >>> number(" 4 2", "spaced_digits"), number("nothing", "compact")
    (Fraction(42, 1), None)
    """
    found = extract(plain(text, written))
    return None if isinstance(found, Unparsed) else found


def readings(
    plan: Plan, items: pl.DataFrame, prompts: pl.DataFrame, invalid: Collection[str]
) -> dict[str, dict[str, Reading]]:
    """Member -> arm (`baseline`, `edited`) -> its `Reading`, for every pending member of a decoded tier."""
    members = [c for c in pending(plan) if _written(plan, c) and c.id not in invalid]
    return {
        chosen.id: {
            name: _reading(read_texts(plan, items, prompts, chosen, arm))
            for name, arm in (("baseline", "baseline"), ("edited", chosen.arm))
        }
        for chosen in members
    }


def _written(plan: Plan, chosen: Chosen) -> bool:
    """Whether a member's answers are written out: not under mean and resample ablation."""
    return chosen.tier in plan.study.decoded and chosen.ablation in (None, "zero")


def _reading(texts: pl.DataFrame) -> Reading:
    return Reading(
        items=texts.height,
        readable=int(texts["parsed"].sum()),
        exact=int(texts["correct"].sum()),
        number=int(texts["agrees"].sum()),
    )


def spoiled_reading(plan: Plan, items: pl.DataFrame, prompts: pl.DataFrame, chosen: Chosen) -> str | None:
    """The first thing that is wrong with the texts of a decoded member, or nothing."""
    if not _written(plan, chosen):
        return None
    for arm in ("baseline", chosen.arm):
        if "written" not in items.columns or (arm_rows(items, plan, chosen, arm)["written"].null_count()):
            return f"answers under {arm} were not all written out"
        texts = read_texts(plan, items, prompts, chosen, arm)
        if wrong := int(texts["parsed"].ne_missing(texts["again"]).sum()):
            return f"{wrong} flags of {arm} are not what the texts say"
        if wrong := texts.filter("correct", pl.col("margin") > CLOSE, ~pl.col("agrees")).height:
            return f"{wrong} answers under {arm} are right by teacher forcing, and what is written says otherwise"
    base, placebo = (
        arm_rows(items, plan, chosen, arm).select(*ITEM_KEY, "written") for arm in ("baseline", chosen.placebo)
    )
    both = base.join(placebo, on=ITEM_KEY, how="inner")
    if wrong := int(both["written"].ne_missing(both["written_right"]).sum()):
        return f"{wrong} texts differ between the baseline and the placebo"
    return None


def read_texts(plan: Plan, items: pl.DataFrame, prompts: pl.DataFrame, chosen: Chosen, arm: str) -> pl.DataFrame:
    """An arm's rows with its texts read again: `again` (a number was found), `agrees` (it is the answer's)."""
    style = way(plan.study, chosen.tier)
    rows = arm_rows(items, plan, chosen, arm).join(prompts.select(*ITEM_KEY, "answer"), on=ITEM_KEY, how="inner")
    given = [number(text, style) for text in rows["written"]]
    wanted = [number(text, style) for text in rows["answer"]]
    agrees = [one is not None and one == other for one, other in zip(given, wanted, strict=True)]
    return rows.with_columns(
        again=pl.Series([one is not None for one in given], dtype=pl.Boolean),
        agrees=pl.Series(agrees, dtype=pl.Boolean),
    )
