"""The verdict of each cell: `judge` is the whole rule at one look, on rows.

docs/verdict.md states the rule for a reader; decision_rule.py holds its first-match table, which calibration runs too.
The other nouns of the verdict can be imported from here as well.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from lesion.errors import InputError, nearest
from lesion.stats.baseline_gate import BaselineCell, BaselineGate, baseline_gate
from lesion.stats.multiplicity import holm
from lesion.stats.paired.comparison import fewest_clusters
from lesion.stats.paired.numbers import PairedNumbers
from lesion.stats.paired.rows import PairedRows
from lesion.stats.power import UNREACHABLE, needed_n, settling_n, settling_numbers_n
from lesion.stats.specificity.contrast import Specificity, specific
from lesion.stats.verdict.cell_measures import Evidence, gather
from lesion.stats.verdict.cell_verdict import CellVerdict, Clause, Part, Tag
from lesion.stats.verdict.clauses import clauses, tags
from lesion.stats.verdict.decision_rule import Floats, Look, first_match
from lesion.stats.verdict.rule import GATE_OUTCOMES, VERDICTS, Discovered, GateOutcome, Rule, Verdict
from lesion.stats.verdict.scenario import Scenario, scenario

__all__ = [
    "BaselineCell",
    "BaselineGate",
    "CellVerdict",
    "Clause",
    "Discovered",
    "GateOutcome",
    "PairedNumbers",
    "PairedRows",
    "Part",
    "Rule",
    "Scenario",
    "Specificity",
    "Tag",
    "Verdict",
    "baseline_gate",
    "judge",
    "needed_n",
    "scenario",
    "specific",
]


def judge(
    cells: Mapping[str, PairedRows | PairedNumbers],
    rule: Rule,
    *,
    look: int,
    family_size: int,
    discovered: Mapping[str, Discovered],
    chance: Mapping[str, float],
    invalid: Mapping[str, str] | None = None,
    margins: Mapping[str, float] | None = None,
    conditional: bool = False,
    exhaustive: Collection[str] = (),
) -> dict[str, CellVerdict]:
    """The verdict of every cell at one look.

    Args:
        cells: rows by cell, cumulative over the looks; at look 2 only the cells that were Ambiguous at look 1.
        rule: the preregistered thresholds.
        look: 1 or 2; Ambiguous at the last look is Inconclusive.
        family_size: K, the declared number of confirmatory cells; it never shrinks, at look 2 or for Invalid cells.
        discovered: what the discovery split showed, by cell; it fixes whether the seed gate can be evaluated.
        chance: what guessing scores, by cell (guessing.py), for the floor.
        invalid: cells that the instrument spoiled, with the reason in words; they may have no rows.
        margins: margins of their own, by cell (a share of the headroom, say); else the rule's.
        conditional: whether items share so few example sets that every interval speaks of these alone.
        exhaustive: cells whose templates are all that their claim is about, so that few of them are enough.

    Raises:
        InputError: for a look, a family, an outcome or a cell's name that does not fit.
    """
    faults = {**(invalid or {})}
    _check(cells, rule, look, family_size, faults, {"discovered": discovered, "chance": chance})
    for name, rows in cells.items():
        _check_outcome(name, rows, rule)
        reason = _too_few_clusters(rows, rule, family_size)
        if reason and name not in faults:
            faults[name] = reason
    sound = {
        name: gather(
            rows,
            replace(rule, margin=(margins or {}).get(name, rule.margin)),
            discovered[name],
            chance[name],
            family_size=family_size,
            exhaustive=name in exhaustive,
            conditional=conditional,
        )
        for name, rows in cells.items()
        if name not in faults
    }
    verdicts = {name: _spoiled(cells.get(name), rule, look, reason) for name, reason in faults.items()}
    if sound:
        verdicts.update(_decide(sound, rule, look, family_size))
    return {name: verdicts[name] for name in [*cells, *(name for name in faults if name not in cells)]}


def _decide(sound: Mapping[str, Evidence], rule: Rule, look: int, family_size: int) -> dict[str, CellVerdict]:
    cells = list(sound.values())
    p: Floats = holm([cell.whole.p for cell in cells], family_size)
    p_equivalence = holm([cell.whole.p_equivalence for cell in cells], family_size)
    readable = [_readable(cells, k, rule, family_size) for k in range(len(cells))]
    codes: list[int] = first_match(_look(cells, p, p_equivalence, readable, rule)).tolist()
    return {
        name: _verdict(VERDICTS[code], cell, rule, look, family_size, holms, readable=legible)
        for name, cell, code, holms, legible in zip(
            sound, cells, codes, zip(p.tolist(), p_equivalence.tolist(), strict=True), readable, strict=True
        )
    }


def _look(cells: list[Evidence], p: Floats, p_equivalence: Floats, readable: list[bool], rule: Rule) -> Look:
    return Look(
        invalid=np.zeros(len(cells), dtype=np.bool_),
        conflict=np.array([cell.conflict for cell in cells]),
        equivalent=p_equivalence < rule.alpha_look,
        detected=p <= rule.alpha_look,
        difference=np.array([cell.whole.delta for cell in cells]),
        gate=np.array([GATE_OUTCOMES.index(cell.gate) for cell in cells]),
        one_side=np.array([cell.one_side for cell in cells]),
        readable=np.array(readable),
        floor=np.array([cell.floor for cell in cells]),
        ceiling=np.array([cell.ceiling for cell in cells]),
        no_null=np.array([cell.few or cell.no_fall for cell in cells]),
    )


def _verdict(
    verdict: Verdict,
    cell: Evidence,
    rule: Rule,
    look: int,
    family_size: int,
    holms: tuple[float, float],
    *,
    readable: bool,
) -> CellVerdict:
    if verdict == "Ambiguous" and look == rule.looks:
        verdict = "Inconclusive"
    counts, (p_holm, p_equivalence_holm) = cell.whole.counts, holms
    return CellVerdict(
        verdict=verdict,
        look=look,
        tags=tags(verdict, cell, detected=p_holm <= rule.alpha_look, readable=readable),
        reason="",
        n=counts.n,
        gained=counts.gained,
        lost=counts.lost,
        delta=cell.whole.delta,
        psi=counts.psi if rule.outcome == "accuracy" else None,
        ci_low=cell.whole.interval.low,
        ci_high=cell.whole.interval.high,
        confidence=rule.confidence,
        p=cell.whole.p,
        p_holm=p_holm,
        p_equivalence=cell.whole.p_equivalence,
        p_equivalence_holm=p_equivalence_holm,
        seeds=cell.seeds,
        seed_gate=cell.gate,
        seed_range=cell.seed_range,
        strata=cell.strata,
        baseline_accuracy=cell.baseline,
        edited_accuracy=cell.edited,
        needed_n=_settling(cell, family_size) if verdict == "Inconclusive" else None,
        clauses=clauses(cell, p_holm, p_equivalence_holm, readable=readable),
    )


def _spoiled(rows: PairedRows | PairedNumbers | None, rule: Rule, look: int, reason: str) -> CellVerdict:
    gained = 0 if rows is None else int((rows.difference > 0).sum())
    lost = 0 if rows is None else int((rows.difference < 0).sum())
    n = 0 if rows is None else rows.n
    return CellVerdict(
        verdict="Invalid",
        look=look,
        tags=(),
        reason=reason,
        n=n,
        gained=gained,
        lost=lost,
        delta=None,
        psi=None,
        ci_low=None,
        ci_high=None,
        confidence=rule.confidence,
        p=None,
        p_holm=None,
        p_equivalence=None,
        p_equivalence_holm=None,
        seeds=(),
        seed_gate=None,
        seed_range=None,
        strata=(),
        baseline_accuracy=None,
        edited_accuracy=None,
        needed_n=None,
        clauses=(Clause("instrument sound", reason, "no fault named", holds=False),),
    )


def _readable(cells: list[Evidence], k: int, rule: Rule, family_size: int) -> bool:
    """Does cell k's effect stand, in its family, among the items that both arms answered readably?"""
    cell = cells[k]
    if not cell.format_effect:
        return True
    if cell.readable is None or cell.readable.delta * cell.whole.delta <= 0:
        return False
    p = [other.whole.p for other in cells]
    p[k] = cell.readable.p
    return bool(holm(p, family_size)[k] <= rule.alpha_look)


