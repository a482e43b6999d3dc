"""The rehearsal of a study: the same line with the smallest numbers, for `--dry-run`. Its numbers mean nothing.

A pure Study -> Study: thresholds become so wide that few items suffice, and hub models are stood in for by tiny random
ones, so that nothing outside is contacted. Everything else (tasks, targets, factors, rule) stays, so it is exercised.
"""

from lesion.study.arms.targets import DetectedHeads, Target
from lesion.study.claims import Claims
from lesion.study.study import Replication, Study
from lesion.study.sweep import Sweep

BLOCK = ITEMS = 64
WIDE = 0.9
"""Spread and margin of a rehearsal (share)."""
NATS = 9.0
"""Spread of a rehearsal that judges nats."""
SETS = 3
"""Matched sets of a rehearsal, at most."""
PREFIXES = 3
"""Sets of examples of a rehearsal, at most: nine clusters in three seeds, the fewest with which tests can decide."""
STAND_IN, OTHER = "tiny:llama", "tiny:gpt2"
"""What stands in for a hub model: the study's own, and those of its replication."""


def rehearse(study: Study) -> Study:
    """The study made small."""
    return study.model_copy(
        update={
            "models": _stood_in(study.models, STAND_IN),
            "replication": _other(study.replication),
            "block": BLOCK,
            "baseline": study.baseline.model_copy(update={"items": ITEMS, "spread": _wide(study)["spread"]}),
            "sweep": _sweep(study),
            "verdict": study.verdict.model_copy(update=_wide(study)),
            "claims": study.claims and _claims(study.claims),
        }
    )


def _sweep(study: Study) -> Sweep:
    """Few items; without function vectors where a model is stood in for by one that reads no words."""
    swept = study.sweep.model_copy(update={"items": ITEMS})
    if _stood_in(study.subjects, STAND_IN) == study.subjects:
        return swept
    named = {name: _without_words(target) for name, target in swept.named.items()}
    return swept.model_copy(update={"targets": named} if swept.targets else {"target": named[""]})


def _without_words(target: Target) -> Target:
    if not isinstance(target, DetectedHeads) or not target.function_vectors:
        return target
    detector = "induction" if target.detector == "function_vector" else target.detector
    return DetectedHeads(detector=detector, threshold=target.threshold or 0.5, most=target.most)


def _claims(claims: Claims) -> Claims:
    """Few matched sets and few sets of examples."""
    prefixes = claims.prefixes if claims.prefixes == "per_item" else min(PREFIXES, claims.prefixes)
    return claims.model_copy(update={"sets": min(SETS, claims.sets), "set_items": ITEMS, "prefixes": prefixes})


def _wide(study: Study) -> dict[str, float]:
    """Thresholds that few items pass, in the unit of the study's outcome."""
    if study.headroom:
        return {"margin": WIDE, "effect": 0.5, "spread": NATS if study.continuous else WIDE}
    if study.continuous:
        return {"margin": NATS / 3, "effect": NATS / 2, "spread": NATS}
    return {"margin": 0.3, "effect": 0.5, "spread": WIDE}


def _stood_in(models: tuple[str, ...], stand_in: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(stand_in if "@" in model else model for model in models))


def _other(replication: Replication | None) -> Replication | None:
    if replication is None:
        return None
    return replication.model_copy(update={"models": _stood_in(replication.models, OTHER)})
