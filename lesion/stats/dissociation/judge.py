"""From rows to the verdict on double dissociations; rule.py states the rule, and the simulation runs it as well."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import NamedTuple

import numpy as np

from lesion.errors import InputError, nearest
from lesion.stats.dissociation.clauses import clauses, tags
from lesion.stats.dissociation.question import Asked, CellEffect, Dissociation, Lead
from lesion.stats.dissociation.rule import WORDS, Floats, Share, Side, Tests, decided, evidence, share_of
from lesion.stats.intervals import Interval
from lesion.stats.multiplicity import holm
from lesion.stats.paired.comparison import compare, fewest_clusters, totals
from lesion.stats.paired.numbers import PairedNumbers
from lesion.stats.paired.one_sided import sample
from lesion.stats.paired.rows import PairedRows
from lesion.stats.verdict.cell_verdict import Clause
from lesion.stats.verdict.rule import Rule

Rows = PairedRows | PairedNumbers


@dataclass(frozen=True, eq=False)
class TaskRows:
    """The items of one task, unedited and under every target."""

    arms: Mapping[str, Rows]
    """Target -> unedited and edited outcomes of the same items, in the same order."""
    chance: float
    """What guessing scores."""
    margin: float
    """What a lead must exceed on this task (share or nats)."""

    def __post_init__(self) -> None:
        first = next(iter(self.arms.values()), None)
        for name, rows in self.arms.items():
            if first is not None and not _same_items(first, rows):
                raise InputError(f"the items of {name!r} are not those of the other targets; pair the targets by item")


class _Judged(NamedTuple):
    """One task of a question, for the rule and for the reader."""

    side: Side
    lead: Rows
    """The two edits, paired: its own target's as baseline, the other's as edited."""
    harm: float
    other_harm: float
    p_other: float
    p_spared: float
    headroom: float
    floor: bool
    interval: Interval
    seeds: tuple[float, ...]

    def told(self, task: str, own: str, other: str, p: tuple[float, float, float]) -> Lead:
        """The same for a reader, with the p-values of harm, lead and the comparison between tasks."""
        cluster = self.lead.cluster
        return Lead(
            task=task, own=own, other=other, n=self.lead.n,
            clusters=None if cluster is None else len(np.unique(cluster)),
            harm=self.harm, other_harm=self.other_harm, lead=self.harm - self.other_harm,
            low=self.interval.low, high=self.interval.high, margin=float(self.side.margin),
            p_harm=p[0], p_lead=p[1], p_between=p[2], p_other=self.p_other, p_spared=self.p_spared,
            headroom=self.headroom, floor=self.floor, seeds=self.seeds,
        )  # fmt: skip


def judge_dissociations(
    tasks: Mapping[str, TaskRows],
    asked: Sequence[Asked],
    rule: Rule,
    *,
    invalid: Mapping[tuple[str, str], str] | None = None,
    exhaustive: Sequence[str] = (),
    family_size: int = 0,
) -> dict[str, Dissociation]:
    """The verdict on every question, by its name.

    Args:
        tasks: rows by task, a fixed number of items that were not used to find the targets.
        asked: all questions of the study; Holm counts every one.
        rule: its `alpha_look` is the level of the family.
        invalid: (target, task) -> why its rows cannot be trusted; such a question is Invalid.
        exhaustive: tasks whose templates are all that the claim is about, so that few of them are enough.
        family_size: how many questions Holm counts, those of other models among them; 0: those asked here.

    Raises:
        InputError: for no question, one asked twice, or a target or task that has no rows.
    """
    faults, size = dict(invalid or {}), max(family_size, len(asked))
    _check(tasks, asked, faults)
    reasons = {each.name: _fault(tasks, each, faults, rule, size) for each in asked}
    sound = [each for each in asked if not reasons[each.name]]
    judged = {each.name: _sides(tasks, each, rule) for each in sound}
    found = {each.name: _spoiled(each, rule, reasons[each.name]) for each in asked if reasons[each.name]}
    if sound:
        found |= _decide(sound, judged, rule, size, frozenset(exhaustive))
    return {each.name: found[each.name] for each in asked}


def matrix(tasks: Mapping[str, TaskRows], rule: Rule) -> tuple[CellEffect, ...]:
    """What every target does to every task, each cell with an interval of its own, not corrected for their number."""
    return tuple(
        _cell(target, task, each, rows, rule) for task, each in tasks.items() for target, rows in each.arms.items()
    )


def _cell(target: str, task: str, of: TaskRows, rows: Rows, rule: Rule) -> CellEffect:
    found = compare(rows, rule.confidence, of.margin, rule.edition)
    baseline = float(rows.baseline.mean())
    room = baseline - of.chance
    return CellEffect(
        target=target, task=task, n=rows.n, baseline=baseline, chance=of.chance, delta=found.delta,
        low=found.interval.low, high=found.interval.high, confidence=rule.confidence,
        share=found.delta / room if room > 0 else None,
    )  # fmt: skip


def _same_items(one: Rows, other: Rows) -> bool:
    same = one.n == other.n and np.array_equal(one.baseline, other.baseline) and np.array_equal(one.seed, other.seed)
    same = same and (one.cluster is None) == (other.cluster is None)
    if one.cluster is not None and other.cluster is not None:
        same = same and np.array_equal(one.cluster, other.cluster)
    if not same or one.item is None or other.item is None:
        return same
    return np.array_equal(one.item, other.item)


def _check(tasks: Mapping[str, TaskRows], asked: Sequence[Asked], faults: Mapping[tuple[str, str], str]) -> None:
    if not asked:
        raise InputError("no question was asked: name two targets and two tasks at least")
    if len({each.name for each in asked}) < len(asked):
        raise InputError("a question about a dissociation is asked twice")
    for each in asked:
        if each.first == each.second or each.tasks[0] == each.tasks[1]:
            raise InputError(f"{each.name}: a double dissociation needs two targets and two tasks that differ")
        for task in each.tasks:
            if task not in tasks:
                raise InputError(f"{each.name}: {nearest(task, tasks)}")
            for target in (each.first, each.second):
                if target not in tasks[task].arms and (target, task) not in faults:
                    raise InputError(f"{each.name}: {nearest(target, tasks[task].arms)}")


def _fault(
    tasks: Mapping[str, TaskRows], asked: Asked, faults: Mapping[tuple[str, str], str], rule: Rule, size: int
) -> str:
    """Why a question is Invalid; empty where it is not."""
    for task in asked.tasks:
        for target in (asked.first, asked.second):
            if (target, task) in faults:
                return f"{target} on {task}: {faults[target, task]}"
        cluster = tasks[task].arms[asked.first].cluster
        fewest = fewest_clusters(rule.alpha_look / size)
        if cluster is not None and len(np.unique(cluster)) < fewest:
            return f"{task} has {len(np.unique(cluster))} clusters; {fewest} or more can confirm anything"
    return ""


def _sides(tasks: Mapping[str, TaskRows], asked: Asked, rule: Rule) -> tuple[_Judged, _Judged]:
    first, second = (tasks[task] for task in asked.tasks)
    return _judged(first, asked.first, asked.second, rule), _judged(second, asked.second, asked.first, rule)


def _judged(task: TaskRows, own: str, other: str, rule: Rule) -> _Judged:
    """One task of a question."""
    mine, theirs = task.arms[own], task.arms[other]
    lead, unedited = _between(mine, theirs), replace(theirs, edited=theirs.baseline)
    headroom = float(mine.baseline.mean()) - task.chance
    side = Side(
        own=sample(_between(mine, replace(mine, edited=mine.baseline))),
        lead=sample(lead),
        own_share=_share(mine, task.chance),
        other_share=_share(theirs, task.chance),
        margin=np.asarray(task.margin, dtype=np.float64),
    )
    cross = sample(_between(theirs, unedited))
    return _Judged(
        side=side,
        lead=lead,
        harm=-float(mine.difference.mean()),
        other_harm=-float(theirs.difference.mean()),
        p_other=float(cross.p_above(0.0)),
        p_spared=max(float(cross.p_above(-task.margin)), float(cross.p_below(task.margin))),
        headroom=headroom,
        floor=headroom <= max(task.margin, 2 * _baseline_error(mine)) + 1e-12,
        interval=compare(lead, rule.confidence, task.margin, rule.edition).interval,
        seeds=tuple(float(lead.difference[chosen].mean()) for chosen in lead.seeds().values()),
    )


def _between(under: Rows, than: Rows) -> Rows:
    """The same items under two edits: what the first takes beyond the second is what "gains" between them."""
    if isinstance(under, PairedNumbers):
        return replace(under, baseline=under.edited, edited=than.edited)
    return replace(under, baseline=under.edited, edited=than.edited, baseline_parsed=None, edited_parsed=None)


def _share(rows: Rows, chance: float) -> Share:
    harm, room = -rows.difference.astype(np.float64), rows.baseline.astype(np.float64) - chance
    if rows.cluster is None:
        return share_of(harm, room, np.ones(rows.n))
    lost, sizes = totals(harm, rows.cluster)
    return share_of(lost, totals(room, rows.cluster)[0], sizes)


def _baseline_error(rows: Rows) -> float:
    """Standard error of the baseline's mean, by item or by cluster, whichever is larger."""
    values = rows.baseline.astype(np.float64)
    by_item = float(values.std()) / sqrt(rows.n)
    if rows.cluster is None:
        return by_item
    sums, sizes = totals(values - values.mean(), rows.cluster)
    return max(by_item, sqrt(sums.size / max(sums.size - 1, 1) * float((sums**2).sum())) / float(sizes.sum()))


