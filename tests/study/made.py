"""Typed evidence in which nothing is wrong, but for what a test changes: answers, cells' verdicts, gates."""

from dataclasses import replace
from typing import Any

from lesion.runs.manifest.run import Manifest
from lesion.stats.baseline_gate import BaselineCell
from lesion.stats.verdict.cell_verdict import CellVerdict
from lesion.stats.verdict.rule import GateOutcome, Verdict
from lesion.study.gates.evidence.model_answers import DetectorAnswer, InstrumentAnswer, RankedAnswer
from lesion.study.gates.gate_verdict import GateVerdict, InstrumentEvidence
from lesion.study.plan import Outcome, StageName
from lesion.study.results import Results

SOUND: dict[str, Any] = {
    "weights_hash": "", "tokenizer_hash": "", "revision": "", "family": "llama", "placebo_bit_equal": True,
    "engine": {"engine": "reference", "kernel": "default", "error": None, "tolerance": 0.0, "note": ""},
    "identities": [{"name": "sum of heads", "error": 0.0, "tolerance": 0.0, "holds": True}],
    "repeat_flips": 0, "noise_floor": 0.0, "contract": {"tier1": {"items": 64, "refused": 0}},
}  # fmt: skip
"""The proof of a model as early versions measured it; what they did not measure is absent."""
BROKEN: dict[str, Any] = {**SOUND["identities"][0], "error": 1.0, "holds": False}
"""An identity that fails."""
LEAST: dict[StageName, dict[str, Any]] = {
    "instrument": {"models": {}},
    "baseline": {},
    "detect": {"picked": {}, "passing": {}, "answers": {}},
    "discovery": {"table": (), "family": (), "dropped": ()},
    "confirm": {"look": 1, "verdicts": {}},
    "specificity": {"specific": {}, "sets": {}},
    "transfer": {"table": (), "family": (), "dropped": ()},
    "replicate": {"look": 1, "verdicts": {}},
    "replicate_specificity": {"specific": {}, "sets": {}},
}
"""The least that a gate of each stage saw."""


def instrument_answer(**changes: Any) -> InstrumentAnswer:
    """The proof of a model at which nothing is wrong, with some fields changed."""
    return InstrumentAnswer.model_validate({**SOUND, **changes})


def detector_answer(scores: Any, again: Any = None) -> DetectorAnswer:
    """Scores by layer and head; the second set finds the same unless it is told."""
    answer = {"detector": "induction", "scores": scores, "again": scores if again is None else again}
    return DetectorAnswer.model_validate(answer)


def neuron_answer(*ranked: tuple[str, float]) -> RankedAnswer:
    """Neurons and their scores, the highest first."""
    return RankedAnswer(score="write", tier="tier1", items=64, ranked=ranked)


def baseline_cell(outcome: GateOutcome = "Pass", **changes: Any) -> BaselineCell:
    """A baseline of 64 items a seed, all of them right, with some fields changed."""
    fields: dict[str, Any] = {
        "correct": (64,) * 3, "n": 64, "accuracies": (1.0,) * 3, "spread": 0.0, "needed_n": 50,
    }  # fmt: skip
    return BaselineCell(**{**fields, "outcome": outcome, **changes})


def cell_verdict(verdict: Verdict = "Null", **changes: Any) -> CellVerdict:
    """A cell on 1000 items in which nothing changed, with this word, and some fields changed."""
    fields: dict[str, Any] = {
        "look": 1, "tags": (), "reason": "", "n": 1000, "gained": 0, "lost": 0, "delta": 0.0, "psi": 0.0,
        "ci_low": -0.01, "ci_high": 0.01, "confidence": 0.95, "p": 1.0, "p_holm": 1.0, "p_equivalence": 0.0,
        "p_equivalence_holm": 0.0, "seeds": (), "seed_gate": "Pass", "seed_range": 0.0, "strata": (),
        "baseline_accuracy": 0.5, "edited_accuracy": 0.5, "needed_n": None, "clauses": (),
    }  # fmt: skip
    return CellVerdict(**{**fields, "verdict": verdict, **changes})


def gate(
    stage: StageName, outcome: Outcome = "Pass", *, attempt: int = 0, reason: str = "because", **evidence: Any
) -> GateVerdict:
    """What a gate said, and what it saw: the least of its stage, and what is told here."""
    seen = {**LEAST[stage], **evidence}
    given = {"stage": stage, "attempt": attempt, "outcome": outcome, "reason": reason, "evidence": seen}
    return GateVerdict.model_validate(given)


FORGED = Results(scenario="Improvement", invalid=(), positive_control=None)
"""Results that no run gave."""


def with_cell(results: Results, name: str, **changes: Any) -> Results:
    """The results, with some fields of one cell's verdict changed."""
    return results.model_copy(update={"cells": {**results.cells, name: replace(results.cells[name], **changes)}})


def with_proof(manifest: Manifest, **changes: Any) -> Manifest:
    """The manifest, with some fields changed of what the instrument gate saw of every model."""
    first, *others = manifest.gates
    models = {name: answer.model_copy(update=changes) for name, answer in manifest.proofs().items()}
    evidence = first.saw(InstrumentEvidence).model_copy(update={"models": models})
    gates = (first.model_copy(update={"evidence": evidence}), *others)
    return manifest.model_copy(update={"gates": gates})
