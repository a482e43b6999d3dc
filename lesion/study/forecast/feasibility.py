"""Whether a tier's pool can carry the baseline's gate and all looks, from sizes alone, said before the run. Pure.

Nothing is looked at: no pilot, no confirmation item. What is unknown before the data (a model's accuracy, the spread of
its log-probabilities, the share of answers that change) is left open: the sentence says for which values the pool is
large enough, and what a study may change where it is not.
"""

from collections.abc import Iterator
from math import ceil, log, sqrt
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from lesion.errors import InputError
from lesion.stats.distributions import range_quantile
from lesion.stats.power import needed_n
from lesion.study.forecast.reachable_leads import lead_words
from lesion.study.forecast.reachable_specificity import reaches
from lesion.study.forecast.reachable_specificity import words as reach_words
from lesion.study.plan import Plan
from lesion.study.stages.confirmatory_cells import family_size, rule_of
from lesion.study.study import Study
from lesion.tasks.catalogue import make_task
from lesion.tasks.config import TaskConfig
from lesion.tasks.task import Draw

ALPHA = 0.05
"""Chance that sampling noise alone fails the baseline's gate, over all its cells."""
RANGES = tuple(lead * 10**power - 1 for power in range(1, 7) for lead in (1, 2, 5))
"""Largest operands that are proposed: 9, 19, 49, 99, 199, …"""
_CONFIG: TypeAdapter[TaskConfig] = TypeAdapter(TaskConfig)
NATS = 0.25
"""Spread of a continuous baseline that a proposal counts with."""


class Carried(NamedTuple):
    """What a tier's pool can carry."""

    tier: str
    holds: int
    """Items of a seed, in whole blocks."""
    wants: int
    """Items per seed that the baseline's gate wants: at an accuracy of one half, or at 1 nat of standard deviation."""
    limit: float
    """The gate can be judged at accuracies up to this share and from 1 minus it on (0.5: at any); with a continuous
    outcome, where an item's standard deviation is at most so many nats."""
    changed: float | None
    """All looks fit where up to this share of the answers changes; nothing with a continuous outcome."""
    proposals: tuple[str, ...]
    """What would make room; empty where there is enough."""

    @property
    def enough(self) -> bool:
        """Whether the baseline's gate can be judged, whatever the accuracy; or at 1 nat."""
        return self.holds >= self.wants


def foreseen(plan: Plan) -> list[str]:
    """What a plan, a registration and a run say before the first cell: pools, then specificity."""
    told = [words(each, plan.study) for each in carried(plan).values()]
    if plan.study.claims is not None and not plan.study.claims.sets:
        told.append("Specificity: claims.sets is 0, so no effect may be called specific.")
    told += floor_words(plan.study)
    return told + [reach_words(each) for each in reaches(plan)] + lead_words(plan.study)


def floor_words(study: Study) -> list[str]:
    """What a floor forbids that corrupted prompts lie below, or that is counted from few answers."""
    told = list[str]()
    if study.sweep.edit.exchange == "denoising":
        told.append(
            "Denoising begins at corrupted prompts. Where the right answer lies below the floor there, Improvement can"
            " be said, Harm and Null cannot."
        )
    if study.outcome != "answer_logprob" or study.counts_unseen_answers:
        return told
    many = study.sweep.items
    return [
        *told,
        f"The floor is counted from {many:,} discovery answers. Where none comes twice it is {-log(many):.2f} nats,"
        " and a model whose mean log-probability is lower shows neither Harm nor Null. claims.chance: coverage corrects"
        " for answers that were not drawn.",
    ]


