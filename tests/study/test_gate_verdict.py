"""What a gate saw is typed by its stage, goes through a file as itself, and is what earlier versions recorded."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from lesion.errors import InputError
from lesion.identity import content_hash
from lesion.runs.folder.run_folder import Result, RunFolder
from lesion.runs.manifest.run import Manifest, read_manifest
from lesion.stats.specificity.companion import Companion
from lesion.stats.specificity.contrast import Specificity
from lesion.stats.specificity.rank import RankSpecificity, Within
from lesion.study.gates.evidence.model_answers import AnyAnswer
from lesion.study.gates.gate_verdict import (
    EVIDENCE,
    DetectionEvidence,
    DiscoveryRow,
    GateVerdict,
    InstrumentEvidence,
    LookEvidence,
    last_evidence,
)
from lesion.study.gates.judge import _finite  # pyright: ignore[reportPrivateUsage]
from lesion.study.plan import Cell, Chosen, StageName
from lesion.study.stages.replication import Stand
from lesion.tasks.answers import Reading
from tests.study.made import baseline_cell, cell_verdict, detector_answer, gate, instrument_answer, neuron_answer

ROOT = Path(__file__).resolve().parents[2]
MODEL, PAIR = "tiny:llama", "tiny:llama|tier1"
MEMBER = Chosen(model=MODEL, tier="tier1", alpha=0.0, items=512, psi=0.1, delta=-0.1, ablation="mean")
CELL = MEMBER.id
CHECK = {"name": "control quietness", "about": PAIR, "outcome": "Ambiguous", "said": "loud", "blocks": False}
ROW = {"model": MODEL, "tier": "tier1", "arm": "a", "n": 64, "accuracy": 0.5, "delta": -0.1, "psi": 0.1,
       "gained": 0, "lost": 6}  # fmt: skip
RANK = RankSpecificity("specific", "", "model", 60, 231, 96, -0.75, (-0.1,) * 60, 1, 1 / 61, 3 / 61, (0, 1, 2, 3, 4))
FAMILY = {"table": (ROW, {**ROW, "outcome": -1.5, "outcome_delta": -0.2}), "family": (MEMBER,), "dropped": ("small",)}
LOOK = {
    "look": 2,
    "verdicts": {CELL: cell_verdict("Harm", delta=-0.1, tags=("material", "zero_only"), psi=None)},
    "ablations": {CELL: {"zero": cell_verdict("Harm"), "mean": cell_verdict("Invalid", delta=None, reason="none")}},
    "chance": {PAIR: 0.02},
    "margins": {PAIR: 0.03},
    "readings": {CELL: {"baseline": Reading(96, 95, 90, 91), "edited": Reading(96, 90, 60, 61)}},
    "specific": {CELL: Specificity(960, 1, 99, -0.1, -0.12, -0.08, 0.0, 0.0, holds=True)},
    "companions": {CELL: {"mean": Companion("unknown", "none", 0, 96, 0, 0, None, None, None, None, None)}},
}
SETS = {
    "specific": {CELL: RANK},
    "sets": {CELL: (("L0H1", "L1H3"), ("L0H2", "L1H3"))},
    "within": {CELL: Within((("L1H2", "L1H3"),), (-0.1,), 15, 6, 6 / 16)},
    "inert": {CELL: (0, 7)},
    "spoiled": {"other": "an arm has no receipt"},
}
SEEN: dict[StageName, dict[str, Any]] = {
    "instrument": {
        "models": {MODEL: instrument_answer(misread=0.0, head_norms=[[1.0, 2.0]], origin={"licence": "MIT"})}
    },
    "baseline": {"cells": {PAIR: baseline_cell("NotEvaluable")}, "excluded": ("tier 2",), "final": True},
    "detect": {
        "picked": {MODEL: ("L1H0",)},
        "passing": {MODEL: ("L1H0", "L0H1")},
        "answers": {MODEL: detector_answer([[0.1, 0.9]]), "other": neuron_answer(("L1N5", 3.0))},
        "ranking": {MODEL: ("L1H0",)},
        "mapped": {"other": (Stand("L1H0", "L0H3", 2, 0.75, 0.5),)},
    },
    "discovery": FAMILY,
    "confirm": LOOK,
    "specificity": SETS,
    "transfer": FAMILY,
    "replicate": LOOK,
    "replicate_specificity": SETS,
}
"""Every part of every kind of evidence, filled."""
RECORDED = (
    ROOT / "tests/runs/examples/run-1.json",
    ROOT / "publications/toy-models/20261125_1556_induction-arithmetic_4e9d0c/manifest.json",
    ROOT / "publications/toy-models/20261125_1623_induction-neurons_c4b9a0/manifest.json",
)
"""Manifests of earlier versions: of format 1, and of format 2 with heads and with neurons."""


def seen(stage: StageName) -> GateVerdict:
    return gate(stage, checks=(CHECK,), **SEEN[stage])


@pytest.mark.parametrize("stage", EVIDENCE)
def test_evidence_goes_through_a_file_as_itself(stage: StageName) -> None:
    told = seen(stage)
    again = GateVerdict.model_validate_json(told.model_dump_json())
    assert again == told
    assert type(again.evidence) is EVIDENCE[stage]
    assert again.model_dump_json() == told.model_dump_json()
    assert again.evidence.model_fields_set >= SEEN[stage].keys()


@pytest.mark.parametrize("stage", EVIDENCE)
def test_evidence_of_another_stage_is_refused(stage: StageName) -> None:
    for other, kind in EVIDENCE.items():
        if kind is EVIDENCE[stage]:
            continue
        for evidence in (seen(other).evidence, seen(other).evidence.model_dump(mode="json")):
            with pytest.raises(ValidationError):
                GateVerdict.model_validate(
                    {"stage": stage, "attempt": 0, "outcome": "Pass", "reason": "", "evidence": evidence}
                )


def test_a_number_that_no_evidence_has_a_place_for_is_refused() -> None:
    raw = json.loads(seen("confirm").model_dump_json())
    for place in (raw["evidence"], raw["evidence"]["verdicts"][CELL], raw["evidence"]["checks"][0]):
        place["surprise"] = 1
        with pytest.raises(ValidationError, match="surprise"):
            GateVerdict.model_validate(raw)
        del place["surprise"]
    assert GateVerdict.model_validate(raw) == seen("confirm")


def test_who_asks_a_gate_for_what_another_stage_sees_is_told_so() -> None:
    assert seen("confirm").saw(LookEvidence).look == 2
    with pytest.raises(InputError, match="the gate of confirm has no DetectionEvidence"):
        seen("confirm").saw(DetectionEvidence)


def test_the_last_gate_of_a_stage_is_asked_and_a_stage_that_was_not_reached_saw_nothing() -> None:
    gates = [gate("confirm"), gate("baseline"), seen("confirm")]
    assert last_evidence(gates, "confirm", LookEvidence) == seen("confirm").evidence
    assert last_evidence(gates, "instrument", InstrumentEvidence) is None


@pytest.fixture(scope="module", params=RECORDED, ids=["format 1", "heads", "neurons"])
def recorded(request: pytest.FixtureRequest) -> tuple[dict[str, Any], Manifest]:
    """A manifest of an earlier version as it stands in its file, and as it is read."""
    return json.loads(request.param.read_text(encoding="utf-8")), read_manifest(request.param)


def test_manifests_of_earlier_versions_are_read_as_typed_documents(recorded: tuple[dict[str, Any], Manifest]) -> None:
    raw, manifest = recorded
    assert raw["format"] < manifest.format
    assert [(each.stage, type(each.evidence)) for each in manifest.gates] == [
        (each["stage"], EVIDENCE[each["stage"]]) for each in raw["gates"]
    ]
    for told, given in zip(manifest.gates, raw["gates"], strict=True):
        assert told.evidence.model_dump(mode="json", exclude_unset=True) == given["evidence"]
    words = {name: cell["verdict"] for name, cell in raw["results"]["cells"].items()}
    words |= {n: cell["verdict"] for n, cell in raw["results"].get("replication", {}).get("cells", {}).items()}
    assert manifest.results.words() == words
    assert manifest.results.specific.keys() == raw["results"]["specific"].keys()
    assert manifest.results.scenario == raw["results"]["scenario"]


def test_what_a_model_answered_keeps_the_hash_that_its_unit_recorded(recorded: tuple[dict[str, Any], Manifest]) -> None:
    raw, manifest = recorded
    units = {unit.rows_hash for unit in manifest.units if unit.stage in ("instrument", "detect")}
    tried = 0
    for told, given in zip(manifest.gates, raw["gates"], strict=True):
        answers: dict[str, AnyAnswer] = {}
        if isinstance(told.evidence, InstrumentEvidence):
            answers |= told.evidence.models
        if isinstance(told.evidence, DetectionEvidence):
            answers |= told.evidence.answers
        for model, answer in answers.items():
            written = (given["evidence"].get("models") or given["evidence"]["answers"])[model]
            assert answer.recorded_hash() == content_hash(written)
            assert answer.recorded_hash() in units
            tried += 1
    assert tried == len(units) > 0
    for model, answer in manifest.proofs().items():
        copy = next(facts["answer"] for facts in raw["models"] if facts["name"] == model)
        assert answer.recorded_hash() == content_hash(copy)


@pytest.mark.parametrize(
    "answer", [instrument_answer(), instrument_answer(misread=0.0), detector_answer([[0.5]]), neuron_answer()]
)
def test_an_answer_keeps_its_hash_when_its_unit_is_put_on_disk_and_read(answer: AnyAnswer, tmp_path: Path) -> None:
    cell = Cell(stage="instrument", model=MODEL)
    written = RunFolder(tmp_path).append(cell, Result(None, None, answer, (), 0.1, {}))
    again = RunFolder(tmp_path).unit(cell)
    assert again == written
    assert again is not None
    assert again.answer is not None
    assert again.answer.recorded_hash() == again.rows_hash == answer.recorded_hash()


def test_a_mean_that_is_no_finite_number_is_left_out_of_the_table_of_discovery():
    row = {"model": "m", "tier": "t", "arm": "control0@0", "n": 2, "accuracy": 0.5, "delta": 0.0, "psi": 0.0}
    row |= {"gained": 0, "lost": 0, "outcome": float("nan"), "outcome_delta": float("-inf")}
    made = DiscoveryRow.model_validate(_finite(row))
    assert (made.outcome, made.outcome_delta, made.accuracy) == (None, None, 0.5)
