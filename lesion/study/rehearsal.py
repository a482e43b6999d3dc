"""The rehearsal of a study: the same line with the smallest numbers, for `--dry-run`. Its numbers mean nothing.

A pure Study -> Study: thresholds become so wide that few items suffice, and hub models are stood in for by tiny random
ones, so that nothing outside is contacted. Everything else (tasks, targets, factors, rule) stays, so it is exercised.
"""

from lesion.study.study import Study

BLOCK = 32
ITEMS = 64
WIDE = 0.9
"""Spread and margin of a rehearsal (share)."""
STAND_IN = "tiny:llama"


def rehearse(study: Study) -> Study:
    """The study made small."""
    return study.model_copy(
        update={
            "models": tuple(dict.fromkeys(STAND_IN if "@" in model else model for model in study.models)),
            "block": BLOCK,
            "baseline": study.baseline.model_copy(update={"items": ITEMS, "spread": WIDE}),
            "sweep": study.sweep.model_copy(update={"items": ITEMS}),
            "verdict": study.verdict.model_copy(update={"margin": 0.3, "effect": 0.5, "spread": WIDE}),
        }
    )
