"""Where one architecture keeps its heads, neurons, residual stream, norms and unembedding: one table row each.

A head is a slice of the *input* of the attention output projection, a neuron a column of the *input* of the MLP down
projection, the residual stream the *input* of a block. So a row needs paths only, read from the class in transformers;
`lesion.engine.proof` proves each row on the loaded weights. This module imports neither torch nor transformers: a study
is checked against it in milliseconds. To add an architecture, add a row and run tests/engine/test_check.py;
`make oracles` then asks for the peer's own paths in tests/oracles/tracer.py.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from lesion.errors import InputError, nearest
from lesion.models.checks.lookalikes import refuse_lookalikes

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

Residual = Literal["sequential", "parallel"]
Fused = Literal["separate", "stacked", "by_group"]
Attends = Literal["interface", "method", "torch", "inline"]
Names = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Family:
    """One architecture. Paths are dotted; those of a block are relative to it."""

    name: str
    """Short name, as in `tiny:NAME`."""
    architecture: str
    """Class name in transformers, as in a config's `architectures`."""
    config: str
    """Config class name in transformers."""
    blocks: str
    """The list of blocks."""
    attention_out: str
    """Attention output projection; its input is z, heads side by side."""
    mlp_out: str
    """MLP down projection; its input are the neurons."""
    final_norm: str
    """Norm before the unembedding; its input is the stream that leaves the last block."""
    embedding: str
    """Token embedding."""
    unembedding: str = "lm_head"
    """From the normed stream to logits."""
    after_norm: str | None = None
    """A projection between final norm and unembedding, where the config switches one on (OPT)."""
    queries: str = "self_attn.q_proj"
    """Whose output are the queries, head by head: the projection, or a norm over all heads behind it (OLMo 2)."""
    keys: str = "self_attn.k_proj"
    """Whose output are the keys, group by group."""
    values: str = "self_attn.v_proj"
    """Whose output are the values, group by group."""
    fused: Fused = "separate"
    """How one projection holds all three: `stacked`, queries then keys then values; or `by_group`, group by group
    its queries, its key and its value."""
    activation: str = "mlp.act_fn"
    """The MLP's activation function: its input is `gate`, its output `act`."""
    up: str | None = "mlp.up_proj"
    """What the activation is multiplied with; none where it is the neurons itself."""
    fused_up: bool = False
    """Whether `up` is the second half of a projection whose first half is the gate (Phi-3)."""
    residual: Residual = "sequential"
    """Whether the MLP reads the stream with (sequential) or without (parallel) the attention output of its block."""
    residual_switch: str | None = None
    """Config attribute that says, when given, whether the block is parallel."""
    post_attention_norm: str | None = None
    """Norm on what attention adds to the stream (Gemma 2 and 3, OLMo 2)."""
    post_mlp_norm: str | None = None
    """Norm on what the MLP adds to the stream."""
    softcap: str | None = None
    """Config attribute with the soft cap on logits: s -> cap * tanh(s / cap)."""
    attention: Literal["sdpa", "eager"] = "sdpa"
    """The attention code that the model is loaded with: a choice, never left to a default."""
    attends: Attends = "interface"
    """Where another attention function can be put, so that the batched engine may share prefixes: in transformers'
    attention interface, in the attention module's own `_attn` method (in the interface, where a newer transformers has
    none), behind torch's attention, which the module hands its mask, or nowhere, because the module adds up its scores
    in line (ALiBi)."""
    n_layers: Names = ("num_hidden_layers",)
    n_heads: Names = ("num_attention_heads",)
    n_groups: Names = ("num_key_value_heads",)
    """Where absent or null: n_heads."""
    one_group: str | None = None
    """Config attribute that says, and also when it is absent, that all heads share one key and one value."""
    d_model: Names = ("hidden_size",)
    d_head: Names = ("head_dim",)
    """Where absent or null: d_model / n_heads."""
    d_mlp: Names = ("intermediate_size",)
    """Where absent or null: 4 * d_model, if `mlp_default` allows it."""
    mlp_default: bool = False
    """Whether the config class fills a missing MLP width with 4 * d_model."""
    max_positions: Names | None = ("max_position_embeddings",)
    """None where positions are not limited (ALiBi)."""
    refused: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Config values that would change what a site means, and for which there is no rule here."""
    tiny: Mapping[str, Any]
    """Arguments of the config class for a tiny random model."""


_PLAIN = {"num_hidden_layers": 3, "num_attention_heads": 4, "hidden_size": 32, "max_position_embeddings": 128}
_GATED = {**_PLAIN, "num_key_value_heads": 2, "intermediate_size": 48}
_WIDE = {**_GATED, "head_dim": 12}

_GPT2 = Family(
    name="gpt2",
    architecture="GPT2LMHeadModel",
    config="GPT2Config",
    blocks="transformer.h",
    attention_out="attn.c_proj",
    mlp_out="mlp.c_proj",
    final_norm="transformer.ln_f",
    embedding="transformer.wte",
    queries="attn.c_attn",
    keys="attn.c_attn",
    values="attn.c_attn",
    fused="stacked",
    activation="mlp.act",
    up=None,
    n_layers=("n_layer", "num_hidden_layers"),
    n_heads=("n_head", "num_attention_heads"),
    d_model=("n_embd", "hidden_size"),
    d_mlp=("n_inner",),
    mlp_default=True,
    max_positions=("n_positions", "max_position_embeddings"),
    refused={"add_cross_attention": True},
    tiny={"n_layer": 3, "n_head": 4, "n_embd": 32, "n_positions": 128},
)

_LLAMA = Family(
    name="llama",
    architecture="LlamaForCausalLM",
    config="LlamaConfig",
    blocks="model.layers",
    attention_out="self_attn.o_proj",
    mlp_out="mlp.down_proj",
    final_norm="model.norm",
    embedding="model.embed_tokens",
    tiny=_GATED,
)

_GEMMA2 = replace(
    _LLAMA,
    name="gemma2",
    architecture="Gemma2ForCausalLM",
    config="Gemma2Config",
    post_attention_norm="post_attention_layernorm",
    post_mlp_norm="post_feedforward_layernorm",
    softcap="final_logit_softcapping",
    attention="eager",
    refused={"use_bidirectional_attention": True},
    tiny={**_WIDE, "query_pre_attn_scalar": 12, "sliding_window": 6},
)

_ROWS = (
    _GPT2,
    replace(
        _GPT2,
        name="gpt_bigcode",
        architecture="GPTBigCodeForCausalLM",
        config="GPTBigCodeConfig",
        one_group="multi_query",
        refused={"add_cross_attention": True, "multi_query": False},
    ),
    replace(
        _GPT2,
        name="gpt_neo",
        attends="method",
        architecture="GPTNeoForCausalLM",
        config="GPTNeoConfig",
        attention_out="attn.attention.out_proj",
        attention="eager",
        queries="attn.attention.q_proj",
        keys="attn.attention.k_proj",
        values="attn.attention.v_proj",
        fused="separate",
        n_layers=("num_layers", "num_hidden_layers"),
        n_heads=("num_heads", "num_attention_heads"),
        d_model=("hidden_size",),
        d_mlp=("intermediate_size",),
        max_positions=("max_position_embeddings",),
        refused={},
        tiny={
            "num_layers": 3,
            "num_heads": 4,
            "hidden_size": 32,
            "max_position_embeddings": 128,
            "window_size": 6,
            "attention_types": [[["global", "local", "global"], 1]],
        },
    ),
    replace(
        _GPT2,
        name="gptj",
        attends="method",
        architecture="GPTJForCausalLM",
        config="GPTJConfig",
        attention_out="attn.out_proj",
        mlp_out="mlp.fc_out",
        queries="attn.q_proj",
        keys="attn.k_proj",
        values="attn.v_proj",
        fused="separate",
        residual="parallel",
        attention="eager",
        refused={},
        tiny={"n_layer": 3, "n_head": 4, "n_embd": 32, "n_positions": 128, "rotary_dim": 4},
    ),
    Family(
        name="gpt_neox",
        architecture="GPTNeoXForCausalLM",
        config="GPTNeoXConfig",
        blocks="gpt_neox.layers",
        attention_out="attention.dense",
        mlp_out="mlp.dense_4h_to_h",
        final_norm="gpt_neox.final_layer_norm",
        embedding="gpt_neox.embed_in",
        queries="attention.query_key_value",
        keys="attention.query_key_value",
        values="attention.query_key_value",
        fused="by_group",
        activation="mlp.act",
        up=None,
        residual="parallel",
        residual_switch="use_parallel_residual",
        tiny={**_PLAIN, "intermediate_size": 48},
    ),
    Family(
        name="opt",
        architecture="OPTForCausalLM",
        config="OPTConfig",
        blocks="model.decoder.layers",
        attention_out="self_attn.out_proj",
        mlp_out="fc2",
        final_norm="model.decoder.final_layer_norm",
        after_norm="model.decoder.project_out",
        embedding="model.decoder.embed_tokens",
        activation="activation_fn",
        up=None,
        d_mlp=("ffn_dim",),
        refused={"do_layer_norm_before": False, "_remove_final_layer_norm": True},
        tiny={**_PLAIN, "ffn_dim": 48, "word_embed_proj_dim": 24},
    ),
    _LLAMA,
    replace(
        _LLAMA,
        name="mistral",
        architecture="MistralForCausalLM",
        config="MistralConfig",
        tiny={**_GATED, "sliding_window": 6},
    ),
    replace(_LLAMA, name="qwen2", architecture="Qwen2ForCausalLM", config="Qwen2Config"),
    replace(_LLAMA, name="qwen3", architecture="Qwen3ForCausalLM", config="Qwen3Config", tiny=_WIDE),
    replace(
        _LLAMA,
        name="gemma",
        architecture="GemmaForCausalLM",
        config="GemmaConfig",
        tiny={**_WIDE, "num_key_value_heads": 1},
    ),
    _GEMMA2,
    replace(
        _GEMMA2,
        name="gemma3_text",
        architecture="Gemma3ForCausalLM",
        config="Gemma3TextConfig",
        attention="sdpa",
        tiny={**_GEMMA2.tiny, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
    ),
    replace(
        _LLAMA,
        name="phi",
        architecture="PhiForCausalLM",
        config="PhiConfig",
        attention_out="self_attn.dense",
        mlp_out="mlp.fc2",
        final_norm="model.final_layernorm",
        activation="mlp.activation_fn",
        up=None,
        residual="parallel",
    ),
    replace(
        _LLAMA,
        name="phi3",
        architecture="Phi3ForCausalLM",
        config="Phi3Config",
        queries="self_attn.qkv_proj",
        keys="self_attn.qkv_proj",
        values="self_attn.qkv_proj",
        fused="stacked",
        activation="mlp.activation_fn",
        up="mlp.gate_up_proj",
        fused_up=True,
        tiny={**_GATED, "original_max_position_embeddings": 128},
    ),
    replace(
        _LLAMA,
        name="olmo2",
        architecture="Olmo2ForCausalLM",
        config="Olmo2Config",
        queries="self_attn.q_norm",
        keys="self_attn.k_norm",
        post_attention_norm="post_attention_layernorm",
        post_mlp_norm="post_feedforward_layernorm",
    ),
    Family(
        name="falcon",
        attends="torch",
        architecture="FalconForCausalLM",
        config="FalconConfig",
        blocks="transformer.h",
        attention_out="self_attention.dense",
        mlp_out="mlp.dense_4h_to_h",
        final_norm="transformer.ln_f",
        embedding="transformer.word_embeddings",
        queries="self_attention.query_key_value",
        keys="self_attention.query_key_value",
        values="self_attention.query_key_value",
        fused="by_group",
        activation="mlp.act",
        up=None,
        n_groups=(),
        one_group="multi_query",
        residual="parallel",
        residual_switch="parallel_attn",
        attention="eager",
        d_head=(),
        d_mlp=("ffn_hidden_size",),
        mlp_default=True,
        tiny=_PLAIN,
    ),
    Family(
        name="bloom",
        attends="inline",
        architecture="BloomForCausalLM",
        config="BloomConfig",
        blocks="transformer.h",
        attention_out="self_attention.dense",
        mlp_out="mlp.dense_4h_to_h",
        final_norm="transformer.ln_f",
        embedding="transformer.word_embeddings",
        queries="self_attention.query_key_value",
        keys="self_attention.query_key_value",
        values="self_attention.query_key_value",
        fused="by_group",
        activation="mlp.gelu_impl",
        up=None,
        attention="eager",
        n_layers=("n_layer", "num_hidden_layers"),
        n_heads=("n_head", "num_attention_heads"),
        d_model=("hidden_size", "n_embed"),
        d_head=(),
        d_mlp=(),
        mlp_default=True,
        max_positions=None,
        refused={"apply_residual_connection_post_layernorm": True, "slow_but_exact": True},
        tiny={"n_layer": 3, "n_head": 4, "hidden_size": 32},
    ),
)

REFUSED: Mapping[str, str] = {
    "quantization_config": "its weights are packed and no identity can read them; open the weights as they were before "
    "quantising",
    "pruned_heads": "head numbers would no longer be those of the config; open the whole network",
    "is_encoder_decoder": "a site has no place for an encoder; open a decoder-only model",
}
"""Config attributes that no family may switch on, and why."""

FAMILIES: Mapping[str, Family] = {row.name: row for row in _ROWS}


def family_named(name: str) -> Family:
    """The row `name`, as in `tiny:NAME`.

    Raises:
        InputError: when there is no such row.
    """
    if name not in FAMILIES:
        raise InputError(f"'{name}' is not a family of models; {nearest(name, FAMILIES)}")
    return FAMILIES[name]


def family_of(config: Mapping[str, Any]) -> Family:
    """The row for a model's config.json.

    Raises:
        InputError: when the architecture has no row, or the row has no rule for one of the config's values.
    """
    architectures = config.get("architectures") or []
    rows = {row.architecture: row for row in _ROWS}
    named = [name for name in architectures if name in rows]
    asked = ", ".join(map(str, architectures)) or "nothing under `architectures`"
    refuse_lookalikes(config, rows)
    if len(architectures) != 1 or not named:
        raise InputError(
            f"the config names {asked}, which has no row in lesion/models/families.py; "
            f"{nearest(str(asked), rows)}. To add one: the paths of its blocks, attention output projection, MLP down "
            "projection, final norm and unembedding, its residual rule and its config's attribute names"
        )
    family = rows[named[0]]
    for attribute, why in REFUSED.items():
        if config.get(attribute):
            raise InputError(f"{family.architecture} with {attribute} = {config[attribute]!r:.60} is refused: {why}")
    for attribute, value in family.refused.items():
        if config.get(attribute) == value:
            raise InputError(
                f"{family.architecture} with {attribute} = {value} is not known here: sites would mean something else. "
                f"Add a rule for it to the row '{family.name}' in lesion/models/families.py, and prove it"
            )
    return family


def residual_rule(family: Family, config: Mapping[str, Any]) -> Residual:
    """`sequential` or `parallel`, as the config says where the family leaves it to the config."""
    if family.residual_switch is not None and (said := config.get(family.residual_switch)) is not None:
        return "parallel" if said else "sequential"
    return family.residual


def tiny_config(family: Family, vocab_size: int, arguments: Mapping[str, Any] | None = None) -> "PreTrainedConfig":
    """The config of a tiny model of this family, made by transformers' own class; 3 layers, 4 heads, width 32.

    Args:
        family: the row.
        vocab_size: tokens.
        arguments: other arguments of the config class, for another shape.
    """
    import transformers  # noqa: PLC0415  (it imports torch, which checking a study must not)

    config = getattr(transformers, family.config)(
        **(family.tiny if arguments is None else arguments),
        vocab_size=vocab_size,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=None,
    )
    config.architectures = [family.architecture]
    return config
