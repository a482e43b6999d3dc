"""docs/compiled/index.md is what its rows say, and its numbers are counted right."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from lesion.identity import generator
from lesion.training.compiled.oracle import needed, right
from lesion.training.compiled.placement import place
from lesion.training.compiled.program import parts, read_program
from lesion.training.planted_heads import planted
from lesion.training.written_weights import HEAD_SIZE
from tests.program import load_program

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "compiled"
PAGE = load_program(FOLDER / "page.py")
STUDIES = load_program(FOLDER / "studies.py")
ROOT = FOLDER.parents[1]


def row(**changes):
    made = {
        "program": "made-4",
        "draw": 0,
        "parts": ["L0H0", "L0.mlp_out", "L1H1"],
        "needed": {"zero": ["L0.mlp_out", "L0H0"], "counterfactual": ["L0H0"]},
        "named": {"single, zero, mean": ["L0H0", "L1H1", "L1H3"]},
        "scores": {
            "single, zero, mean": {"L0H0": 0.9, "L0.mlp_out": 0.01, "L1H1": 0.5, "L1H3": 0.2, "L1H0": 0.0},
            "single, zero, any item": {"L0H0": 1.0, "L0.mlp_out": 0.6, "L1H1": 0.5, "L1H3": 0.3, "L1H0": 0.0},
        },
    }
    return made | changes


def test_the_page_is_what_was_measured():
    assert (FOLDER / "index.md").read_text(encoding="utf-8") == PAGE.page(PAGE.rows())


def test_recall_and_precision_leave_redundant_parts_out():
    line = PAGE.line("single, zero, mean", [row()])
    assert "0.50 (0.09–0.91; 1 of 2)" in line
    assert "| 0.50 (0.09–0.91; 1 of 2) | 0.00 (0.00–0.79; 0 of 1) | 0.750" in line, "L1H1 is redundant: no error"


def test_every_miss_and_wrong_name_has_its_reason():
    way = "single, zero, mean"
    assert PAGE.reasons(way, [row()]) == {
        "missed: its effects on items are rare or cancel in the mean": 1,
        "wrong: a distractor's leak": 1,
    }
    scores = row()["scores"]
    scores[way]["L0.mlp_out"] = 0.5
    assert "missed: for no reason that is known, a bug" in PAGE.reasons(way, [row(scores=scores)])


def test_no_miss_of_the_page_is_a_bug():
    for way in PAGE.WAYS:
        assert not [why for why in PAGE.reasons(way, PAGE.rows()) if "a bug" in why], way


def test_a_study_aims_at_what_its_planted_model_needs():
    aimed = STUDIES.targets(7)
    assert set(aimed) == {"needed", "noise", "silent_induction", "backup", "backups"}
    assert aimed["backup"][0] in aimed["backups"]
    assert set(STUDIES.RIGHT) == set(PAGE.TARGETS)
    assert {name: right for name, (_, right) in PAGE.TARGETS.items()} == STUDIES.RIGHT


@pytest.mark.slow
def test_a_program_outside_the_list_is_compiled_placed_and_known(tmp_path):
    """In tracr's own environment: whether a letter has occurred three times."""
    python = ROOT / ".bench" / "tracr" / "bin" / "python"
    if not python.exists():
        pytest.skip("tracr has an environment of its own: make compiled")
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); import rasp_programs as r; "
        "r.PROGRAMS['thrice'] = r.Program(r.mapped(lambda many: many > 2, lambda _: r.count(lambda key: key == 'a'))); "
        "r.compiled('thrice', 4, Path(sys.argv[2]))"
    )
    subprocess.run([python, "-c", code, str(FOLDER), str(tmp_path)], check=True, capture_output=True)
    program = read_program(tmp_path / "thrice-4.npz")
    assert right(program).all()
    assert needed(program, generator("thrice")).zero == frozenset(parts(program)) == {(0, 0), (0, None), (1, None)}
    assert set(place(program).nodes) == {(0, 0), (0, None), (1, None)}


def test_training_leaves_the_written_circuit_as_it_is_and_its_truth_is_seen(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    program = load_program(FOLDER / "trained.py")
    truth = planted(2)
    lesson = program.Lesson(generator("a lesson"), np.concatenate([[0], 1 + np.arange(32)[::-1]]))
    for weight, mask in program.trainable(truth).items():
        size = truth.network.config.n_embd
        for site in truth.circuit:
            start = (site.index or 0) * HEAD_SIZE
            block = truth.network.transformer.h[site.layer].attn
            if weight is block.c_proj.weight:
                assert not mask[start : start + HEAD_SIZE].any()
            elif weight is block.c_attn.weight:
                assert not any(
                    mask[:, part * size + start : part * size + start + HEAD_SIZE].any() for part in range(3)
                )
    nodes = sorted(truth.circuit, key=str)
    found, right_ = program.needed(truth.network, nodes, program.questions("repetition", lesson, 6))
    assert found == ["L0H3"], "the previous-token head; of two induction heads neither alone decides a choice"
    assert right_ == 1