def _decide(
    asked: Sequence[Asked],
    judged: Mapping[str, tuple[_Judged, _Judged]],
    rule: Rule,
    size: int,
    exhaustive: frozenset[str],
) -> dict[str, Dissociation]:
    pairs = [judged[each.name] for each in asked]
    every = [evidence((one.side, other.side)) for one, other in pairs]
    found = _stacked(every)
    able = np.array([not (one.floor or other.floor) for one, other in pairs])
    stable = np.array([min(*one.seeds, *other.seeds) > 0 for one, other in pairs])
    codes: list[int] = decided(found, able, stable, rule, size).tolist()
    p, none = holm(found.p, size).tolist(), holm(found.p_none, size).tolist()
    verdicts: dict[str, Dissociation] = {}
    for k, each in enumerate(asked):
        leads = _told(each, pairs[k], every[k])
        both, low, high = _interaction(leads)
        verdicts[each.name] = Dissociation(
            first=each.first, second=each.second, tasks=each.tasks, verdict=WORDS[codes[k]],
            tags=tags(leads, rule, exhaustive=set(each.tasks) <= exhaustive), reason="",
            leads=leads, confidence=rule.confidence, interaction=both, interaction_low=low, interaction_high=high,
            p=float(found.p[k]), p_holm=p[k], p_none=float(found.p_none[k]), p_none_holm=none[k],
            clauses=clauses(leads, rule, size, p[k], none[k]),
        )  # fmt: skip
    return verdicts


