"""What the page's attention explorer is given: the run's looks, small enough to travel inside the page.

A pattern travels packed (`lesion.packed_numbers`), row after row; `explorer.parquet` has it whole. Of
a condition whose pattern is the unedited one, nothing is sent: an edit reaches the patterns of later layers only.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from lesion.packed_numbers import packed
from lesion.report.record import Record
from lesion.report.wording.words import did, model_name
from lesion.runs.folder.explorer_data import TABLE, Explored, Looked
from lesion.study.arms.condition_columns import older_condition

MOST_NUMBERS = 450_000
"""Numbers of patterns in a page, at most, of 2.7 bytes each; beyond them the heads with the smallest shares go."""
_Head = tuple[str, int, int]
"""Arm, layer, head."""
_NO_TARGET = "The run ended before a target was picked, so there is nothing to look at: no edit was allowed yet."
_NOT_TAKEN = "The run took no looks at single items (it was made without them), so patterns cannot be shown."


def explorer_view(record: Record, explored: tuple[Explored, pl.DataFrame] | None) -> dict[str, Any]:
    """`data` for the page's script, and `why` there is none, or not of all: sentences."""
    if explored is None:
        return {"data": None, "why": [_NOT_TAKEN if record.manifest.plan.targets else _NO_TARGET]}
    document, table = explored
    why = [_refusal(name, reason) for name, reason in document.refused.items()]
    if not document.items:
        return {"data": None, "why": why or [_NO_TARGET]}
    looks = {
        (model, tier, index): rows
        for (model, tier, index), rows in table.group_by("model", "tier", "index", maintain_order=True)
    }
    share = MOST_NUMBERS // len(document.items)
    plan = record.manifest.plan
    targets = {
        model: tuple(site for at in plan.aims(model) for site in at.sites) for model in record.manifest.study.subjects
    }
    items = [
        _item(item, looks[item.model, item.tier, item.index], targets.get(item.model, ()), share)
        for item in document.items
    ]
    left_out = sum(item["left_out"] for item in items)
    if left_out:
        why.append(f"To keep the page small, {left_out:,} patterns of heads with small shares stand in {TABLE} only.")
    models = {name: {"name": model_name(name), "targets": sorted({*sites})} for name, sites in targets.items() if sites}
    return {"data": {"models": models, "items": items}, "why": [document.rule, *why]}


def _refusal(name: str, reason: str) -> str:
    model, _, tier = name.rpartition("|")
    return f"{model_name(model)}, {tier}: not shown; {reason.rstrip('.')}."


def _item(looked: Looked, rows: pl.DataFrame, targets: tuple[str, ...], most: int) -> dict[str, Any]:
    """One item as the script reads it."""
    size = len(looked.ids) * (len(looked.ids) + 1) // 2
    heads = {(row["arm"], row["layer"], row["head"]): row for row in rows.to_dicts()}
    patterns, same, left_out = _patterns(heads, [each.arm for each in looked.answered], targets, max(1, most // size))
    layers, width = (1 + int(rows[name].to_numpy().max()) for name in ("layer", "head"))
    return {
        "model": looked.model,
        "tier": looked.tier,
        "index": looked.index,
        "picked": looked.picked,
        "ids": looked.ids,
        "tokens": looked.tokens,
        "roles": [role.replace("_", " ") for role in looked.roles],
        "prompt_length": looked.prompt_length,
        "answer": looked.answer,
        "wrong": looked.wrong,
        "answered": [
            {"arm": each.arm, "did": _did(each.arm), "predicted": each.predicted, "correct": each.correct,
             "logit_diff": each.logit_diff}
            for each in looked.answered
        ],
        "direct": {
            each.arm: [[round(heads[each.arm, i, j]["direct"], 4) for j in range(width)] for i in range(layers)]
            for each in looked.answered
        },
        "patterns": patterns,
        "same": same,
        "left_out": left_out,
    }  # fmt: skip


def _did(arm: str) -> str:
    """`unedited`, `zeroing`, `amplifying (×1.25)`."""
    condition = older_condition(arm)
    return f"{did(f'{condition.amount:g}')} {condition.target}".rstrip() if condition.role == "target" else "unedited"


def _patterns(
    heads: Mapping[_Head, dict[str, Any]], arms: list[str], targets: tuple[str, ...], most: int
) -> tuple[dict[str, str], list[str], int]:
    """`arm|layer|head` -> pattern in base64, at most so many; those that are the unedited one; how many are left out.

    Where not all fit, the target's come first, then those of the heads with the largest shares.
    """

    def rank(key: _Head) -> tuple[bool, float]:
        _, layer, head = key
        return f"L{layer}H{head}" not in targets, -abs(heads[arms[0], layer, head]["direct"])

    whole = {key: np.asarray(row["pattern"], dtype=np.float32) for key, row in heads.items()}
    same = [k for k in whole if k[0] != arms[0] and np.array_equal(whole[k], whole[arms[0], k[1], k[2]])]
    needed = sorted(whole.keys() - set(same), key=lambda key: (rank(key), key))
    sent = {_name(key): packed(whole[key]) for key in needed[:most]}
    return sent, list(map(_name, same)), len(needed) - len(sent)


def _name(key: _Head) -> str:
    return "|".join(map(str, key))
