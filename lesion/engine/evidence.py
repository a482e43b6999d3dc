"""What the proof of a family looks at: recorded passes over random tokens.

One pass keeps what the identities read. In another, every block is given its recorded stream with each token alone in a
row: attention is then the identity, and z is the value vector. In a third, blocks are given their recorded streams and
an intervention acts, so that each layer shows what the edit does there and nothing that came from below.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import NamedTuple

import torch
from torch import Tensor

from lesion.engine.attach import Source
from lesion.engine.hooks import Seen, applied, edited, recorded
from lesion.engine.patterns import attention_path, eager, pattern_in
from lesion.identity import generator
from lesion.interventions.intervention import Intervention
from lesion.models.model import Model


class Evidence(NamedTuple):
    """One recorded forward pass on random tokens."""

    ids: Tensor
    logits: Tensor
    seen: dict[str, Seen]

    def pattern(self, model: Model, layer: int) -> Tensor:
        """The attention pattern of a layer, (batch, heads, query, key)."""
        return pattern_in(self.seen[attention_path(model, layer)].output)


Check = Callable[[Model, Evidence], tuple[Tensor, Tensor]]
"""Two tensors that must be the same."""


def gather(model: Model, tokens: int) -> Evidence:
    """The evidence from two rows of random tokens."""
    rng = generator("proof", tokens)
    ids = torch.as_tensor(rng.integers(0, model.sizes.vocab_size, size=(2, tokens)))
    with eager(model), recorded(model, read_paths(model)) as seen:
        logits = forward(model, ids)
    return Evidence(ids, logits, dict(seen))


def read_paths(model: Model) -> list[str]:
    """Everything that the identities read."""
    family, paths = model.family, [model.family.final_norm]
    for layer in range(model.sizes.n_layers):
        block = model.block_path(layer)
        inner = [
            family.attention_out,
            family.mlp_out,
            family.post_attention_norm,
            family.post_mlp_norm,
            family.queries,
            family.keys,
            family.values,
            family.activation,
            family.up,
        ]
        paths += [block, attention_path(model, layer), *(f"{block}.{path}" for path in inner if path)]
    return list(dict.fromkeys(paths))


def forward(model: Model, ids: Tensor) -> Tensor:
    """Logits of one pass without gradients and without a cache."""
    with torch.inference_mode():
        return model.module(ids, use_cache=False).logits


def each_alone(model: Model, evidence: Evidence) -> dict[str, Seen]:
    """A pass over single tokens in which every block is given its recorded stream, one token a row."""
    paths = [f"{model.block_path(layer)}.{model.family.attention_out}" for layer in range(model.sizes.n_layers)]
    with ExitStack() as stack:
        stack.enter_context(eager(model))
        for layer in range(model.sizes.n_layers):
            rows = evidence.seen[model.block_path(layer)].input.flatten(0, 1)[:, None]
            stack.enter_context(edited(model.block(layer), lambda _, rows=rows: rows))
        seen = stack.enter_context(recorded(model, paths))
        forward(model, evidence.ids.reshape(-1, 1))
        return dict(seen)


def held(
    model: Model,
    evidence: Evidence,
    intervention: Intervention,
    positions: Sequence[int] | None = None,
    source: Source | None = None,
    keys: Sequence[int] = (),
) -> Evidence:
    """A pass under an intervention in which every block is given its recorded stream; at all positions or at some."""
    mask, cut = torch.zeros(evidence.ids.shape, dtype=torch.bool), torch.zeros(evidence.ids.shape, dtype=torch.bool)
    mask[:, list(range(mask.shape[1]) if positions is None else positions)] = True
    cut[:, list(keys)] = True
    with ExitStack() as stack:
        stack.enter_context(eager(model))
        for layer in range(model.sizes.n_layers):
            stream = evidence.seen[model.block_path(layer)].input
            stack.enter_context(edited(model.block(layer), lambda _, stream=stream: stream))
        stack.enter_context(applied(model, intervention, mask, source, cut))
        seen = stack.enter_context(recorded(model, read_paths(model)))
        return Evidence(evidence.ids, forward(model, evidence.ids), dict(seen))
