"""Tiny random models, one per architecture: for tests, dry runs and the proof of the table. They know nothing.

The weights do not depend on transformers' own initialisation: every parameter is drawn in name order from a generator
seeded by the family's name, large enough that heads and neurons matter.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import math
from collections.abc import Mapping
from typing import Any

import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from torch import nn

from lesion.identity import generator
from lesion.models.families import Family, tiny_config
from lesion.models.sizes import TINY_VOCABULARY


def character_tokenizer() -> Tokenizer:
    """One token per character of the alphabet, besides `<pad>` (0) and `<bos>` (1); any other character raises.

    It puts `<bos>` before a text when special tokens are asked for.
    """
    tokenizer = Tokenizer(models.WordLevel({token: number for number, token in enumerate(TINY_VOCABULARY)}))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A $B", special_tokens=[("<bos>", TINY_VOCABULARY.index("<bos>"))]
    )
    return tokenizer


def tiny_module(
    family: Family,
    dtype: torch.dtype,
    arguments: Mapping[str, Any] | None = None,
    vocab_size: int = len(TINY_VOCABULARY),
) -> nn.Module:
    """A random model of this family, tiny unless `arguments` of its config say otherwise; the same on every machine."""
    config = tiny_config(family, vocab_size, arguments)
    with torch.random.fork_rng(devices=[]):
        made: Any = getattr(transformers, family.architecture)._from_config(  # pyright: ignore[reportPrivateUsage]
            config, attn_implementation=family.attention
        )
    module: nn.Module = made.eval()
    rng = generator("tiny", family.name)
    width = 0.2 * math.sqrt(32 / config.hidden_size)
    with torch.no_grad():
        for _, parameter in sorted(module.named_parameters()):
            noise = torch.as_tensor(rng.standard_normal(tuple(parameter.shape)))
            if parameter.ndim > 1:
                parameter.copy_(noise * width)
            else:
                parameter.add_(0.1 * noise)
    return module.to(dtype)
