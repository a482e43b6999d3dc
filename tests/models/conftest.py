"""GGUF files that the tests write themselves, as llama.cpp's converter would, from tiny random models."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import gguf
import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE

from lesion.models.families import FAMILIES

TEXT = (
    "The capital of France is Paris. 12 + 34 = 46; 7 * 8 = 56\n"
    "def add(first, second):\n    return first + second\n"
    "Two  spaces,\ttabs, naïve café, 你好, don't and it'll be 1 000 000.\n"
)
SIZES = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 128}
GROUPED = {**SIZES, "num_key_value_heads": 2, "intermediate_size": 96}
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", GROUPED),
    "qwen2": ("qwen2", GROUPED),
    "gemma3_text": ("gemma3", {**GROUPED, "head_dim": 16, "sliding_window": 16, "query_pre_attn_scalar": 16}),
    "gpt2": ("gpt2", {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 128}),
}
"""Per family, llama.cpp's name and the sizes."""


class Written(NamedTuple):
    """A GGUF file and what it was made from."""

    path: Path
    module: Any
    """Its weights are those of the file, dequantised by gguf-py."""
    tokenizer: Tokenizer


Write = Callable[..., Written]


def byte_level(cut: pre_tokenizers.PreTokenizer) -> Tokenizer:
    """A vocabulary learned from `TEXT`, its text cut in a given way."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = cut
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<mask>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT] * 4, trainer)
    return tokenizer


@pytest.fixture
def write_gguf(tmp_path: Path) -> Write:
    """A function that writes a GGUF file: family, type of the matrices' numbers, whether output.weight is there, …"""

    def write(
        family: str = "llama",
        kind: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.Q8_0,
        head: gguf.GGMLQuantizationType | None = None,
        before: str = "gpt-2",
        extra: Callable[[gguf.GGUFWriter], None] = lambda _: None,
    ) -> Written:
        digits = [pre_tokenizers.Digits(individual_digits=True)] if before == "smollm" else []
        tokenizer = byte_level(pre_tokenizers.Sequence([*digits, pre_tokenizers.ByteLevel(add_prefix_space=False)]))
        arch, sizes = SHAPES[family]
        row = FAMILIES[family]
        config = getattr(transformers, row.config)(
            **sizes, vocab_size=tokenizer.get_vocab_size(), tie_word_embeddings=True
        )
        module = getattr(transformers, row.architecture)(config).eval()
        path = tmp_path / f"{family}.gguf"
        writer = gguf.GGUFWriter(path, arch)
        _metadata(writer, module.config)
        _vocabulary(writer, tokenizer, before)
        extra(writer)
        names = gguf.get_tensor_name_map(next(a for a, n in gguf.MODEL_ARCH_NAMES.items() if n == arch), 2)
        rng = np.random.default_rng(0)
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                drawn = rng.normal(0, 0.3, tuple(parameter.shape)).astype(np.float32)
                parameter.copy_(torch.from_numpy(_put(writer, names, row.name, name, drawn, kind, config)))
            if head is not None:
                _put(writer, names, row.name, "lm_head.weight", module.lm_head.weight.numpy(), head, config)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return Written(path, module, tokenizer)

    return write


def _put(writer: Any, names: Any, family: str, name: str, numbers: Any, kind: Any, config: Any) -> Any:
    """Write a tensor as llama.cpp's converter does; returns what the file then holds, as the module has it."""
    stem, _, suffix = name.rpartition(".")
    called = f"{names.get_name(stem)}.{suffix}"
    there, back = _turned(family, name, config)
    turned = np.ascontiguousarray(there(numbers))
    kind = kind if numbers.ndim == 2 else gguf.GGMLQuantizationType.F32
    data = gguf.quantize(turned, kind)
    writer.add_tensor(called, data, raw_dtype=kind)
    return np.ascontiguousarray(back(gguf.dequantize(data, kind)))


def _turned(family: str, name: str, config: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """What the converter does to a tensor, and what undoes it, each row's new place written out one by one."""
    if family == "llama" and ("q_proj" in name or "k_proj" in name):
        heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
        width = config.hidden_size // config.num_attention_heads
        order = [
            h * width + half * (width // 2) + i for h in range(heads) for i in range(width // 2) for half in (0, 1)
        ]
        return lambda w: w[order], lambda w: w[np.argsort(order)]
    if family == "gemma3_text" and "norm" in name:
        return lambda w: w + 1, lambda w: w - 1
    if family == "gpt2" and name.endswith("weight") and ("attn.c_" in name or "mlp.c_" in name):
        return lambda w: w.T, lambda w: w.T
    return lambda w: w, lambda w: w


def _metadata(writer: Any, config: Any) -> None:
    writer.add_name("Tiny test model")
    writer.add_license("apache-2.0")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(getattr(config, "intermediate_size", 4 * config.hidden_size))
    writer.add_head_count(config.num_attention_heads)
    if hasattr(config, "num_key_value_heads"):
        writer.add_head_count_kv(config.num_key_value_heads)
    if hasattr(config, "rms_norm_eps"):
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    else:
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
    if config.model_type == "gemma3_text":
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
        writer.add_sliding_window(config.sliding_window)


def _vocabulary(writer: Any, tokenizer: Tokenizer, before: str) -> None:
    import json

    told = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(told["vocab"], key=told["vocab"].get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(before)
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token.startswith(("<|", "<mask")) else 1 for token in tokens])
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in told["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template("{% for m in messages %}<|im_start|>{{ m['content'] }}{% endfor %}")
