"""Function-vector heads in a study: a detector like the others, an exclusion both ways, and an overlap."""

from typing import Any

import polars as pl
import pytest

from lesion.errors import InputError
from lesion.measures.heads.detection import THRESHOLD
from lesion.runs.execute.prepare import prepare_plan
from lesion.runs.measure import measure_cell
from lesion.study.arms.targets import DetectedHeads
from lesion.study.dry_run import rehearse
from lesion.study.format.load import parse_document
from lesion.study.gates.detection.heads import EXCLUDED, left_out, passing, validity
from lesion.study.gates.evidence.model_answers import DetectorAnswer, FunctionVectorHead, FunctionVectors, PatternScores
from lesion.study.gates.gate_verdict import DetectionEvidence, GateVerdict
from lesion.study.gates.judge import Facts
from lesion.study.plan import Cell, Plan, Shape, new_plan
from lesion.study.stages.stage_table import judge
from lesion.study.study import Study
from lesion.tasks.literature import word_prompts

MODEL = "tiny:llama"
TEXT = """\
name: vectors
question: Are induction heads that are no function-vector heads needed?
models: [tiny:llama]
tasks: {tier: {task: arithmetic}}
sweep: {target: {kind: detected, TARGET}}
"""
SCORES = ((0.9, 0.45), (0.6, 0.1))


def study(target: str = "exclude: function_vector, most: 2") -> Study:
    return parse_document(TEXT.replace("TARGET", target), "vectors.yaml", Study)


def plan(target: str) -> Plan:
    made = new_plan(study(target), "key", {MODEL: Shape(layers=2, heads=2, neurons=8)}, {"tier": 320})
    return made.model_copy(update={"stage": "detect"})


def vectors(control: float = 0.05, **lows: float) -> FunctionVectors:
    """Effects of four heads, each 0.1 above its interval's lower end; the largest first."""
    ends = {"L0H0": -0.2, "L0H1": -0.2, "L1H0": -0.2, "L1H1": -0.2, **lows}
    heads = [
        FunctionVectorHead(site=site, effect=low + 0.1, low=low, high=low + 0.2, control=0.0)
        for site, low in ends.items()
    ]
    ordered = tuple(sorted(heads, key=lambda head: -head.effect))
    return FunctionVectors(shots=10, maps={}, prompts=48, control=control, heads=ordered)


def answer(found: FunctionVectors | None, **changes: Any) -> DetectorAnswer:
    told = {"detector": "induction", "scores": SCORES, "again": SCORES, "function_vectors": found}
    return DetectorAnswer.model_validate({**told, **changes})


def gate(target: str, found: DetectorAnswer) -> GateVerdict:
    return judge(plan(target), Facts(pl.DataFrame(), pl.DataFrame(), {MODEL: found}))


