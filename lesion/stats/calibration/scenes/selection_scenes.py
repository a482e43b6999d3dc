"""The promises that need a selection of heads, and permuted real rows."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from lesion.errors import InputError
from lesion.stats.calibration.clustered_studies import SEEDS, Units, judge_units
from lesion.stats.calibration.promises import UNGATED, claims
from lesion.stats.calibration.rates import Rate, counted, worst
from lesion.stats.calibration.simulate import Scene, conduct
from lesion.stats.paired.comparison import totals
from lesion.stats.paired.rows import PairedRows
from lesion.stats.verdict.decision_rule import Bools, Counts, Ints, judge_counts
from lesion.stats.verdict.rule import VERDICTS, Rule

HEADS, CHOSEN, DISCOVERY = 144, 10, 512
"""A map of heads without any effect, how many of the best discovery sends to confirmation, and its items."""
CLAIMS = [VERDICTS.index("Improvement"), VERDICTS.index("Harm")]


def selection(rule: Rule, studies: int, generator: np.random.Generator) -> list[Rate]:
    """(vii) The best of 144 heads without effect, chosen on discovery items, judged on confirmation items.

    And the positive control of the simulation: chosen on the confirmation items, they must seem to have effects.
    """
    scene = Scene(0.1, cells=CHOSEN)
    seen = generator.multinomial(DISCOVERY, [0.05, 0.05, 0.9], (studies, HEADS))
    best = np.sort((seen[..., 0] - seen[..., 1]) / DISCOVERY, axis=1)[:, -CHOSEN:].mean()
    endings = conduct(scene, replace(rule, spread=UNGATED), studies, generator)
    bias = abs(float(endings.estimate.mean()))
    error = float(endings.estimate.std() / np.sqrt(endings.estimate.size))
    where = f"the {CHOSEN} best of {HEADS} without effect, {100 * best:+.1f} points on discovery items"
    leaked = counted("(xiv) heads chosen on the items that judge them are found out", _leaked(rule, studies, generator),
                     0.07, "at least", where)  # fmt: skip
    return [
        counted("(vii) any head confirmed", claims(endings, scene), rule.alpha, "at most", where),
        Rate("(vii) bias of the confirmed difference", bias, bias + 1.645 * error, 0.003, "at most", studies, where),
        leaked,
    ]


def _leaked(rule: Rule, studies: int, generator: np.random.Generator) -> Bools:
    """Studies with a claim about the ten heads of 144 that gain most on the very items of the first look."""
    n = DISCOVERY // SEEDS
    gained, lost, _ = np.moveaxis(generator.multinomial(n, [0.05, 0.05, 0.9], (studies, HEADS, SEEDS)), -1, 0)
    best = np.argsort((gained - lost).sum(-1), axis=1)[:, -CHOSEN:, None]
    chosen = [np.take_along_axis(part, best, axis=1)[..., None] for part in (gained, lost)]
    counts = Counts(chosen[0], chosen[1], np.full((studies, CHOSEN, SEEDS, 1), n))
    codes = judge_counts(counts, replace(rule, spread=UNGATED), CHOSEN, np.ones((studies, CHOSEN), dtype=np.int64))
    return np.asarray(np.isin(codes, CLAIMS).any(axis=1))


def permutation(rule: Rule, cells: Mapping[str, PairedRows], runs: int, generator: np.random.Generator) -> Rate:
    """(ix) Improvement or Harm after exchanging the arms of real rows by chance, without the seed gate.

    The arms of an item are exchanged, or of a whole cluster where the rows have clusters. The worst of the cells.

    Raises:
        InputError: without cells.
    """
    if not cells:
        raise InputError("no rows to permute: the run decided no cell")
    rule, found = replace(rule, spread=UNGATED), list[Rate]()
    for name, rows in cells.items():
        permuted = _by_item if rows.cluster is None else _by_cluster
        shown = permuted(rule, rows, runs, generator)
        where = f"{name}: {rows.n} items, one look"
        found.append(counted("(ix) a claim after permuting the arms", shown, rule.alpha, "at most", where))
    return worst(found)


def _by_item(rule: Rule, rows: PairedRows, runs: int, generator: np.random.Generator) -> Bools:
    seeds = list(rows.seeds().values())
    name = next(iter(rows.strata), None)
    strata = [np.ones(rows.n, dtype=np.bool_)]
    if name is not None:
        strata = [rows.strata[name] == level for level in np.unique(rows.strata[name])]
    changed = np.array([[int((rows.difference[s & g] != 0).sum()) for g in strata] for s in seeds])
    size = np.array([[int((s & g).sum()) for g in strata] for s in seeds])
    shape = (runs, 1, *changed.shape)
    gained = generator.binomial(changed, 0.5, shape)
    counts = Counts(gained, changed - gained, np.broadcast_to(size, shape))
    codes = judge_counts(counts, rule, 1, np.ones((runs, 1), dtype=np.int64))
    return np.asarray(np.isin(codes[:, 0], CLAIMS))


def _by_cluster(rule: Rule, rows: PairedRows, runs: int, generator: np.random.Generator) -> Bools:
    if rows.cluster is None:
        raise InputError("rows without clusters are permuted by item")
    sums, sizes = totals(rows.difference, rows.cluster)
    gained, _ = totals((rows.difference > 0).astype(np.int64), rows.cluster)
    sign = generator.choice(np.array([-1, 1]), (runs, 1, sums.size))
    up: Ints = np.where(sign > 0, gained, gained - sums).sum(-1)[..., None]
    down = up - (sign * sums).sum(-1)[..., None]
    units = Units(sign * sums, sizes.astype(np.int64), None, up, down)
    return np.asarray(np.isin(judge_units(units, rule, 1, 1).codes[:, 0], CLAIMS))


def example_rows(generator: np.random.Generator, n: int = 200) -> PairedRows:
    """Rows of three seeds and three strata with a true harm of 6 points, n items per seed."""
    draw, index = generator.random(3 * n), np.asarray(range(3 * n))
    baseline = np.where(draw < 0.2, draw > 0.07, generator.random(3 * n) < 0.6)
    edited = np.where(draw < 0.2, ~baseline, baseline)
    return PairedRows(baseline, edited, index // n, {"operator": index % 3}, item=index)
