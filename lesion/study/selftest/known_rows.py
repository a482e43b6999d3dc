"""Rows whose judgement is known, and the small study that asks them: what the trial gives to gates and tests."""

from functools import cache
from typing import Any

import numpy as np
import polars as pl

from lesion.stats.paired.rows import PairedRows
from lesion.study.arms.condition import target
from lesion.study.format.load import parse_document
from lesion.study.plan import Plan, Shape, new_plan
from lesion.study.rows import ITEMS, NUMBERS, PROMPTS
from lesion.study.study import Study

N = 1300
"""Items per seed of the rows that are judged: enough for the seed gate at a discovered psi of .1."""

MODEL = "tiny:llama"
STUDY = f"""\
name: trial
question: Can every gate fail?
models: [{MODEL}]
tasks: {{tier: {{task: arithmetic}}}}
sweep: {{target: {{kind: detected, detector: induction, threshold: 0.5}}}}
"""


@cache
def known_study(lesion: int) -> Study:
    """The small study, in a format."""
    return parse_document(STUDY, "trial.yaml", Study, {"lesion": lesion})


def known_plan(lesion: int = 2) -> Plan:
    """The small study's plan, at its first stage, in a format."""
    shapes = {MODEL: Shape(layers=2, heads=4, neurons=8)}
    return new_plan(known_study(lesion), "trial", shapes, {"tier": 320})


def known_rows(gained: tuple[int, int, int], lost: int) -> PairedRows:
    """Rows of three seeds with these gains by seed, a baseline of six in ten."""
    before, after, seed = list[Any](), list[Any](), list[Any]()
    for number, up in enumerate(gained):
        right = round(0.6 * N) - lost
        parts = [up, lost, right, N - up - lost - right]
        before.append(np.repeat([False, True, True, False], parts))
        after.append(np.repeat([True, False, True, False], parts))
        seed.append(np.full(N, number))
    return PairedRows(np.concatenate(before), np.concatenate(after), np.concatenate(seed), item=np.array(range(3 * N)))


@cache
def questions() -> pl.DataFrame:
    """Thirty-two questions of each of three seeds."""
    rows = [
        {
            "model": MODEL, "tier": "tier", "split": "confirm", "seed": seed, "index": index, "item_id": f"{index}",
            "prompt": "", "answer": "", "wrong": "", "buckets": "{}", "prompt_tokens": 1, "answer_tokens": 1,
            "prompt_hash": "", "refused": None,
        }
        for seed in range(3) for index in range(32)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=PROMPTS)


@cache
def same_seeds() -> pl.DataFrame:
    """A baseline whose seeds asked the same and were answered alike."""
    asked = questions().select("model", "tier", "split", "seed", "index", "item_id")
    told = {"stage": pl.lit("baseline"), "arm": pl.lit("baseline"), "correct": pl.col("index") % 2 == 0}
    numbers = {name: pl.lit(0.0) for name in NUMBERS}
    return asked.with_columns(**told, **numbers, ties=pl.lit(0, dtype=pl.Int64)).select(list(ITEMS))


def opposites() -> pl.DataFrame:
    """A confirmation in which the edited model is right exactly where the baseline is wrong."""
    base = same_seeds().with_columns(stage=pl.lit("confirm"))
    return pl.concat([base, base.with_columns(arm=pl.lit(target(0.0).name), correct=~pl.col("correct"))])
