"""Do ablations seem to agree where one of them does something else, and is a floor told from a result?"""

from math import sqrt
from typing import NamedTuple

import numpy as np

from lesion.stats.calibration.rates import Rate, counted, worst
from lesion.stats.calibration.simulate import AMBIGUOUS, INCONCLUSIVE, SEEDS
from lesion.stats.verdict.decision_rule import Baseline, Bools, Counts, Ints, judge_counts
from lesion.stats.verdict.rule import VERDICTS, Rule

CLAIMED = [VERDICTS.index(name) for name in ("Improvement", "Harm", "Null")]
ITEMS = 2440
"""Per seed and look: what the rule plans for psi = .2."""


class Truth(NamedTuple):
    """True differences of three ablations of the same sites, the primary one first."""

    primary: float
    second: float
    third: float


def conduct_ablations(truth: Truth, rule: Rule, studies: int, generator: np.random.Generator) -> Bools:
    """Studies in which all three claim the same, [studies]; each is judged at the look that decides the primary one."""
    first = [_items(delta, studies, generator) for delta in truth]
    early = [_judged(counts, rule) for counts in first]
    both = [counts.plus(_items(delta, studies, generator)) for counts, delta in zip(first, truth, strict=True)]
    late = [_judged(counts, rule) for counts in both]
    open_ = (early[0] == AMBIGUOUS) & (rule.looks == 2)
    words = [np.where(open_, after, before) for before, after in zip(early, late, strict=True)]
    words = [np.where(word == AMBIGUOUS, INCONCLUSIVE, word) for word in words]
    return np.isin(words[0], CLAIMED) & (words[0] == words[1]) & (words[0] == words[2])


def _items(delta: float, studies: int, generator: np.random.Generator) -> Counts:
    n = np.full((studies, 1, SEEDS, 1), ITEMS)
    gained = generator.binomial(n, (0.2 + delta) / 2)
    return Counts(gained, generator.binomial(n - gained, (0.2 - delta) / (2 - 0.2 - delta)), n)


def _judged(counts: Counts, rule: Rule) -> Ints:
    return judge_counts(counts, rule, 1, np.ones(counts.n.shape[:2], dtype=np.int64))[:, 0]


def ablation_rate(rule: Rule, studies: int, generator: np.random.Generator) -> Rate:
    """One of three ablations does nothing, the contrary, or as much as the margin, and yet all seem to agree."""
    m = rule.margin
    truths = [
        Truth(-0.08, -0.08, 0.0),
        Truth(0.0, -0.08, -0.08),
        Truth(-0.08, -0.08, 0.08),
        Truth(-0.08, -m / 4, 0.0),
        Truth(0.0, 0.0, m),
        Truth(-m, 0.0, 0.0),
    ]
    says = "(xv) ablations seem to agree, though one does something else"
    return worst(
        [
            counted(says, conduct_ablations(truth, rule, studies, generator), rule.alpha, "at most", str(tuple(truth)))
            for truth in truths
        ]
    )


def conduct_guessing(
    chance: float, skill: float, rule: Rule, studies: int, generator: np.random.Generator
) -> tuple[Bools, Bools, Bools]:
    """A model of accuracy chance + skill, whose edited twin only guesses: Harm or Null; Null; and whether at the floor.

    Each array is [studies], at one look of the planned items.
    """
    shape, n = (studies, 1), SEEDS * ITEMS
    before, after = chance + skill, chance
    parts = [before * after, before * (1 - after), (1 - before) * after, (1 - before) * (1 - after)]
    seen = generator.multinomial(ITEMS, parts, (studies, 1, SEEDS))
    counts = Counts(seen[..., 2:3], seen[..., 1:2], np.full((studies, 1, SEEDS, 1), ITEMS))
    right = (seen[..., 0] + seen[..., 1]).sum(-1)
    codes = judge_counts(counts, rule, 1, np.ones(shape, dtype=np.int64), baseline=Baseline(right, chance))[:, 0]
    share = right[:, 0] / n
    at_floor = share <= chance + 2 * np.sqrt(share * (1 - share) / n)
    silent = codes == VERDICTS.index("Null")
    return silent | (codes == VERDICTS.index("Harm")), silent, np.asarray(at_floor)


def floor_rates(rule: Rule, studies: int, generator: np.random.Generator) -> dict[str, Rate]:
    """Harm or Null where the model knows nothing, and Null where it has no more to lose than the margin."""
    guessing, barely = list[Rate](), list[Rate]()
    for chance in (0.02, 0.1, 0.25, 0.5):
        said, _, at_floor = conduct_guessing(chance, 0.0, rule, studies, generator)
        where = f"chance {chance:g}"
        guessing.append(counted("(xvi) Harm or Null where the model guesses", said, rule.alpha, "at most", where))
        barely.append(counted("(xvi) Harm or Null at the floor", said & at_floor, 0.001, "at most", where))
        error = sqrt(chance * (1 - chance) / (SEEDS * ITEMS))
        _, silent, _ = conduct_guessing(chance, max(rule.margin - 4 * error, 0.0), rule, studies, generator)
        barely.append(counted("(xvi) Null with less to lose than the margin", silent, 0.001, "at most", where))
    return {"floor_false": worst(guessing), "floor_forbids": worst(barely)}
