"""Every gate is tried on facts that must fail it and facts that must pass it, by itself and as the line calls it."""

from collections.abc import Iterator
from typing import Any

from lesion.stats.baseline_gate import baseline_gate
from lesion.study.gates.checks import contract, detector, instrument, quiet, worst
from lesion.study.gates.evidence.model_answers import (
    ContractSample,
    DetectorAnswer,
    EngineChoice,
    Identity,
    InstrumentAnswer,
)
from lesion.study.gates.evidence.paired_arms import paired_rows
from lesion.study.gates.gate_verdict import LookEvidence
from lesion.study.gates.judge import Facts
from lesion.study.plan import Chosen, Plan, Shape, StageName
from lesion.study.rows import ITEMS, empty
from lesion.study.selftest.known_rows import MODEL, known_plan, opposites, questions, same_seeds
from lesion.study.stages.replication import mapped
from lesion.study.stages.stage_table import judge

SOUND = InstrumentAnswer(
    weights_hash="", tokenizer_hash="", revision="", family="known",
    engine=EngineChoice(engine="reference", kernel="default", error=None, tolerance=0.0, note=""),
    identities=(Identity(name="known", about="model", error=0.0, tolerance=0.0, holds=True),),
    placebo_bit_equal=True, repeat_flips=0, noise_floor=0.0, misread=0.0, own_mean=0.0, others_mean=0.0,
    whole_patch=0.0,
    contract={"tier": ContractSample(items=64, refused=0)},
)  # fmt: skip
"""The proof of a model at which nothing is wrong."""


def _gates() -> Iterator[str]:
    """Every gate fails what must fail it, and passes what must pass."""
    broken: dict[str, Any] = {
        "identities": (SOUND.identities[0].model_copy(update={"holds": False}),),
        "placebo_bit_equal": False, "repeat_flips": 3, "noise_floor": 1.0, "misread": 1.0, "own_mean": 1.0,
        "whole_patch": 1.0,
        "others_mean": 1.0, "contradictions": ("a token is not the text",),
    }  # fmt: skip
    told: dict[str, tuple[str, str]] = {"instrument": (worst(instrument("known", SOUND, frozenset())), "Pass")}
    for name, value in broken.items():
        answer = SOUND.model_copy(update={name: value})
        told[f"instrument, {name}"] = (worst(instrument("known", answer, frozenset())), "Fail")
    prints = {"cell": ["a", "b", "c"]}
    stable, sizes = {"cell": [7000, 7010, 7020]}, {"cell": 12_200}
    told |= {
        "contract": (contract("known", 32, 64, 0.01).outcome, "Fail"),
        "detector": (detector("known", [[0.1, 0.2]], [[0.1, 0.2]], 0.5).outcome, "Fail"),
        "detector, one set": (detector("known", [[0.6, 0.2]], [[0.1, 0.2]], 0.5).outcome, "Ambiguous"),
        "control quietness": (quiet("known", 0, 200, 1000, 0.03).outcome, "Fail"),
        "baseline": (baseline_gate(stable, sizes, fingerprints=prints).outcome, "Pass"),
        "baseline, unstable": (baseline_gate({"cell": [7000, 7000, 7800]}, sizes).outcome, "Fail"),
        "baseline, too few": (baseline_gate({"cell": [50, 50, 50]}, {"cell": 100}).outcome, "NotEvaluable"),
        "baseline, same seeds": (
            baseline_gate(stable, sizes, fingerprints={"cell": ["a", "a", "c"]}).outcome, "Degenerate",
        ),
    }  # fmt: skip
    for gate, (found, expected) in told.items():
        if found != expected:
            yield f"the gate '{gate}' says {found} where it must say {expected}"


def _stages() -> Iterator[str]:
    """Each stage's gate, as the line calls it, on facts that must not pass."""
    plan = known_plan()
    nothing, asked = empty(ITEMS), questions()
    scored = {MODEL: DetectorAnswer(detector="induction", scores=((0.1, 0.2),), again=((0.1, 0.2),))}
    broken = {MODEL: SOUND.model_copy(update={"placebo_bit_equal": False})}
    chosen = Chosen(model=MODEL, tier="tier", alpha=0.0, items=32, psi=0.1, delta=0.0)
    looking = {"stage": "confirm", "family": (chosen,), "pending": (chosen.id,), "controls": {MODEL: ()}}
    given: dict[StageName, tuple[Plan, Facts]] = {
        "instrument": (plan, Facts(nothing, asked, broken)),
        "baseline": (plan.model_copy(update={"stage": "baseline"}), Facts(same_seeds(), asked, {})),
        "detect": (plan.model_copy(update={"stage": "detect"}), Facts(nothing, asked, scored)),
    }
    for stage, (at, facts) in given.items():
        if (found := judge(at, facts).outcome) != "Fail":
            yield f"the {stage} stage says {found} of facts that must fail it"
    looks = plan.model_copy(update=looking)
    pairs = paired_rows(looks, opposites(), asked, chosen, "target")
    if not bool((pairs.baseline != pairs.edited).all()):
        yield "baseline and edited answers are not paired item by item"
    looked = judge(looks, Facts(nothing, asked, {}))
    told = looked.saw(LookEvidence).verdicts
    if chosen.id not in told or told[chosen.id].verdict != "Invalid":
        yield "a cell without rows is not Invalid"


def _maps() -> Iterator[str]:
    """Heads of another model are found by rank and relative depth, not by their index."""
    stands = mapped(
        ("L3H2",), ("L0H2", "L1H1"), Shape(layers=4, heads=4, neurons=8), Shape(layers=2, heads=4, neurons=8)
    )
    if [each.site for each in stands] != ["L1H1"]:
        yield f"a head at depth .875 is mapped to {[each.site for each in stands]} where it must be L1H1, at .75"


GATE_CASES = (_gates, _stages, _maps)
