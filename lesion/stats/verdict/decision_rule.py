"""The decision rule as pure functions over arrays of counts: the same code judges one study and calibrates 20,000.

Source: the project's own rule (docs/verdict.md), built from McNemar (1947), Tango (1998) and Holm (1979). Every
function takes arrays with any leading axes (studies, cells): the simulation in calibrate.py runs the code that judges.
"""

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lesion.stats.distributions import z
from lesion.stats.intervals import tango_equivalence
from lesion.stats.multiplicity import holm
from lesion.stats.paired.tests import mcnemar_exact
from lesion.stats.verdict.rule import VERDICTS, Rule, Verdict

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

PASS, FAIL, NOT_EVALUABLE, DEGENERATE = range(4)
"""Indices into GATE_OUTCOMES."""


class Look(NamedTuple):
    """What the rule sees of many cells at one look; every array is [..., cells], of any leading axes."""

    invalid: Bools
    conflict: Bools
    """Some stratum gains and some stratum loses, each significantly."""
    equivalent: Bools
    """Both one-sided tests against the margin hold."""
    detected: Bools
    """The paired difference is significant."""
    difference: Ints | Floats
    """b - c, or the mean difference."""
    gate: Ints
    """Seed gate, index into GATE_OUTCOMES."""
    one_side: Bools
    """Every seed's 95 % interval excludes 0, on the side of the difference."""
    readable: Bools
    """The effect stands among the items whose answers both arms could be read, or reading did not change."""
    floor: Bools
    ceiling: Bools
    no_null: Bools
    """Too few clusters, or a baseline so near chance that losing all of it would be no difference: no Null."""


def first_match(seen: Look) -> Ints:
    """The verdict of every cell, as index into VERDICTS: the first line of the rule that fits.

    Invalid > Mixed > Null > Improvement > Harm > Ambiguous. Degenerate seeds repeat one sample, which no test survives,
    so such a cell can be Ambiguous only. A floor forbids Harm and Null, a ceiling Improvement.
    """
    sound = seen.gate != DEGENERATE
    claim = seen.detected & sound & seen.readable & ((seen.gate == PASS) | seen.one_side)
    lines: list[tuple[Verdict, Bools]] = [
        ("Invalid", seen.invalid),
        ("Mixed", seen.conflict & sound),
        ("Null", seen.equivalent & (seen.gate == PASS) & ~seen.floor & ~seen.no_null),
        ("Improvement", claim & (seen.difference > 0) & ~seen.ceiling),
        ("Harm", claim & (seen.difference < 0) & ~seen.floor),
    ]
    codes = [np.int64(VERDICTS.index(name)) for name, _ in lines]
    return np.select([fits for _, fits in lines], codes, default=np.int64(VERDICTS.index("Ambiguous")))


def seed_gate(difference: Ints, n: Ints, needed: Ints, spread: float, degenerate: Bools | None = None) -> Ints:
    """The seed gate of every cell, as index into GATE_OUTCOMES; difference b - c and items n are [..., cells, seeds].

    Pass if and only if max - min of the seeds' (b - c) / n is strictly below `spread`, compared in whole numbers.
    NotEvaluable when a seed has fewer than `needed` items [..., cells], so that noise alone could fail the gate, or
    when there are fewer than three seeds. Degenerate when the seeds changed nothing.
    """
    limit = Fraction(str(spread)).limit_denominator(1_000_000)
    mine, other = (difference[..., :, None], n[..., :, None]), (difference[..., None, :], n[..., None, :])
    apart = (mine[0] * other[1] - other[0] * mine[1]) * limit.denominator
    stable = (apart < limit.numerator * mine[1] * other[1]).all(axis=(-2, -1))
    enough = (n.min(axis=-1) >= needed) & (n.shape[-1] >= 3)
    outcome = np.where(enough, np.where(stable, PASS, FAIL), NOT_EVALUABLE)
    return outcome if degenerate is None else np.where(degenerate, DEGENERATE, outcome)


def numbers_gate(means: Floats, n: Ints, needed: Ints, spread: float, degenerate: Bools | None = None) -> Ints:
    """`seed_gate` for a continuous outcome: the seeds' mean differences, nats, [..., cells, seeds]."""
    stable = means.max(axis=-1) - means.min(axis=-1) < spread
    enough = (n.min(axis=-1) >= needed) & (n.shape[-1] >= 3)
    outcome = np.where(enough, np.where(stable, PASS, FAIL), NOT_EVALUABLE)
    return outcome if degenerate is None else np.where(degenerate, DEGENERATE, outcome)