def test_the_default_threshold_is_the_control_for_function_vectors_and_a_half_for_patterns() -> None:
    assert study("detector: function_vector").sweep.target.threshold is None  # pyright: ignore
    assert study("detector: previous_token").sweep.target.threshold == 0.5  # pyright: ignore
    again = parse_document(study("detector: function_vector").model_dump_json(), "again.json", Study)
    assert again == study("detector: function_vector")
    assert {"exclude", "overlap"}.isdisjoint(DetectedHeads().model_dump())


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("exclude: induction", "selects the heads itself"),
        ("detector: function_vector, overlap: function_vector", "selects the heads itself"),
        ("exclude: function_vektor", "function_vector"),
        ("overlap: induction", "function_vector"),
        ("threshold: null", "number between 0 and 1"),
    ],
)
def test_a_detector_cannot_exclude_itself_and_other_names_are_refused(target: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        study(target)


def test_top_function_vector_heads_are_left_out_and_the_next_ones_take_their_place() -> None:
    verdict = gate("exclude: function_vector, most: 2, threshold: 0.4", answer(vectors(L0H0=0.01)))
    seen = verdict.saw(DetectionEvidence)
    assert verdict.outcome == "Pass"
    assert seen.picked == {MODEL: ("L1H0", "L0H1")}
    assert seen.excluded == {MODEL: ("L0H0",)}
    assert GateVerdict.model_validate_json(verdict.model_dump_json()) == verdict


def test_overlap_is_measured_and_leaves_nothing_out() -> None:
    seen = gate("overlap: function_vector, most: 2", answer(vectors(L0H0=0.01))).saw(DetectionEvidence)
    assert seen.picked == {MODEL: ("L0H0", "L1H0")}
    assert seen.excluded == {}
    assert "excluded" not in seen.model_dump()


def test_where_every_head_is_left_out_the_study_stops_and_says_why() -> None:
    verdict = gate("exclude: function_vector", answer(vectors(L0H0=0.01, L1H0=0.02)))
    assert verdict.outcome == "Fail"
    assert "every head that induction finds is one that `exclude: function_vector` leaves out" in verdict.reason


def test_function_vector_heads_are_those_above_every_control_or_above_the_studys_own_floor() -> None:
    found = answer(vectors(L0H0=0.01, L1H0=0.3), detector="function_vector", again=())
    assert passing(DetectedHeads(detector="function_vector"), found) == ("L1H0",)
    floor = DetectedHeads(detector="function_vector", threshold=0.001)
    assert passing(floor, found) == ("L1H0", "L0H0")
    none = answer(vectors(control=0.5, L1H0=0.3), detector="function_vector", again=())
    verdict = gate("detector: function_vector", none)
    assert verdict.outcome == "Fail"
    assert "L1H0, effect +0.400; it must exceed 0.500; largest control 0.500" in verdict.reason
    assert validity("x", floor, answer(None, detector="function_vector", again=())).outcome == "Fail"


def test_an_attention_pattern_is_left_out_where_either_set_reaches_the_threshold_of_lesion_heads() -> None:
    assert EXCLUDED == THRESHOLD
    other = PatternScores(detector="induction", scores=((0.0, 0.0), (0.31, 0.0)), again=((0.0, 0.0), (0.0, 0.29)))
    found = answer(vectors(L1H0=0.3, L1H1=0.2), detector="function_vector", again=(), excluded=other)
    target = DetectedHeads(detector="function_vector", exclude="induction")
    assert left_out(target, found) == ("L1H0",)
    seen = gate("detector: function_vector, exclude: induction", found).saw(DetectionEvidence)
    assert seen.picked == {MODEL: ("L1H1",)}


def test_a_model_that_reads_no_words_is_refused_before_the_run_and_rehearsed_without_them() -> None:
    with pytest.raises(InputError, match="take a model that reads words"):
        prepare_plan(study(), "key")
    pinned = study().model_copy(update={"models": ("org/name@" + 40 * "a",)})
    target = rehearse(pinned).sweep.target
    assert isinstance(target, DetectedHeads)
    assert (target.exclude, target.most, target.threshold) == (None, 2, 0.5)


def test_a_worker_measures_function_vectors_once_for_all_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a model that reads letters alone: the prompts are written without spaces and lines."""
    for name, text in {"EXAMPLE": "{}={};", "QUESTION": "{}=", "ANSWER": "{}"}.items():
        monkeypatch.setattr(word_prompts, name, text)
    maps = {name: tuple((a + b, b + a) for a in "abcd" for b in "efgh"[i:]) for i, name in enumerate(("one", "two"))}
    monkeypatch.setattr(word_prompts, "WORD_MAPS", maps)
    asked = plan("detector: function_vector, exclude: induction")
    cell = Cell(stage="detect", model=MODEL)
    measure_cell._vectors.cache_clear()
    found = measure_cell.work(cell, asked).answer
    assert isinstance(found, DetectorAnswer)
    assert (found.detector, found.again) == ("function_vector", ())
    assert found.function_vectors is not None
    assert found.excluded is not None
    stable = found.function_vectors.stability
    assert stable is not None
    assert (stable.over, stable.units, {*stable.left_out}) == ("word maps", 2, {"one", "two"})
    best = found.function_vectors.heads[0]
    layer, head = map(int, best.site[1:].split("H"))
    assert found.scores[layer][head] == best.effect == max(max(row) for row in found.scores)
    again = measure_cell.work(cell, asked.model_copy(update={"study": study("overlap: function_vector")})).answer
    assert isinstance(again, DetectorAnswer)
    assert again.function_vectors == found.function_vectors
    assert measure_cell._vectors.cache_info().hits == 1
    measure_cell._vectors.cache_clear()
