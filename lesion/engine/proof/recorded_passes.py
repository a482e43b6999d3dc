"""What the proof of a family looks at: recorded passes over random tokens.

Two passes keep what the identities read: one with the attention code that the model is used with, one with the code
that reports patterns. In another, every block is given its recorded stream with each token alone in a row: attention is
then the identity, and z is the value vector. In the rest, blocks are given their recorded streams and an intervention
acts at every layer at once, so that each layer shows what the edit does there and nothing that came from below. Passes
that several identities read are made once, and what needs no logits ends before the final norm.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lesion.engine.attach import Source
from lesion.engine.hooks import Seen, applied, edited, leaving_stream, recorded
from lesion.engine.patterns import attention_path, eager, pattern_in
from lesion.identity import generator
from lesion.interventions.intervention import Intervention
from lesion.models.model import Model


class Evidence(NamedTuple):
    """One recorded forward pass on random tokens, and the passes that several identities share."""

    ids: Tensor
    logits: Tensor
    """Empty where the pass ended before the final norm."""
    seen: dict[str, Seen]
    shared: dict[str, Any]
    """Made at the first asking; see `once`."""

    def pattern(self, model: Model, layer: int) -> Tensor:
        """The attention pattern of a layer, (batch, heads, query, key)."""
        return pattern_in(self.seen[attention_path(model, layer)].output)

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` gives; it is called at the first asking only."""
        if name not in self.shared:
            self.shared[name] = make()
        return self.shared[name]


Check = Callable[[Model, Evidence], tuple[Tensor, Tensor]]
"""Two tensors that must be the same."""


def gather(model: Model, tokens: int) -> Evidence:
    """The evidence from two rows of random tokens, with the attention code that reports its patterns."""
    rng = generator("proof", tokens)
    ids = torch.as_tensor(rng.integers(0, model.sizes.vocab_size, size=(2, tokens)))
    with eager(model), recorded(model, read_paths(model)) as seen:
        logits = forward(model, ids)
    return Evidence(ids, logits, dict(seen), {})


def plain(model: Model, evidence: Evidence) -> Evidence:
    """The same tokens with the attention code that the model is used with, recorded."""

    def make() -> Evidence:
        with recorded(model, read_paths(model)) as seen:
            logits = forward(model, evidence.ids)
        return Evidence(evidence.ids, logits, dict(seen), {})

    return evidence.once("plain", make)


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

    def make() -> dict[str, Seen]:
        with ExitStack() as stack:
            stack.enter_context(eager(model))
            for layer in range(model.sizes.n_layers):
                rows = evidence.seen[model.block_path(layer)].input.flatten(0, 1)[:, None]
                stack.enter_context(edited(model.block(layer), lambda _, rows=rows: rows))
            seen = stack.enter_context(recorded(model, paths))
            leaving_stream(model, evidence.ids.reshape(-1, 1))
            return dict(seen)

    return evidence.once("alone", make)


def held(
    model: Model,
    evidence: Evidence,
    intervention: Intervention,
    positions: Sequence[int] | None = None,
    source: Source | None = None,
    keys: Sequence[int] = (),
    *,
    patterns: bool = True,
) -> Evidence:
    """A pass under an intervention in which every block is given its recorded stream; it ends before the final norm.

    Args:
        model: the model.
        evidence: whose streams the blocks are given.
        intervention: what is changed.
        positions: where; None: everywhere.
        source: what is put in place, where the intervention needs it.
        keys: a knock-out's key positions.
        patterns: whether attention reports its patterns; the evidence must come from the same attention code.
    """
    mask, cut = torch.zeros(evidence.ids.shape, dtype=torch.bool), torch.zeros(evidence.ids.shape, dtype=torch.bool)
    mask[:, list(range(mask.shape[1]) if positions is None else positions)] = True
    cut[:, list(keys)] = True
    with ExitStack() as stack:
        if patterns:
            stack.enter_context(eager(model))
        for layer in range(model.sizes.n_layers):
            stream = evidence.seen[model.block_path(layer)].input
            stack.enter_context(edited(model.block(layer), lambda _, stream=stream: stream))
        stack.enter_context(applied(model, intervention, mask, source, cut))
        seen = stack.enter_context(recorded(model, read_paths(model)))
        leaving_stream(model, evidence.ids)
        return Evidence(evidence.ids, torch.empty(0), dict(seen), {})
