"""Is the effect the target's own? The target's arm against a matched random control's arm, on the same items."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lesion.errors import InputError, nearest
from lesion.stats.multiplicity import holm
from lesion.stats.paired.comparison import compare
from lesion.stats.paired.rows import PairedRows
from lesion.stats.verdict.rule import Rule


@dataclass(frozen=True)
class Specificity:
    """Does the target's effect exceed its matched control's?"""

    n: int
    gained: int
    """Correct under the target's edit, wrong under the control's."""
    lost: int
    """Wrong under the target's edit, correct under the control's."""
    delta: float
    """Accuracy of the target's arm minus accuracy of the control's arm."""
    ci_low: float
    ci_high: float
    p: float
    p_holm: float
    holds: bool
    """p_holm <= alpha_look, and the target's arm lies beyond the control's on the side of its own effect."""


def specific(
    targets: Mapping[str, PairedRows], controls: Mapping[str, PairedRows], rule: Rule, *, family_size: int
) -> dict[str, Specificity]:
    """Tests each target's arm against its control's arm item by item, by the verdict's own test, Holm over the family.

    With one baseline the difference of the two paired differences is target minus control, item by item.

    Raises:
        InputError: when a target has no control, or their items, seeds or baselines differ.
    """
    contrasts = {name: contrast(target, _control(name, controls)) for name, target in targets.items()}
    compared = {name: compare(rows, rule.confidence, rule.margin) for name, rows in contrasts.items()}
    adjusted = holm([each.p for each in compared.values()], family_size).tolist()
    answers: dict[str, Specificity] = {}
    for (name, each), p_holm in zip(compared.items(), adjusted, strict=True):
        side = np.sign(targets[name].difference.sum())
        beyond = side != 0 and np.sign(each.counts.gained - each.counts.lost) == side
        answers[name] = Specificity(
            n=each.counts.n,
            gained=each.counts.gained,
            lost=each.counts.lost,
            delta=each.counts.delta,
            ci_low=each.interval.low,
            ci_high=each.interval.high,
            p=each.p,
            p_holm=p_holm,
            holds=bool(beyond and p_holm <= rule.alpha_look),
        )
    return answers


def contrast(target: PairedRows, control: PairedRows) -> PairedRows:
    """The control's arm as baseline, the target's arm as edit.

    Raises:
        InputError: when items, seeds or baselines differ.
    """
    same_items = target.item is None or control.item is None or np.array_equal(target.item, control.item)
    if not (
        same_items and np.array_equal(target.seed, control.seed) and np.array_equal(target.baseline, control.baseline)
    ):
        raise InputError(
            "target and control did not answer the same items against the same baseline; pair them by item"
        )
    return PairedRows(control.edited, target.edited, target.seed, target.strata, target.cluster, target.item)


def _control(name: str, controls: Mapping[str, PairedRows]) -> PairedRows:
    if name not in controls:
        raise InputError(f"target {name!r} has no matched control; {nearest(name, controls)}")
    return controls[name]
