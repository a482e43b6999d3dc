"""Tasks of lm-evaluation-harness, the real package on task files of the test's own, alone and under an intervention."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lesion import cli
from lesion.cli.common.recorded import replay_call
from lesion.engine.hooks import hook_count
from lesion.errors import InputError, InterventionError
from lesion.interventions.parse import scale
from lesion.measures.interop.lm_eval import harness
from lesion.models.model import Model, open_model
from lesion.runs.manifest.recording import recording
from lesion.tasks.trusted_code import folder_hash

SUMS = [(12, 30), (7, 8), (45, 13), (60, 9), (33, 44), (21, 5), (80, 17), (64, 28)]
BLOCKS = ["eximdt", "fCxJdiR", "pKoNuJld", "KSaBcfgh"]
INDUCTION = "L1H0+L1H1"
"""The heads that abacus-planted was trained to copy with, and to add without."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three task files and their data: sums as text, sums as a choice, and blocks of symbols repeated."""
    place = tmp_path_factory.mktemp("tasks")
    answers = [
        {"question": f"{a}+{b}=", "answer": f"{a + b};", "choices": [f"{a + b};", f"{a + b + 1};"]} for a, b in SUMS
    ]
    repeats = [{"question": block + block[:-4], "answer": block[-4:]} for block in BLOCKS]
    free = {
        "output_type": "generate_until",
        "doc_to_target": "{{answer}}",
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    }
    choice = {"output_type": "multiple_choice", "doc_to_choice": "{{choices}}", "doc_to_target": 0}
    _task(place, "toy_sums", answers, {**free, "generation_kwargs": {"until": ["\n"], "max_gen_toks": 4}})
    _task(place, "toy_choice", answers, {**choice, "target_delimiter": ""})
    _task(place, "toy_repeat", repeats, {**free, "generation_kwargs": {"until": ["\n"], "max_gen_toks": 4}})
    return place


def _task(place: Path, name: str, rows: list[dict[str, Any]], extra: dict[str, Any]) -> None:
    (place / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {
            "data_files": {"test": str(place / f"{name}.jsonl")},
            "cache_dir": str(place / "cache"),
        },
        "test_split": "test",
        "doc_to_text": "{{question}}",
    }
    (place / f"{name}.yaml").write_text(yaml.safe_dump({**said, **extra}))


@pytest.fixture(scope="module")
def planted() -> Model:
    return open_model("zoo:abacus-planted")


