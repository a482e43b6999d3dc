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

from lesion.runs.execute.costs import outlook
from lesion.runs.execute.finish import Order
from lesion.runs.execute.prepare import prepare_plan
from lesion.runs.execute.run import start
from lesion.runs.manifest.run import Manifest
from lesion.study.dry_run import rehearse
from lesion.study.format.load import parse_document
from lesion.study.study import Study

NAMES = ("gpt2", "pythia", "llama", "gsm8k")
GPU = 1e13
"""FLOP per second that a 24 GB card is assumed to reach in float32, a third of what such cards are sold for."""
REAL: dict[str, Any] = {
    "openai-community/gpt2": GPT2Config(architectures=["GPT2LMHeadModel"]),
    "EleutherAI/pythia": GPTNeoXConfig(
        architectures=["GPTNeoXForCausalLM"], hidden_size=768, num_hidden_layers=12, num_attention_heads=12,
        intermediate_size=3072, vocab_size=50304,
    ),
    "meta-llama/": LlamaConfig(
        architectures=["LlamaForCausalLM"], hidden_size=2048, num_hidden_layers=16, num_attention_heads=32,
        num_key_value_heads=8, intermediate_size=8192, vocab_size=128256, tie_word_embeddings=True,
    ),
}  # fmt: skip
"""Beginning of a hub name -> a config of the real size."""
TINY: dict[str, Any] = {
    "openai-community/gpt2": GPT2Config(n_embd=16, n_layer=2, n_head=4),
    "EleutherAI/pythia": GPTNeoXConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=32, vocab_size=50257
    ),
    "meta-llama/": LlamaConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=32,
        vocab_size=50257,
    ),
}  # fmt: skip
"""The same families, small, with room for long prompts."""


def quiet(_: Any) -> None:
    """Progress that nobody watches."""


def no_report(folder: Path, manifest: Manifest) -> None:
    """A run without its pictures."""


def text_of(repository: Path, name: str, data: Path | None = None) -> str:
    text = (repository / "studies" / f"{name}.yaml").read_text(encoding="utf-8")
    return text.replace("gsm8k/train.jsonl", str(data / "gsm8k" / "test.jsonl")) if data else text


def hub_names(text: str) -> list[str]:
    return re.findall(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", text)


def localised(text: str, folder: Path, data: Path, *, tiny: bool) -> str:
    """The study with local folders in the place of hub names; tiny ones have random weights, others none."""
    for name in hub_names(text):
        beginning = next(each for each in REAL if name.startswith(each))
        place = folder / beginning.strip("/").replace("/", "-")
        if not place.exists():
            (_random(TINY[beginning]) if tiny else REAL[beginning]).save_pretrained(place)
            tokenizer = str(data / "tokenizers" / "gpt2_tokenizer.json")
            PreTrainedTokenizerFast(tokenizer_file=tokenizer).save_pretrained(place)
        text = text.replace(name, str(place))
    return text


def _random(config: Any) -> Any:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config)


@pytest.mark.parametrize("name", NAMES)
def test_a_study_of_real_checkpoints_pins_them_and_says_that_it_was_not_run(repository: Path, name: str) -> None:
    text = text_of(repository, name)
    study = parse_document(text, name, Study)
    assert set(study.subjects) == set(hub_names(text)), "every model is pinned to a commit"
    assert "NOT RUN on the real weights" in text.replace("\n# ", " ")
    assert study.budget.gpu_hours <= 25


@pytest.mark.parametrize("name", NAMES)
def test_the_planner_costs_it_within_25_gpu_hours(
    repository: Path, outside_data: Path, tmp_path: Path, name: str
) -> None:
    text = localised(text_of(repository, name, outside_data), tmp_path, outside_data, tiny=False)
    if name == "gsm8k":  # the test split stands in for the larger training split: the same lengths, fewer problems
        for one, other in (("block: 256", "block: 64"), ("items: 512", "items: 64"), ("items: 256", "items: 128")):
            text = text.replace(one, other)
    plan = prepare_plan(parse_document(text, name, Study), "key")
    told = outlook(plan, tmp_path, 1)
    hours = told["total"]["flop"] / GPU / 3600
    assert 0 < hours <= 25, json.dumps(told["stages"], indent=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_its_line_is_walked_by_tiny_models_of_the_same_families(
    repository: Path, outside_data: Path, tmp_path: Path, name: str
) -> None:
    text = text_of(repository, name, outside_data).replace("dtype: bfloat16\n", "")
    text = text.replace("threshold: 0.5", "threshold: 0.001")  # a random model has no induction head
    text = localised(text, tmp_path, outside_data, tiny=True)
    study = rehearse(parse_document(text, name, Study))
    ran = start(Order(study=study, text=text, status="dry-run"), tmp_path, 1, quiet, no_report)
    assert ran.manifest.results.cells, ran.manifest.ending
    if study.replication:
        assert ran.manifest.results.replication.cells
