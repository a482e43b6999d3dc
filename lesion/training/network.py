"""The untrained network of a recipe, and gates that switch its heads on and off while it is trained.

A gate multiplies the input of a block's attention output projection, that is the mixed values z of each head; it
stands in the projection's place during training and is taken out again before anything is saved.
"""

import math
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
)

from lesion.identity import seed_from
from lesion.models.families import family_named
from lesion.training.recipe import FamilyName, Recipe
from lesion.training.vocabulary import BOS_ID, IDS, PAD_ID, TOKENS

_SPECIAL: dict[str, Any] = {
    "bos_token_id": BOS_ID,
    "pad_token_id": PAD_ID,
    "eos_token_id": IDS[";"],
    "tie_word_embeddings": True,
}


def new_network(recipe: Recipe) -> PreTrainedModel:
    """A network with the recipe's initial weights: matrices normal, biases 0, norm gains 1; a function of the seed."""
    with cast("Any", torch.random).fork_rng(devices=[]):
        network = _FAMILIES[recipe.family](recipe)
    rng = torch.Generator().manual_seed(seed_from("initial weights", recipe.seed) % 2**63)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim == 2:
                parameter.normal_(0.0, recipe.deviation, generator=rng)
            else:
                parameter.fill_(1.0 if name.endswith("weight") else 0.0)
        if recipe.sinusoid:
            positions = network.get_parameter("transformer.wpe.weight")
            rows, columns = positions.shape
            positions.copy_(recipe.sinusoid * sinusoids(rows, columns, recipe.waves))
    return network


def sinusoids(positions: int, width: int, waves: tuple[float, float] | None = None) -> Float[Tensor, "positions width"]:
    """Sine in the even and cosine in the odd columns, wavelengths from 2π to 2000π (Vaswani et al. 2017) or given."""
    base = 1000.0 if waves is None else waves[1] / waves[0]
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(base) / width))
    if waves is not None:
        rates = rates * (2 * math.pi / waves[0])
    angles = torch.arange(positions)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


def decay_groups(network: PreTrainedModel, decay: float) -> list[dict[str, object]]:
    """Parameter groups of the optimiser: weight decay on the matrices of attention and MLP only."""
    embeddings = {id(m.weight) for m in network.modules() if isinstance(m, nn.Embedding)}
    parameters = list(network.parameters())
    decayed = [p for p in parameters if p.ndim == 2 and id(p) not in embeddings]
    rest = [p for p in parameters if p.ndim != 2 or id(p) in embeddings]
    return [{"params": decayed, "weight_decay": decay}, {"params": rest, "weight_decay": 0.0}]


class GatedProjection(nn.Module):
    """An attention output projection whose input is multiplied per head; no gate, no change."""

    def __init__(self, projection: nn.Module, heads: int):
        super().__init__()
        self.projection = projection
        self.heads = heads
        self.gate: Tensor | None = None
        """Factors, shape [batch, heads]."""

    def forward(self, z: Float[Tensor, "batch pos width"]) -> Tensor:
        """The projection of the gated z."""
        if self.gate is not None:
            width = z.shape[-1] // self.heads
            z = z * self.gate.repeat_interleave(width, dim=-1)[:, None]  # [batch pos width] * [batch 1 width]
        return self.projection(z)


@contextmanager
def gated(network: PreTrainedModel, family: FamilyName) -> Generator[list[GatedProjection]]:
    """Put a gate before the attention output projection of every block, and take all of them out at the end."""
    row = family_named(family)
    parent_path, _, name = row.attention_out.rpartition(".")
    parents: list[nn.Module] = [
        block.get_submodule(parent_path) for block in network.get_submodule(row.blocks).children()
    ]
    gates = [GatedProjection(getattr(parent, name), int(network.config.num_attention_heads)) for parent in parents]
    try:
        for parent, gate in zip(parents, gates, strict=True):
            setattr(parent, name, gate)
        yield gates
    finally:
        for parent, gate in zip(parents, gates, strict=True):
            setattr(parent, name, gate.projection)


def set_gates(gates: list[GatedProjection], factors: Float[Tensor, "batch layers heads"] | None) -> None:
    """Give every layer its factors; None opens all gates."""
    for layer, gate in enumerate(gates):
        gate.gate = None if factors is None else factors[:, layer]


def _llama(recipe: Recipe) -> PreTrainedModel:
    shape = recipe.shape
    config = LlamaConfig(
        vocab_size=len(TOKENS),
        hidden_size=shape.width,
        intermediate_size=shape.mlp,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=recipe.length,
        **_SPECIAL,
    )
    return LlamaForCausalLM(config)


def _gpt2(recipe: Recipe) -> PreTrainedModel:
    shape = recipe.shape
    config = GPT2Config(
        vocab_size=len(TOKENS),
        n_embd=shape.width,
        n_inner=shape.mlp,
        n_layer=shape.layers,
        n_head=shape.heads,
        n_positions=recipe.length,
        activation_function="gelu_pytorch_tanh",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        **_SPECIAL,
    )
    return GPT2LMHeadModel(config)


def _neox(recipe: Recipe) -> PreTrainedModel:
    shape = recipe.shape
    config = GPTNeoXConfig(
        vocab_size=len(TOKENS),
        hidden_size=shape.width,
        intermediate_size=shape.mlp,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=recipe.length,
        use_parallel_residual=True,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1.0},
        **_SPECIAL,
    )
    return GPTNeoXForCausalLM(config)


_FAMILIES = {"llama": _llama, "gpt2": _gpt2, "gpt_neox": _neox}
