"""What heads write on real attention: the copy score.

It follows Olsson et al. 2022 in idea; its normalisation differs between implementations, so ours is written out at
`copy_scores`.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lesion.engine.batched.linear_kernels import weight_and_bias
from lesion.engine.hooks import recorded
from lesion.identity import Document, generator
from lesion.measures.attribution.frozen_norm import FrozenNorm, freeze
from lesion.measures.heads.pattern_scores import attention_patterns
from lesion.measures.heads.qk_ov_circuits import (
    NOTHING,
    Circuits,
    circuits,
    composition,
    copies_among,
    ends,
    norm_adjoint,
    positivity,
    run,
    unembedding,
)
from lesion.measures.heads.repeated_sequences import Probe, Repeats, ordinary_tokens, repeats
from lesion.models.model import Model

QUERIES = 128
"""Most queries on which a head's writing is read."""
ASKED = 128
"""Most tokens whose row of the OV circuit is looked at."""


class Copying(Document):
    """How much one head copies; null where the head writes nothing."""

    layer: int
    """Layer of the head."""
    head: int
    """Query head in the layer."""
    positivity: float | None
    """Eigenvalue positivity of the OV circuit, -1 … 1."""
    top5: float | None
    """Share of tokens whose own logit is among the five that the OV circuit raises most."""
    score: float | None
    """Copy score on attended tokens, -1 … 1."""


def copying(model: Model, seed: int = 0, read: Circuits | None = None) -> tuple[Copying, ...]:
    """How much every head copies, by its weights and on the tokens that it attends to.

    Raises:
        InterventionError: when a norm of the model has no known form.
        InputError: when the vocabulary has too few ordinary tokens.
    """
    read, given = read or circuits(model), ends(model)
    ordinary = ordinary_tokens(model.tokenizer)
    drawn = generator("copying", seed).permutation(ordinary)[:ASKED]
    rows = torch.searchsorted(given.tokens, torch.as_tensor(np.sort(drawn))).clamp_max(len(given.tokens) - 1)
    scores = copy_scores(model, seed)
    found: list[Copying] = []
    for layer in range(model.sizes.n_layers):
        between = given.unembedding @ (given.embedding if layer == 0 else given.effective)
        for head in range(model.sizes.n_heads):
            values, outputs = read.values[layer, head], read.outputs[layer, head]
            score = float(scores[layer, head])
            found.append(
                Copying(
                    layer=layer,
                    head=head,
                    positivity=positivity(values, outputs, between),
                    top5=copies_among(values, outputs, given, rows, layer),
                    score=None if np.isnan(score) else score,
                )
            )
    return tuple(found)


class Pair(Document):
    """Composition of two heads."""

    left: str
    """The earlier head."""
    right: str
    """The later head."""
    score: float
    """Composition score above that of random circuits of the same shapes."""


class CircuitReport(Document):
    """What the heads' weights say."""

    copying: tuple[Copying, ...]
    """Copying, by layer and head."""
    composition: dict[str, tuple[Pair, ...]]
    """The strongest pairs above chance by kind (q, k, v), the strongest first; empty where they cannot be read."""
    note: str
    """What the circuits leave out."""


def circuit_report(model: Model, seed: int = 0, most: int = 20) -> CircuitReport:
    """Copying of every head and the strongest compositions.

    Raises:
        InterventionError: when a norm of the model has no known form.
        InputError: when the vocabulary has too few ordinary tokens.
    """
    read = circuits(model)
    tables = composition(read) if read.queries is not None else {}
    pairs: dict[str, tuple[Pair, ...]] = {}
    for kind, scores in tables.items():
        places = torch.nonzero(scores.nan_to_num(-1.0) > 0).tolist()
        listed = [Pair(left=f"L{i}H{a}", right=f"L{j}H{b}", score=float(scores[i, a, j, b])) for i, a, j, b in places]
        pairs[kind] = tuple(sorted(listed, key=lambda pair: -pair.score)[:most])
    return CircuitReport(copying=copying(model, seed, read), composition=pairs, note=read.note)


class _Written(NamedTuple):
    """What one pass on repeated blocks left behind."""

    group: Repeats
    patterns: Tensor
    final: FrozenNorm
    behind: list[FrozenNorm | None]
    z: list[Tensor]


def copy_scores(model: Model, seed: int = 0, probe: Probe | None = None) -> NDArray[np.float64]:
    """Copy score of every head, (layers, heads), -1 … 1; NaN for a head that writes nothing there.

    With ctr = the head's own contribution to the logits (its z through W_O, frozen norms and W_U), at each query
    (ctr[t] - mean ctr) / max |ctr - mean ctr|, t being the token it attends to most; then the mean over queries. A
    perfect copy gives 1, an anti-copy -1. Queries that attend most to what stands before the first copy (BOS) are left
    out: there is nothing to copy.
    """
    made = _written(model, seed, probe or Probe())
    group, start = made.group, made.group.start
    position = torch.tensor(list(group.second))
    reader = unembedding(model)
    reader = norm_adjoint(reader, made.final)
    scores = np.full((model.sizes.n_layers, model.sizes.n_heads), np.nan)
    for layer in range(model.sizes.n_layers):
        weight, _ = weight_and_bias(model.submodule(f"{model.block_path(layer)}.{model.family.attention_out}"))
        parts = weight.double().unflatten(0, (model.sizes.n_heads, -1))
        z = made.z[layer].unflatten(-1, (model.sizes.n_heads, -1)).double()[:, position]
        behind = made.behind[layer]
        for head in range(model.sizes.n_heads):
            written = z[:, :, head] @ parts[head]
            if behind is not None:
                written = behind.at((slice(None), position)).apply(written)
            key = made.patterns[layer, :, head][:, position].argmax(-1)
            kept = key >= start
            if not kept.any() or float(written[kept].abs().max()) == 0:
                continue
            scores[layer, head] = _copied(written[kept] @ reader, group.ids.gather(1, key)[kept], reader, written[kept])
    return scores


def _copied(raised: Tensor, attended: Tensor, reader: Tensor, written: Tensor) -> float:
    centred = raised - raised.mean(-1, keepdim=True)
    size = centred.abs().amax(-1)
    wrote = size > NOTHING * written.norm(dim=-1) * float(reader.norm(dim=0).max())
    if not wrote.any():
        return float("nan")
    return float((centred.gather(-1, attended[:, None])[:, 0][wrote] / size[wrote]).mean())


def _written(model: Model, seed: int, probe: Probe) -> _Written:
    block = probe.blocks[-1]
    rng = generator("copying", seed, block)
    group = repeats(ordinary_tokens(model.tokenizer), model.bos, block, 0, max(1, QUERIES // block), rng)
    family, layers = model.family, range(model.sizes.n_layers)
    paths = [f"{model.block_path(layer)}.{family.attention_out}" for layer in layers]
    posts = [
        f"{model.block_path(layer)}.{family.post_attention_norm}" for layer in layers if family.post_attention_norm
    ]
    with recorded(model, [*paths, *posts, family.final_norm]) as seen:
        run(model, group.ids)
    z = [seen[path].input for path in paths]
    z = [part.reshape(*group.ids.shape, -1) for part in z]
    behind: list[FrozenNorm | None] = [
        freeze(model.submodule(path), seen[path].input, seen[path].output) for path in posts
    ]
    last = seen[family.final_norm]
    final = freeze(model.submodule(family.final_norm), last.input, last.output)
    return _Written(group, attention_patterns(model.module, group.ids), final, behind or [None] * len(z), z)
