"""The studies that are shipped for real checkpoints: pinned, said not to have been run, affordable, and walkable.

No model hub is reached here. Their line is walked with tiny random models of the same families, as local folders in
Hugging Face format; their cost is the planner's, from folders that hold a config of the real size and no weights.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPTNeoXConfig, LlamaConfig, PreTrainedTokenizerFast

from lesion.runs.closing import Order
from lesion.runs.costs import outlook
from lesion.runs.manifest import Manifest
from lesion.runs.prepare import prepare_plan
from lesion.runs.run import start
from lesion.study.load import parse_document
from lesion.study.rehearsal import rehearse
from lesion.study.study import Study

NAMES = ("gpt2", "pythia", "llama", "gsm8k")
GPU = 1e13
"""FLOP per second that a 24 GB card is assumed to reach in float32, a third of what such cards are sold for."""


def text_of(repository: Path, name: str, data: Path | None = None) -> str:
    text = (repository / "studies" / f"{name}.yaml").read_text(encoding="utf-8")
    return text.replace("gsm8k/train.jsonl", str(data / "gsm8k" / "test.jsonl")) if data else text


def quiet(_: Any) -> None:
    """Progress that nobody watches."""


def no_report(folder: Path, manifest: Manifest) -> None:
    """A run without its pictures."""


def hub_names(text: str) -> list[str]:
    return re.findall(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", text)


@pytest.mark.parametrize("name", NAMES)
def test_a_study_of_real_checkpoints_pins_them_and_says_that_it_was_not_run(repository: Path, name: str) -> None:
    text = text_of(repository, name)
    study = parse_document(text, name, Study)
    assert set(study.subjects) == set(hub_names(text)), "every model is pinned to a commit"
    assert "NOT RUN on the real weights" in text.replace("\n# ", " ")
    assert study.budget.gpu_hours <= 25


@pytest.mark.parametrize("name", NAMES)
def test_its_line_is_walked_by_tiny_models_of_the_same_families(
    repository: Path, outside_data: Path, tmp_path: Path, name: str
) -> None:
    text = text_of(repository, name, outside_data).replace("dtype: bfloat16\n", "")
    text = text.replace("threshold: 0.5", "threshold: 0.001")  # a random model has no induction head
    text = localised(text, tmp_path, outside_data / "tokenizers" / "gpt2_tokenizer.json", tiny=True)
    study = rehearse(parse_document(text, name, Study))
    ran = start(Order(study=study, text=text, status="dry-run"), tmp_path, 1, quiet, no_report)
    assert ran.manifest.results["cells"], ran.manifest.ending
    if study.replication:
        assert ran.manifest.results["replication"]["cells"]


@pytest.mark.parametrize("name", NAMES)
def test_the_planner_costs_it_within_25_gpu_hours(
    repository: Path, outside_data: Path, tmp_path: Path, name: str
) -> None:
    text = text_of(repository, name, outside_data)
    text = localised(text, tmp_path, outside_data / "tokenizers" / "gpt2_tokenizer.json", tiny=False)
    if name == "gsm8k":  # the test split stands in for the larger training split: the same lengths, fewer problems
        for one, other in (("block: 256", "block: 64"), ("items: 512", "items: 64"), ("items: 256", "items: 128")):
            text = text.replace(one, other)
    plan = prepare_plan(parse_document(text, name, Study), "key")
    told = outlook(plan, tmp_path, 1)
    hours = told["total"]["flop"] / GPU / 3600
    assert 0 < hours <= 25, json.dumps(told["stages"], indent=1)
