"""The promises that need more than independent items: selection of heads, templates, and permuted real rows."""

from dataclasses import replace
from itertools import product

import numpy as np

from lesion.stats.decide import judge
from lesion.stats.intervals import cluster_mean
from lesion.stats.promises import UNGATED, claims, says
from lesion.stats.rates import Rate, counted, worst
from lesion.stats.rows import PairedRows
from lesion.stats.rule import Discovered, Rule
from lesion.stats.simulate import Scene, conduct
from lesion.stats.templates import conduct_templates, draw_templates

HEADS, CHOSEN, DISCOVERY = 144, 10, 512
"""A map of heads without any effect, how many of the best discovery sends to confirmation, and its items."""


def selection(rule: Rule, studies: int, generator: np.random.Generator) -> list[Rate]:
    """(vii) The best of 144 heads without effect, chosen on discovery items, judged on confirmation items."""
    scene = Scene(0.1, cells=CHOSEN)
    seen = generator.multinomial(DISCOVERY, [0.05, 0.05, 0.9], (studies, HEADS))
    best = np.sort((seen[..., 0] - seen[..., 1]) / DISCOVERY, axis=1)[:, -CHOSEN:].mean()
    endings = conduct(scene, replace(rule, spread=UNGATED), studies, generator)
    bias = abs(float(endings.estimate.mean()))
    error = float(endings.estimate.std() / np.sqrt(endings.estimate.size))
    where = f"the {CHOSEN} best of {HEADS} without effect, {100 * best:+.1f} points on discovery items"
    return [
        counted("(vii) any head confirmed", claims(endings, scene), rule.alpha, "at most", where),
        Rate("(vii) bias of the confirmed difference", bias, bias + 1.645 * error, 0.003, "at most", studies, where),
    ]


def templates(rule: Rule, studies: int, generator: np.random.Generator, *, quick: bool) -> list[Rate]:
    """(i) and (ii) for items that share templates whose own differences vary, without the seed gate."""
    settings = [(7, 0.05)] if quick else list(product((7, 12, 30), (0.0, 0.05)))
    false, null = list[Rate](), list[Rate]()
    for number, spread in settings:
        where = f"{number} templates, standard deviation {spread:g}"
        for delta, event, found in ((0.0, claims, false), (rule.margin, says("Null"), null)):
            scene, open_ = Scene(0.2, delta, n=number * 25 // 3), replace(rule, spread=UNGATED)
            endings = conduct_templates(scene, open_, number, spread, studies, generator)
            name = "(ii) Null at the margin, by template" if delta else "(i) Improvement or Harm, by template"
            found.append(counted(name, event(endings, scene), rule.alpha, "at most", where))
    return [worst(false), worst(null)]


def template_coverage(studies: int, generator: np.random.Generator) -> Rate:
    """(v) The cluster t interval holds the true difference, for 6 templates of unequal size and more."""
    rates = list[Rate]()
    for number, spread in product((6, 12, 30), (0.0, 0.05)):
        held = np.zeros(studies, dtype=np.bool_)
        for study in range(studies):
            sizes = generator.integers(20, 31, number)
            gained, lost = draw_templates(sizes, 0.2, 0.0, spread, generator)
            low, high = cluster_mean(gained - lost, sizes).interval(0.95)
            held[study] = low <= 0 <= high
        where = f"{number} templates, standard deviation {spread:g}"
        rates.append(counted("(v) interval by template", held, 0.93, "at least", where))
    return worst(rates)


def permutation(rule: Rule, rows: PairedRows, runs: int, generator: np.random.Generator) -> Rate:
    """(ix) Improvement or Harm after exchanging the arms of random items of real rows, without the seed gate."""
    rule = replace(rule, spread=UNGATED)
    discovered = {"cell": Discovered(float((rows.difference != 0).mean()))}
    shown = np.zeros(runs, dtype=np.bool_)
    for run in range(runs):
        swap = generator.random(rows.n) < 0.5
        before, after = np.where(swap, rows.edited, rows.baseline), np.where(swap, rows.baseline, rows.edited)
        shuffled = replace(rows, baseline=before, edited=after)
        verdicts = judge({"cell": shuffled}, rule, look=1, family_size=1, discovered=discovered, chance={"cell": 0.0})
        shown[run] = verdicts["cell"].verdict in ("Improvement", "Harm")
    return counted("(ix) a claim after permuting the arms", shown, rule.alpha, "at most", f"{rows.n} items, one look")


def example_rows(generator: np.random.Generator, n: int = 200) -> PairedRows:
    """Rows of three seeds and three strata with a true harm of 6 points, n items per seed."""
    draw, index = generator.random(3 * n), np.asarray(range(3 * n))
    baseline = np.where(draw < 0.2, draw > 0.07, generator.random(3 * n) < 0.6)
    edited = np.where(draw < 0.2, ~baseline, baseline)
    return PairedRows(baseline, edited, index // n, {"operator": index % 3}, item=index)
