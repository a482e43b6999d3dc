"""An embedded model's folder: safetensors, config, tokenizer; as Hugging Face's own loader reads it."""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save
from transformers import PreTrainedModel

from lesion.identity import file_hash
from lesion.training.checkpoint import Parameters, write_atomically
from lesion.training.vocabulary import build_tokenizer

WEIGHTS = "model.safetensors"


def save_model(network: PreTrainedModel, parameters: Parameters, folder: Path) -> None:
    """Write an embedded model: weights, config and the vocabulary's tokenizer."""
    save_network(network, parameters, build_tokenizer(int(network.config.max_position_embeddings)), folder)


def save_network(network: PreTrainedModel, parameters: Parameters, tokenizer: Any, folder: Path) -> None:
    """Write weights, config and tokenizer; tied tensors are written once."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: parameter.detach().contiguous() for name, parameter in parameters.items()}
    write_atomically(folder / WEIGHTS, save(tensors, metadata={"format": "pt"}))
    config = network.config.to_diff_dict()
    config["architectures"] = [type(network).__name__]
    config.pop("transformers_version", None)  # the same recipe gives the same files
    write_atomically(folder / "config.json", json.dumps(config, indent=1, sort_keys=True).encode() + b"\n")
    tokenizer.save_pretrained(folder)


def weights_hash(folder: Path) -> str:
    """SHA-256 of the weights file."""
    return file_hash(folder / WEIGHTS)