def conflict(p: Floats, difference: Ints | Floats, alpha: float) -> Bools:
    """Do strata disagree? p-values and differences are [..., strata]; Holm over them; one must gain, one must lose."""
    significant = holm(p) <= alpha
    gains, losses = (significant & (difference > 0)).any(axis=-1), (significant & (difference < 0)).any(axis=-1)
    return np.asarray(gains & losses)


def one_side(gained: Ints, lost: Ints) -> Bools:
    """Do all seeds' 95 % Tango intervals exclude 0 on the side of the whole? Counts are [..., cells, seeds].

    The interval excludes 0 exactly when |b - c| / sqrt(b + c) exceeds the normal quantile.
    """
    side = np.sign((gained - lost).sum(axis=-1, keepdims=True))
    return ((gained - lost) * side > z(0.975) * np.sqrt(gained + lost)).all(axis=-1)


class Counts(NamedTuple):
    """Independent items of many cells, counted; every array is [..., cells, seeds, strata]."""

    gained: Ints
    lost: Ints
    n: Ints

    def whole(self) -> tuple[Ints, Ints, Ints]:
        """Gains, losses and items of the cells, each [..., cells]."""
        return self.gained.sum((-2, -1)), self.lost.sum((-2, -1)), self.n.sum((-2, -1))

    def plus(self, other: "Counts") -> "Counts":
        """The items of both."""
        return Counts(self.gained + other.gained, self.lost + other.lost, self.n + other.n)

    def where(self, chosen: Bools, other: "Counts") -> "Counts":
        """These items for the chosen cells [..., cells], the other's for the rest."""
        mask = chosen[..., None, None]
        return Counts(*(np.where(mask, mine, theirs) for mine, theirs in zip(self, other, strict=True)))


class Baseline(NamedTuple):
    """What the unedited model answered."""

    right: Ints
    """Right answers, [..., cells]."""
    chance: float
    """Accuracy of guessing."""


def judge_counts(
    counts: Counts,
    rule: Rule,
    family_size: int,
    needed: Ints,
    open_: Bools | None = None,
    baseline: Baseline | None = None,
) -> Ints:
    """The rule at one look on independent items, as indices into VERDICTS [..., cells].

    For simulation: no cell is invalid, nor at floor or ceiling unless a baseline is given. Cells that are not `open_`
    count in the family with p = 1; their entry in the answer means nothing.
    """
    (gained, lost, n), (b, c, size) = counts, counts.whole()
    shut = np.zeros(b.shape, dtype=np.bool_) if open_ is None else ~open_
    p = np.where(shut, 1.0, mcnemar_exact(b, c))
    p_equivalence = np.where(shut, 1.0, tango_equivalence(b, c, size, rule.margin))
    by_seed, by_stratum = (gained.sum(-1), lost.sum(-1), n.sum(-1)), (gained.sum(-2), lost.sum(-2))
    no = np.zeros(b.shape, dtype=np.bool_)
    floor, ceiling, no_null = (no, no, no) if baseline is None else _allowed(baseline, size, rule)
    seen = Look(
        invalid=no,
        conflict=conflict(mcnemar_exact(*by_stratum), by_stratum[0] - by_stratum[1], rule.alpha_strata(family_size)),
        equivalent=holm(p_equivalence, family_size) < rule.alpha_look,
        detected=holm(p, family_size) <= rule.alpha_look,
        difference=b - c,
        gate=seed_gate(by_seed[0] - by_seed[1], by_seed[2], needed, rule.spread),
        one_side=one_side(by_seed[0], by_seed[1]),
        readable=~no,
        floor=floor,
        ceiling=ceiling,
        no_null=no_null,
    )
    return first_match(seen)


def _allowed(baseline: Baseline, n: Ints, rule: Rule) -> tuple[Bools, Bools, Bools]:
    """What a baseline forbids: floor, ceiling, and no room to fall."""
    share = baseline.right / n
    floor = share <= baseline.chance + 2 * np.sqrt(share * (1 - share) / n)
    no_room = np.asarray(share - baseline.chance <= rule.margin + 1e-12) & (rule.edition == 2)
    return np.asarray(floor), np.asarray(share >= 1 - rule.margin - 1e-12), no_room
