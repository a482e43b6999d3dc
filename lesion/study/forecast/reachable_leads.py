"""What a study's questions about double dissociations can show: how many there are, and which leads its items find."""

from lesion.stats.dissociation.power import least_lead
from lesion.study.gates.dissociations import questions
from lesion.study.stages.confirmatory_cells import assumed_n, rule_of
from lesion.study.study import Study

CHANGED = 0.2
"""Share of items on which the answers under two targets are taken to differ; for numbers the variance of 1 nat^2."""


def lead_words(study: Study) -> list[str]:
    """The sentence that a plan prints; none where the study asks for no dissociation."""
    asked = questions(study)
    if not asked:
        return []
    size, rule, seeds = len(asked) * len(study.models), rule_of(study), study.baseline.seeds
    variance = 1.0 if study.continuous else CHANGED
    items = max(study.block, assumed_n(study, variance)) * seeds
    lead = least_lead(variance, items, rule, size)
    found = f"{lead:.2g} nats" if study.continuous else f"{100 * lead:.1f} points"
    where = "an item's standard deviation is 1 nat" if study.continuous else f"{CHANGED:.0%} of the answers differ"
    asks = f"Double dissociation: {size} question{'s' * (size != 1)}"
    return [
        f"{asks}. Where {where} between two targets, the {items:,} items of a first look"
        f" find leads of {found} on both tasks (power {rule.power:.0%}; clusters that differ need more)."
    ]