def _stacked(every: Sequence[Tests]) -> Tests:
    """The tests of several questions as arrays [questions]."""

    def joined(values: Iterable[Floats]) -> Floats:
        return np.array([float(value) for value in values])

    def pair(part: str) -> tuple[Floats, Floats]:
        return joined(getattr(each, part)[0] for each in every), joined(getattr(each, part)[1] for each in every)

    return Tests(
        pair("harm"), pair("lead"), pair("between"), joined(each.p for each in every),
        joined(each.p_none for each in every),
    )  # fmt: skip


def _told(asked: Asked, pair: tuple[_Judged, _Judged], found: Tests) -> tuple[Lead, Lead]:
    one, other = ((float(found.harm[k]), float(found.lead[k]), float(found.between[k])) for k in (0, 1))
    return (
        pair[0].told(asked.tasks[0], asked.first, asked.second, one),
        pair[1].told(asked.tasks[1], asked.second, asked.first, other),
    )


def _interaction(leads: tuple[Lead, Lead]) -> tuple[float | None, float | None, float | None]:
    """Sum of both leads in shares of headroom, and its interval from theirs (MOVER, Zou & Donner 2008)."""
    if min(each.headroom for each in leads) <= 0:
        return None, None, None
    parts = [(each.lead / each.headroom, each.low / each.headroom, each.high / each.headroom) for each in leads]
    middle = sum(part[0] for part in parts)
    below = sqrt(sum((at - low) ** 2 for at, low, _ in parts))
    above = sqrt(sum((high - at) ** 2 for at, _, high in parts))
    return middle, middle - below, middle + above


def _spoiled(asked: Asked, rule: Rule, reason: str) -> Dissociation:
    return Dissociation(
        first=asked.first, second=asked.second, tasks=asked.tasks, verdict="Invalid", tags=(), reason=reason, leads=(),
        confidence=rule.confidence, interaction=None, interaction_low=None, interaction_high=None, p=None, p_holm=None,
        p_none=None, p_none_holm=None, clauses=(Clause("instrument sound", reason, "no fault named", holds=False),),
    )  # fmt: skip
