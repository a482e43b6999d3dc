"""Chance and margin of a model's tier: what guessing scores, counted from answers, and what is negligible."""

import numpy as np
import polars as pl

from lesion.stats.verdict.guessing import Chance, chance_accuracy, chance_logprob
from lesion.study.plan import Plan
from lesion.study.stages.discovery_effects import column
from lesion.study.study import Study

LEAST = 1e-6
"""A margin where the baseline is not above chance: nothing is equivalent there."""


def chance_of(study: Study, prompts: pl.DataFrame, model: str, tier: str) -> Chance:
    """What guessing scores on a tier; 0 for a logit difference, which a constant answer does not have."""
    here = (pl.col("model") == model) & (pl.col("tier") == tier) & (pl.col("split") == "discovery")
    answers = prompts.filter(here & pl.col("refused").is_null()).sort("index").unique("index", maintain_order=True)
    if study.outcome == "accuracy":
        return chance_accuracy(answers["answer"].to_list())
    found = chance_logprob(answers["answer"].to_list(), unseen=study.counts_unseen_answers)
    if study.outcome == "logit_diff":
        return Chance(0.0, found.constant, found.overall, found.by_form, found.items)
    return found


def margin_of(plan: Plan, items: pl.DataFrame, prompts: pl.DataFrame, model: str, tier: str) -> float:
    """The margin on a tier, a share or nats: the study's, or its share of the baseline stage's headroom."""
    study = plan.study
    if not study.headroom:
        return study.verdict.margin
    here = (pl.col("model") == model) & (pl.col("tier") == tier) & (pl.col("stage") == "baseline")
    base = float(np.mean(items.filter(here)[column(study)].cast(pl.Float64).to_numpy()))
    room = base - chance_of(study, prompts, model, tier).value
    return max(study.verdict.margin * room, LEAST)
