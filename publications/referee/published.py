"""The rows of a published run, as pandas reads them: cells of a confirmation, matched sets, baselines."""

import json
import math
from collections import Counter
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from publications.referee.rule import Cell, Settings

ITEM = ["model", "tier", "split", "seed", "index"]


class Run:
    """One published run: its manifest, rows and questions."""

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self.manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        self.study: dict[str, Any] = self.manifest["study"]
        rows = pd.read_parquet(folder / "rows.parquet")
        self.rows = rows.drop(columns=[name for name in ("unit", "kl", "item_id") if name in rows])
        self.questions = pd.read_parquet(folder / "questions.parquet")

    @property
    def outcome(self) -> str:
        """The column that the verdict judges."""
        named = self.study["claims"]["outcome"]
        return "correct" if named == "accuracy" else named

    @property
    def settings(self) -> Settings:
        """The thresholds; every cell at its last look."""
        rule = self.study["verdict"]
        level = rule["alpha"] / rule["looks"]
        return Settings(self.outcome == "correct", rule["margin"], rule["spread"], level, last=True)

    @cached_property
    def buckets(self) -> pd.DataFrame:
        """What kind each item is, a column for each stratification and the prefix."""
        told = self.questions[[*ITEM, "buckets"]].reset_index(drop=True)
        return pd.concat([told[ITEM], pd.DataFrame(told["buckets"].map(json.loads).tolist())], axis=1)

    def paired(self, stage: str, model: str, tier: str, arm: str, column: str = "") -> pd.DataFrame:
        """The rows of an arm, each with the unedited answer beside it (`before`): of the outcome, or another column."""
        column = column or self.outcome
        here = self.rows[(self.rows.stage == stage) & (self.rows.model == model) & (self.rows.tier == tier)]
        base = here[here.arm == "baseline"][[*ITEM, column]].rename(columns={column: "before"})
        edited = here[here.arm == arm].rename(columns={column: "after"})
        both = edited.merge(base, on=ITEM, validate="1:1").merge(self.buckets, on=ITEM, validate="1:1")
        return both.sort_values(ITEM)

    @cache  # noqa: B019  (a run lives as long as its review)
    def cell(self, model: str, tier: str, arm: str, like: str = "") -> Cell:
        """The rows of a cell of the confirmation; of `like`, where it is given, the same items only."""
        rows = self.paired("confirm", model, tier, arm)
        if like and like != arm:
            rows = rows.merge(self.paired("confirm", model, tier, like)[ITEM], on=ITEM, validate="1:1")
        member = self.member(model, tier, like or arm)
        ours = {name: rows[name].to_numpy() for name in self.strata(rows)}
        return Cell(
            before=rows["before"].to_numpy(),
            after=rows["after"].to_numpy(),
            seed=rows["seed"].to_numpy(),
            cluster=self.cluster(rows),
            strata=ours,
            variance=member["sd"] ** 2 if member.get("sd") else member["psi"] - member["delta"] ** 2,
            between=member.get("between") or 0.0,
            chance=self.chance(model, tier),
        )

    def strata(self, rows: pd.DataFrame) -> list[str]:
        """The declared stratifications that these rows have."""
        return [name for name in self.study["verdict"]["strata"] if name in rows and rows[name].notna().all()]

    def cluster(self, rows: pd.DataFrame) -> np.ndarray | None:
        """What items share: a template, or else the few-shot prefix."""
        for name in (self.study["verdict"]["cluster"], "prefix"):
            if name in rows and rows[name].notna().all():
                return rows[name].to_numpy()
        return None

    def member(self, model: str, tier: str, arm: str) -> dict[str, Any]:
        """What discovery recorded of a member of the family."""
        edit, target = arm.partition("@")[2], arm.partition("@")[0].partition(":")[2]
        for each in self.manifest["plan"]["family"]:
            same = (each["model"], each["tier"], each.get("target") or "") == (model, tier, target)
            if same and edit in (each.get("ablation") or "", each.get("exchange") or "", f"{each['alpha']:g}"):
                return each
        raise LookupError(f"{self.name}: {model}, {tier}, {arm} is no member of the family")

    @cache  # noqa: B019
    def chance(self, model: str, tier: str) -> float:
        """What the best constant answer scores on discovery items."""
        asked = self.questions
        here = asked[
            (asked.split == "discovery") & (asked.model == model) & (asked.tier == tier) & asked.refused.isna()
        ]
        counts = Counter(here["answer"])
        if self.outcome == "answer_logprob":
            if self.study["claims"].get("chance") == "coverage":
                return -_covered(np.array(list(counts.values())))
            return sum(n * math.log(n / len(here)) for n in counts.values()) / len(here)
        if self.outcome == "logit_diff":
            return 0.0
        by_form: dict[int, int] = {}
        for answer, n in counts.items():
            by_form[len(answer)] = max(by_form.get(len(answer), 0), n)
        return max(*counts.values(), sum(by_form.values())) / len(here)

    @cache  # noqa: B019
    def effects(self, model: str, tier: str, arm: str) -> tuple[float, np.ndarray]:
        """The target's effect on the items of the matched sets, and the effect of every set, by its number."""
        target = self.paired("specificity", model, tier, arm)
        change = (target["after"].astype(float) - target["before"].astype(float)).mean()
        named, edit = arm.partition("@")[0].partition(":")[2], arm.partition("@")[2]
        found: dict[int, float] = {}
        here = self.rows[(self.rows.stage == "specificity") & (self.rows.model == model) & (self.rows.tier == tier)]
        for name in here[here.role == "set"].arm.unique():
            who, _, did = name.partition("@")
            owner, _, number = who.removeprefix("set").removeprefix(":").rpartition(":")
            if did == edit and owner == named:
                rows = self.paired("specificity", model, tier, name)
                found[int(number)] = (rows["after"].astype(float) - rows["before"].astype(float)).mean()
        return float(change), np.array([found[number] for number in sorted(found)])

    def level(self, model: str, tier: str, seed: int, column: str) -> pd.Series:
        """A column of the unedited model's answers to a seed of the baseline stage."""
        rows = self.rows
        here = rows[(rows.stage == "baseline") & (rows.model == model) & (rows.tier == tier) & (rows.seed == seed)]
        return here.sort_values("index")[column]


def _covered(counts: np.ndarray) -> float:
    """Entropy by Horvitz and Thompson over the seen, with Good and Turing's coverage (Chao and Shen 2003), nats."""
    n = counts.sum()
    coverage = 1 - min((counts == 1).sum(), n - 1) / n
    p = coverage * counts / n
    return float(-(p * np.log(p) / (1 - (1 - p) ** n)).sum())
