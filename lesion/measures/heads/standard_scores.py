"""The scores of all heads on a set of sequences: one forward pass for each, whatever is read from it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from lesion.measures.heads.counted_pairs import BLOCKWISE, beside, each_score, pairs
from lesion.measures.heads.in_context_score import token_losses
from lesion.measures.heads.pattern_scores import Part, Scores, attention_in_parts, require_detectors
from lesion.measures.heads.repeated_sequences import Repeats, StandardProbe, fitted, ordinary_tokens, standard
from lesion.models.model import Model
from lesion.progress import Stage

Numbers = NDArray[np.float64]


class Capture(NamedTuple):
    """What one set of sequences left behind, for all detectors."""

    each: Mapping[str, Numbers]
    """By detector: score of every sequence, (sequences, heads)."""
    beside: Mapping[str, Numbers]
    """By positional detector: the same, read one key beside."""
    mean: Float[Tensor, "heads query key"] | None
    """Mean pattern over the sequences, float64, heads layer by layer; only where asked for."""
    losses: Float[Tensor, "sequences next"] | None
    """Loss of every token but the first, nats; only where asked for."""


def captured(
    model: Model, group: Repeats, detectors: Sequence[str], advance: Stage, *, everything: bool = False
) -> Capture:
    """Run every sequence once and keep what the detectors need.

    Args:
        model: the model.
        group: the sequences.
        detectors: names of `lesion.measures.heads.pattern_scores.DETECTORS`.
        advance: is told how many tokens are done.
        everything: also keep the mean pattern and the losses of the tokens.
    """
    wanted = {name: pairs(name, group) for name in detectors}
    others = {name: beside(name, group) for name in detectors if name not in BLOCKWISE}
    found: dict[str, list[Tensor]] = {}
    mean: Tensor | None = None
    for part in attention_in_parts(model.module, group.ids, logits=everything):
        for kind, table in (("each", wanted), ("beside", others)):
            for name, counted in table.items():
                scores = [each_score(layer, counted) for layer in part.layers]
                found.setdefault(f"{kind} {name}", []).append(torch.cat(scores, dim=1).double())
        if everything:
            summed = torch.cat([layer.double().sum(0) for layer in part.layers])
            mean = summed if mean is None else mean + summed
            found.setdefault("losses", []).append(_losses(part, group))
        advance(group.ids[part.rows].numel())
    whole = {name: torch.cat(parts) for name, parts in found.items()}
    return Capture(
        {name: whole[f"each {name}"].numpy(force=True) for name in wanted},
        {name: whole[f"beside {name}"].numpy(force=True) for name in others},
        None if mean is None else mean / len(group.ids),
        whole.get("losses"),
    )


def _losses(part: Part, group: Repeats) -> Tensor:
    assert part.logits is not None
    return token_losses(part.logits, group.ids[part.rows])


def standard_scores(
    model: Model, detectors: Sequence[str], seed: int = 0, probe: StandardProbe | None = None
) -> dict[str, Scores]:
    """Mean scores of every head on the standard probe, by detector, (layers, heads); no control and no interval.

    Args:
        model: the model.
        detectors: names of `lesion.measures.heads.pattern_scores.DETECTORS`.
        seed: draws the tokens.
        probe: another block length, or other numbers of copies or sequences.

    Raises:
        InputError: for an unknown detector, or a vocabulary or context that is too small for the probe.
    """
    found = scores_by_sequence(model, detectors, seed, probe)
    shape = (model.sizes.n_layers, model.sizes.n_heads)
    return {name: torch.as_tensor(each.mean(0)).reshape(shape) for name, each in found.items()}


def scores_by_sequence(
    model: Model, detectors: Sequence[str], seed: int = 0, probe: StandardProbe | None = None
) -> dict[str, NDArray[np.float64]]:
    """The same of every sequence, by detector, (sequences, heads), heads layer by layer; as `standard_scores`."""
    require_detectors(detectors)
    ordinary = ordinary_tokens(model.tokenizer)
    group = standard(ordinary, model.bos, fitted(model, len(ordinary), probe, seed))
    found = captured(model, group, detectors, Stage(None))
    return {name: found.each[name] for name in detectors}