def _settling(cell: Evidence, family_size: int) -> int | None:
    """Items per seed that would settle the cell; none would where seeds, baseline, clusters or format forbid it."""
    if cell.gate in ("Fail", "Degenerate") or cell.floor or cell.ceiling or cell.format_effect:
        return None
    if cell.few or cell.no_fall or cell.gate_needs >= UNREACHABLE:
        return None
    counts, seeds = cell.whole.counts, max(3, len(cell.seeds))
    if cell.whole.mean is not None:
        return settling_numbers_n(cell.variance, cell.whole.mean, cell.rule, family_size, seeds)
    return settling_n(counts.psi, counts.delta, cell.rule, family_size, seeds)


def _too_few_clusters(rows: PairedRows | PairedNumbers, rule: Rule, family_size: int) -> str:
    if rows.cluster is None:
        return ""
    level = rule.alpha_look / family_size
    clusters, fewest = len(np.unique(rows.cluster)), fewest_clusters(level)
    if clusters >= fewest:
        return ""
    return f"{clusters} templates cannot confirm anything: sign flips reach {level:.3g} from {fewest} templates on"


def _check_outcome(name: str, rows: PairedRows | PairedNumbers, rule: Rule) -> None:
    if isinstance(rows, PairedNumbers) == (rule.outcome == "accuracy"):
        raise InputError(
            f"cell {name!r} holds {type(rows).__name__}, but the rule's outcome is {rule.outcome};"
            " give PairedRows for accuracy, PairedNumbers for any other"
        )


def _check(
    cells: Mapping[str, PairedRows | PairedNumbers],
    rule: Rule,
    look: int,
    family_size: int,
    faults: Mapping[str, str],
    by_cell: Mapping[str, Mapping[str, object]],
) -> None:
    if not 1 <= look <= rule.looks:
        raise InputError(f"look {look} was not registered; the rule has {rule.looks}")
    count = len(set(cells) | set(faults))
    if count == 0 or family_size < count:
        raise InputError(f"{count} cells in a family declared with {family_size}; declare every confirmatory cell")
    for what, known in by_cell.items():
        for name in cells:
            if name not in known and name not in faults:
                raise InputError(f"cell {name!r} has no entry in {what}; {nearest(name, known)}")
