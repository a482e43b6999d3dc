"""Whether a config.json can be true, before anything is allocated for it; needs no torch.

Kinds of values are checked for every field that is known by its name. Sizes are checked where they are read (sizes.py).
"""

# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lesion.errors import InputError
from lesion.outside.documents import kind_of, read_object

MOST_CONFIG_BYTES = 1_000_000
MOST = {"n_layers": 1000, "n_heads": 4096, "d_model": 262_144, "d_head": 65_536, "d_mlp": 4_194_304,
        "vocab_size": 16_777_216}  # fmt: skip
"""Sizes far beyond every model that fits a machine."""

_WORDS = re.compile(r"model_type|hidden_act|hidden_activation|activation_function|activation|(torch_)?dtype"
                    r"|position_embedding_type|_name_or_path|transformers_version")  # fmt: skip
_COUNTS = re.compile(r"(num|n)_\w+|\w+_size|hidden_dim|n_embd|n_inner|max_position_embeddings|head_dim|\w+_window"
                     r"|rotary_dim|ffn_dim|d_model|d_kv|d_ff|word_embed_proj_dim")  # fmt: skip
_NUMBERS = re.compile(r"\w+_(theta|eps|epsilon|factor|pdrop|dropout|range|pct|softcapping|scalar|scale)|rotary_pct")
_SWITCHES = re.compile(r"(use|tie|is|scale|add|do)_\w+|\w+_bias|bias|parallel_attn|multi_query|alibi")
_TOKENS = re.compile(r"(pad|bos|eos|unk|sep|cls|mask|decoder_start)_token_id")
_LARGEST_TOKEN = 2**31
_ROPE = ("rope_scaling", "rope_parameters")


def readable_config(path: Path) -> dict[str, Any]:
    """A config.json whose known fields are of the right kind.

    Raises:
        InputError: when the file cannot be read, or a field holds what it cannot mean.
    """
    config = read_object(path, MOST_CONFIG_BYTES)
    _known(config, str(path))
    return config


def _known(config: Mapping[str, Any], where: str) -> None:
    named = config.get("architectures")
    if named is not None and not (isinstance(named, list) and all(isinstance(each, str) for each in named)):
        raise InputError(f"{where}: architectures must be a list of names, not {kind_of(named)}; mend config.json")
    for name, value in config.items():
        if value is None:
            continue
        if _WORDS.fullmatch(name):
            _must(isinstance(value, str), where, name, "a word", value)
        elif _TOKENS.fullmatch(name):
            ids = value if isinstance(value, list) else [value]
            _must(all(_whole(each) and -1 <= each < _LARGEST_TOKEN for each in ids), where, name, "a token id", value)
        elif name in _ROPE:
            _rope(value, where, name)
        elif _NUMBERS.fullmatch(name):
            _must(_number(value) or isinstance(value, bool), where, name, "a finite number", value)
        elif _SWITCHES.fullmatch(name):
            _must(
                isinstance(value, bool) or _whole(value) or isinstance(value, str | float),
                where,
                name,
                "true or false",
                value,
            )
        elif _COUNTS.fullmatch(name):
            counts = value if isinstance(value, list) else [value]
            _must(
                all(_whole(each) or isinstance(each, bool) for each in counts),
                where,
                name,
                "a positive whole number",
                value,
            )
    theta = config.get("rope_theta")
    _must(theta is None or theta > 0, where, "rope_theta", "a number above 0", theta)


def _rope(value: object, where: str, name: str, depth: int = 0) -> None:
    """Frequencies of rotary positions: names with numbers, words, lists of numbers, or one level more of these."""
    _must(isinstance(value, dict), where, name, "an object", value)
    assert isinstance(value, dict)
    for key, inner in value.items():  # pyright: ignore[reportUnknownVariableType]
        inside = f"{name}.{key}"
        if isinstance(inner, dict) and depth == 0:
            _rope(inner, where, inside, 1)  # pyright: ignore[reportUnknownArgumentType]
        elif key in ("rope_type", "type"):
            _must(isinstance(inner, str), where, inside, "a word", inner)  # pyright: ignore[reportUnknownArgumentType]
        elif key in ("short_factor", "long_factor"):
            given = inner if isinstance(inner, list) else [None]  # pyright: ignore[reportUnknownVariableType]
            _must(all(_number(each) and each > 0 for each in given), where, inside, "a list of numbers above 0", inner)  # pyright: ignore
        elif key in ("factor", "rope_theta", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor"):
            _must(inner is None or (_number(inner) and inner > 0), where, inside, "a number above 0", inner)  # pyright: ignore


def _must(holds: bool, where: str, name: str, allowed: str, value: object) -> None:
    if not holds:
        shown = repr(value)[:40] if isinstance(value, int | float | str) else kind_of(value)
        raise InputError(
            f"{where}: {name[:60]} must be {allowed}, not {shown}; mend config.json or fetch the model again"
        )


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: object) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300 and math.isfinite(value)
    )