def carried(plan: Plan) -> dict[str, Carried]:
    """What each tier's pool can carry, by tier."""
    study = plan.study
    return {tier: _carried(study, tier, held // study.block * study.block) for tier, held in plan.capacity.items()}


def _carried(study: Study, tier: str, held: int) -> Carried:
    cells = len(study.subjects) * len(study.tasks)
    if study.continuous:
        found = Carried(
            tier, held, baseline_items(1.0, study, cells), sqrt(held / _per_variance(study, cells)), None, ()
        )
    else:
        wants = baseline_items(0.25, study, cells)
        found = Carried(tier, held, wants, _accuracy(held, study, cells), _changed(held, study), ())
    return found if found.enough else found._replace(proposals=tuple(ways_out(study, tier, found.wants)))


def baseline_items(variance: float, study: Study, cells: int) -> int:
    """Items per seed without which sampling noise alone may fail the baseline's gate.

    Args:
        variance: of one item's outcome; p (1 - p) for an accuracy p, nats squared for a continuous outcome.
        study: whose seeds and spread hold.
        cells: models times tiers, which share the error rate.
    """
    return ceil(_per_variance(study, cells) * variance)


def _per_variance(study: Study, cells: int) -> float:
    return (range_quantile(1 - ALPHA / cells, study.baseline.seeds) / study.baseline.spread) ** 2


def _accuracy(held: int, study: Study, cells: int) -> float:
    """The largest accuracy up to one half at which so many items suffice."""
    per = _per_variance(study, cells)
    return 0.5 if per * 0.25 <= held else 0.5 - sqrt(0.25 - held / per)


def _changed(held: int, study: Study) -> float:
    """The largest share of changed answers at which the items of all looks fit, to a thousandth."""
    rule, size = rule_of(study), family_size(study)

    def fits(share: float) -> bool:
        need = needed_n(share, 0.0, rule, size, study.baseline.seeds)
        return -(-need // study.block) * study.block * study.verdict.looks <= held

    low, high = 0, 1000
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle / 1000) else (low, middle - 1)
    return low / 1000


def ways_out(study: Study, tier: str, wanted: int) -> Iterator[str]:
    """What a study may change so that a tier of it can be judged; each names the key to write."""
    if not study.continuous:
        items = ceil(range_quantile(1 - ALPHA / (len(study.subjects) * len(study.tasks)), 3) ** 2 / NATS**2)
        yield (
            "a continuous outcome (claims: {outcome: answer_logprob}, thresholds in nats): at a baseline.spread of"
            f" {NATS} nats the gate needs {items:,} items per seed where an item's standard deviation is 1 nat"
        )
    if larger := _larger(study, tier, wanted):
        yield larger
    if len(study.tasks) > 1:
        alone = baseline_items(1.0 if study.continuous else 0.25, study, len(study.subjects))
        yield f"fewer tiers: with one tier the baseline's gate needs at most {alone:,} items per seed"


def _larger(study: Study, tier: str, wanted: int) -> str:
    """The next operand range whose lanes hold enough, where the tier has such a range."""
    given: Any = study.tasks[tier]
    key = "beyond" if getattr(given, "beyond", None) is not None else "high"
    now = getattr(given, key, None)
    for high in RANGES:
        if isinstance(now, int) and high > now and (held := _held(given, study, key, high)) >= wanted:
            return f"a larger range (tasks: {{{tier}: {{{key}: {high}}}}}): a seed then holds {held:,} items"
    return ""


def _held(given: Any, study: Study, key: str, high: int) -> int:
    """Items of a seed, in whole blocks, if a tier's range ended there; 0 where it may not."""
    try:
        task = make_task(_CONFIG.validate_python({**given.model_dump(), key: high}))
    except (ValidationError, InputError):
        return 0
    seeds = range(study.baseline.seeds)
    held = min(task.capacity(Draw("confirm", "any", seed, study.baseline.seeds)) for seed in seeds)
    return held // study.block * study.block


def words(each: Carried, study: Study) -> str:
    """One tier's sentences: what its pool holds, what that can carry, and ways out where it is not enough."""
    held = f"{each.holds:,}" if each.holds < 10**9 else "over 10^9"
    if study.continuous:
        at = f"where an item's standard deviation is at most {each.limit:.2g} nats"
        return _with_ways(f"{each.tier}: a seed holds {held} items, so the baseline can be judged {at}.", each)
    if each.enough:
        said = f"{each.tier}: a seed holds {held} items: the baseline can be judged at any accuracy"
    elif each.limit < 0.005:
        said = f"{each.tier}: a seed holds {held} items: the baseline can be judged at no accuracy between 1 % and 99 %"
    else:
        said = (
            f"{each.tier}: a seed holds {held} items, and at an accuracy of 50 % the baseline's gate needs"
            f" {each.wants:,}: it can be judged at accuracies up to {each.limit:.0%} or from {1 - each.limit:.0%} on"
        )
    looks = (
        f"its items are enough for the verdict where an edit changes up to {100 * (each.changed or 0):.0f} % of answers"
    )
    return _with_ways(f"{said}; {looks}.", each)


def _with_ways(said: str, each: Carried) -> str:
    return said + (f" Ways out: {'; or '.join(each.proposals)}." if each.proposals else "")
