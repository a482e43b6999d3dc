"""Rows of a cell with known gains and losses, and its verdict by the rule; what the tests of the rule share."""

from dataclasses import replace

import numpy as np

from lesion.stats.verdict.judge import Discovered, PairedRows, Rule, judge

RULE = Rule()
N = 1300
"""Items per seed: enough for the seed gate at a discovered psi of .1."""


def rows(gained, lost, n=N, *, accuracy=0.6, strata=None, **columns):
    """Three seeds with so many gains and losses each: a number for all, or one per seed; in random order."""
    baseline, edited, seed = [], [], []
    per_seed = zip(np.broadcast_to(gained, 3), np.broadcast_to(lost, 3), strict=True)
    for number, (up, down) in enumerate(per_seed):
        kept = n - up - down
        right = round(accuracy * n) - down
        before = np.repeat([False, True, True, False], [up, down, right, kept - right])
        after = np.repeat([True, False, True, False], [up, down, right, kept - right])
        order = np.random.default_rng(number).permutation(n)
        baseline.append(before[order])
        edited.append(after[order])
        seed.append(np.full(n, number))
    return PairedRows(
        np.concatenate(baseline), np.concatenate(edited), np.concatenate(seed), strata=strata or {}, **columns
    )


def one(cell, *, look=1, rule=RULE, psi=0.1, family=1, chance=0.0):
    return judge(
        {"cell": cell},
        rule,
        look=look,
        family_size=family,
        discovered={"cell": Discovered(psi)},
        chance={"cell": chance},
    )["cell"]


def holds(verdict, name):
    return next(clause.holds for clause in verdict.clauses if clause.name == name)


def swapped(cell):
    """The same rows with what was gained now lost, and the baseline's accuracy kept away from floor and ceiling."""
    return replace(cell, baseline=cell.edited, edited=cell.baseline)


def by_stratum(up, down):
    """One stratum with `up` gains more, one with `down` losses more, over the same three seeds."""
    first, second = rows(30 + up, 30), rows(30, 30 + down)
    join = np.concatenate
    return PairedRows(
        join([first.baseline, second.baseline]),
        join([first.edited, second.edited]),
        join([first.seed, second.seed]),
        strata={"operator": np.repeat(["+", "-"], 3 * N)},
    )