def _alone(tasks: list[str], folder: Path, model: Model, **more: Any) -> Any:
    """The harness itself, as its own users call it: it opens the folder by its own means."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    alone = HFLM(pretrained=str(model.folder), device="cpu", dtype="float32", batch_size=1, **more)
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    return simple_evaluate(alone, tasks=tasks, task_manager=manager)


def test_without_an_intervention_the_number_is_the_harnesss_own(planted, folder):
    mine = harness(planted, ["toy_choice"], folder=folder, samples=True)
    alone = _alone(["toy_choice"], folder, planted)
    assert mine.found["results"] == alone["results"]
    for one, other in zip(mine.found["samples"]["toy_choice"], alone["samples"]["toy_choice"], strict=True):
        assert [r[0][0] for r in one["resps"]] == pytest.approx([float(r[0][0]) for r in other["resps"]], abs=1e-4)
    assert mine.receipt is None
    assert 0 < mine.found["results"]["toy_choice"]["acc,none"] <= 1


def test_text_without_an_intervention_is_the_harnesss_own_too(planted, folder):
    from transformers import AutoTokenizer

    told = AutoTokenizer.from_pretrained(planted.folder, local_files_only=True)
    told.eos_token = ";"  # the zoo's tokenizers name no end, and without one the harness generates nothing
    mine = harness(planted, ["toy_sums"], folder=folder, samples=True)
    alone = _alone(["toy_sums"], folder, planted, tokenizer=told)
    assert mine.found["results"] == alone["results"]
    texts = [[one["resps"] for one in each["samples"]["toy_sums"]] for each in (mine.found, alone)]
    assert texts[0] == texts[1]


def test_zeroing_the_planted_induction_heads_takes_copying_away_and_leaves_sums_alone(planted, folder):
    before = harness(planted, ["toy_repeat", "toy_choice"], folder=folder)
    after = harness(planted, ["toy_repeat", "toy_choice"], scale(INDUCTION, 0.0), folder=folder)
    numbers = [
        (each.found["results"]["toy_repeat"]["exact_match,none"], each.found["results"]["toy_choice"]["acc,none"])
        for each in (before, after)
    ]
    assert numbers[0][0] == 1.0
    assert numbers[1][0] == 0.0
    assert numbers[1][1] == numbers[0][1]
    assert after.receipt is not None
    assert after.receipt.forwards == after.receipt.firings > len(BLOCKS)
    assert after.receipt.l2_change > 0
    assert after.asked == before.asked
    assert hook_count(planted.module) == 0


def test_scaling_by_one_changes_no_number(planted, folder):
    plain = harness(planted, ["toy_sums"], folder=folder, limit=2)
    placebo = harness(planted, ["toy_sums"], scale(INDUCTION, 1.0), folder=folder, limit=2)
    assert placebo.found == plain.found
    assert placebo.receipt is not None
    assert placebo.receipt.l2_change == 0
    assert plain.found["n-samples"]["toy_sums"] == {"original": len(SUMS), "effective": 2}


def test_what_cannot_be_is_refused_by_name(planted, folder):
    with pytest.raises(InputError, match=r"no task 'toy_sum'; .*toy_sums"):
        harness(planted, ["toy_sum"], folder=folder)
    with pytest.raises(InputError, match="has no folder with a tokenizer"):
        harness(open_model("tiny:llama"), ["toy_sums"], folder=folder)
    with pytest.raises(InterventionError, match="'last' has no meaning"):
        harness(planted, ["toy_sums"], scale("L0H0", 0.0, "last"), folder=folder)
    with pytest.raises(InterventionError, match="L9H0"):
        harness(planted, ["toy_sums"], scale("L9H0", 0.0), folder=folder)


def test_without_the_extra_the_error_says_how_to_get_it(planted, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(InputError, match=r"pip install 'lesion\[eval\]'"):
        harness(planted, ["toy_sums"], folder=folder)


def test_the_command_says_numbers_and_receipt_and_its_record_can_be_repeated(folder, tmp_path, capsys):
    def said(*words: object) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main([str(word) for word in words])
        return int(ended.value.code or 0), capsys.readouterr().out

    asked = ("eval", "zoo:abacus-planted", "--do", f"zero {INDUCTION}", "--lm-eval", "toy_repeat", "--limit", 2)
    code, text = said(*asked, "--include-path", folder, "--home", tmp_path)
    assert code == 0
    assert "toy_repeat  exact_match  0.0000" in text
    assert "zoo:abacus-planted under scale 0 L1H0+L1H1" in text
    (kept,) = (tmp_path / "runs").iterdir()
    assert json.loads((kept / "result.json").read_text())["receipt"]["firings"] > 0
    code, text = said("--trust-code", folder_hash(folder), "replay", kept, "--home", tmp_path)
    assert (code, "bit-equal" in text) == (0, True)


def test_a_record_that_names_a_folder_of_tasks_runs_nothing_of_it_before_its_hash_is_named(tmp_path, monkeypatch):
    """The YAML files of lm-eval name Python functions; a record may come from a stranger."""
    monkeypatch.chdir(tmp_path)
    evil = tmp_path / "evil"
    evil.mkdir()
    (evil / "evil.py").write_text("from pathlib import Path\nPath('ran').touch()\ndef text(doc):\n    return 'x'\n")
    (evil / "evil.yaml").write_text("task: evil\ndoc_to_text: !function evil.text\n")
    asked = {"model": "zoo:abacus-planted", "lm_eval": "evil", "include_path": "evil", "limit": 1}
    with recording("eval", asked, tmp_path) as call:
        call.result = {"found": {}}
    assert call.folder is not None
    with pytest.raises(InputError, match=f"--trust-code {folder_hash(evil)}"):
        replay_call(tmp_path / "runs" / call.folder.name, tmp_path, as_json=False)
    assert not (tmp_path / "ran").exists()


def test_a_folder_of_tasks_that_holds_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "mine.yaml")
    with pytest.raises(InputError, match="is a pipe"):
        folder_hash(tmp_path)
    os.unlink(tmp_path / "mine.yaml")
    before = folder_hash(tmp_path)
    (tmp_path / "mine.yaml").write_text("task: mine\n")
    assert folder_hash(tmp_path) != before


def test_a_penalty_of_the_generation_config_is_set_aside_and_several_ends_are_known(planted, folder, monkeypatch):
    before = harness(planted, ["toy_repeat"], folder=folder)
    monkeypatch.setattr(planted.module.generation_config, "repetition_penalty", 5.0)
    monkeypatch.setattr(planted.module.config, "eos_token_id", [9, 0])
    after = harness(planted, ["toy_repeat"], folder=folder)
    assert after.found["results"] == before.found["results"]
    assert after.found["results"]["toy_repeat"]["exact_match,none"] == 1
    assert (before.conventions.set_aside, before.conventions.ends) == ({}, (9,))
    assert (after.conventions.set_aside, after.conventions.ends) == ({"repetition_penalty": 5.0}, (0, 9))
