"""Architectures that look like one of the table and are none: mixtures of experts, networks without an unembedding."""

from collections.abc import Collection, Mapping
from typing import Any, cast

from lesion.errors import InputError

EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
"""Config attributes that count the experts of a mixture."""

_HEADS = ("ForCausalLM", "LMHeadModel")


def refuse_lookalikes(config: Mapping[str, Any], architectures: Collection[str]) -> None:
    """Refuse what the nearest name of the table would be a wrong hint for.

    Args:
        config: a model's config.json.
        architectures: the class names of the table.

    Raises:
        InputError: saying what the model is.
    """
    given: list[Any] = config.get("architectures") or []
    named = [str(name) for name in given]
    asked = ", ".join(named) or "the config"
    if experts := _experts(config):
        raise InputError(
            f"{asked} is a mixture of experts ({experts}), which is not supported: a neuron would need the number of "
            "its expert; open a dense model"
        )
    if len(named) == 1 and (whole := with_unembedding(named[0], architectures)):
        raise InputError(
            f"the config names {asked}, a network without its unembedding: write {whole} under `architectures`, if "
            "the weights have an unembedding or tie_word_embeddings is true"
        )


def _experts(config: Mapping[str, Any]) -> str:
    """`num_experts = 8`, from the config or one inside it (`ffn_config`, `text_config`); empty for a dense model."""
    inner: list[tuple[str, Any]] = [("", config), *((f"{name}.", part) for name, part in config.items())]
    for prefix, part in inner:
        if isinstance(part, Mapping):
            settings = cast("Mapping[str, Any]", part)
            for attribute in EXPERTS:
                if settings.get(attribute):
                    return f"{prefix}{attribute} = {settings[attribute]!r:.20}"
    return ""


def with_unembedding(name: str, architectures: Collection[str]) -> str:
    """The class with an unembedding, for the name of the same network without one; empty for any other name.

    >>> with_unembedding("LlamaModel", ["LlamaForCausalLM", "GPT2LMHeadModel"])
    'LlamaForCausalLM'
    >>> with_unembedding("GPT2LMHeadModel", ["LlamaForCausalLM", "GPT2LMHeadModel"])
    ''
    """
    if name in architectures or not name.endswith("Model"):
        return ""
    stems = {name.removesuffix("TextModel"), name.removesuffix("Model")}
    return next((row for row in architectures for end in _HEADS if row.removesuffix(end) in stems), "")
