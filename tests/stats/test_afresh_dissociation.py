"""Double dissociations judged a second time, from docs/dissociation.md alone."""

from dataclasses import asdict

import numpy as np
import pytest

from lesion.stats.dissociation.judge import TaskRows, judge_dissociations
from lesion.stats.dissociation.question import Asked
from lesion.stats.paired.numbers import PairedNumbers
from lesion.stats.paired.rows import PairedRows
from lesion.stats.verdict.rule import Rule
from publications.referee.dissociation import dissociations
from publications.referee.rule import Cell, Settings

MODEL, ITEMS = "zoo:some", 720


class Simulated:
    """A run whose rows were drawn."""

    name = "simulated"

    def __init__(self, tasks, found, rule):
        whole = rule.outcome == "accuracy"
        self.tasks, self.settings = tasks, Settings(whole, rule.margin, rule.spread, rule.alpha_look, last=True)
        told = {asked: asdict(each) for asked, each in found.items()}
        cells = {f"{MODEL}|{task}|target:{name}@mean": {} for task, rows in tasks.items() for name in rows.arms}
        self.manifest = {"results": {"dissociations": {MODEL: told}, "cells": cells}}

    def cell(self, model, tier, arm, like=""):
        rows = self.tasks[tier].arms[arm.partition(":")[2].partition("@")[0]]
        return Cell(rows.baseline, rows.edited, rows.seed, rows.cluster, {}, 0.1, 0.0, self.tasks[tier].chance)


def answers(draw, level, **kept):
    before, index = draw.random(ITEMS) < level, np.arange(ITEMS)
    arms = {
        name: PairedRows(before, before & (draw.random(ITEMS) < share), index % 3, cluster=index % 36)
        for name, share in kept.items()
    }
    return TaskRows(arms, chance=0.1, margin=0.03)


def numbers(draw, level, **kept):
    before, index = draw.normal(level, 0.4, ITEMS), np.arange(ITEMS)
    arms = {
        name: PairedNumbers(before, before - (1 - share) + draw.normal(0, 0.5, ITEMS), index % 3, cluster=index % 36)
        for name, share in kept.items()
    }
    return TaskRows(arms, chance=-4.0, margin=0.03)


@pytest.mark.parametrize("make", [answers, numbers])
def test_a_second_implementation_gives_the_same_leads_and_verdicts(make):
    draw, seen = np.random.default_rng(5), set()
    rule = Rule() if make is answers else Rule(outcome="answer_logprob", spread=0.3, effect=0.1)
    asked = Asked("one", "two", ("copying", "sums"))
    for kept in ((0.5, 0.97, 0.96, 0.4), (0.4, 0.7, 0.5, 0.8), (0.9, 0.92, 0.93, 0.9), (0.5, 0.99, 0.95, 0.93)):
        first = make(draw, 0.9 if make is answers else -1.0, one=kept[0], two=kept[1])
        tasks = {"copying": first, "sums": make(draw, 0.5 if make is answers else -2.0, one=kept[2], two=kept[3])}
        found = judge_dissociations(tasks, [asked], rule)
        checks = list(dissociations(Simulated(tasks, found, rule)))
        assert len(checks) == 18
        assert [each for each in checks if not each.agrees] == []
        seen.add(found[asked.name].verdict)
    assert seen == {"Double dissociation", "No double dissociation", "Inconclusive"}
