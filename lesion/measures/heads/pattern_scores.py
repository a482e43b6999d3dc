"""Attention-pattern scores of heads: induction, prefix matching, previous token, duplicate token, first token.

A pattern is A[q, k], the attention from position q to position k; each row sums to 1 over k <= q. All scores lie in
0 … 1, one per query head, shape [n_layers, n_heads]; `lesion.measures.heads.counted_pairs` says which attention each
one counts.

`lesion.measures.heads.detection` names heads on the standard probe. The robust score here is the smallest score over
block lengths, each without and with random gaps: a head that attends a fixed distance back scores high at one block
length, not at all of them. Trainings are stopped and judged by it.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from lesion.errors import InputError, nearest
from lesion.identity import Document
from lesion.measures.heads.counted_pairs import each_score, pairs
from lesion.measures.heads.repeated_sequences import Probe, Repeats, ordinary_tokens, probes
from lesion.models.model import Model

Pattern = Float[Tensor, "layers batch heads query key"]
Scores = Float[Tensor, "layers heads"]
Stripe = Callable[[Pattern, Repeats], Scores]
LOGITS = 2**26
"""Most logits of one part, 256 MiB in float32."""
TOKENS = 512
"""Tokens that go through the model together: enough for full speed, few enough that all layers' patterns fit."""


class HeadScores(Document):
    """One detector's scores for a model, and all that is needed to measure them again."""

    detector: str
    """Name of the detector."""
    probe: Probe
    """The sequences."""
    prefix: int | None
    """Token before the first copy (BOS); none where the model has none."""
    ordinary: int
    """How many tokens of the vocabulary are ordinary, see `repeated_sequences.ordinary_tokens`."""
    scores: tuple[tuple[float, ...], ...]
    """Smallest score over block lengths and gaps, by layer and head, 0 … 1."""

    def table(self) -> NDArray[np.float64]:
        """The scores as an array, shape [n_layers, n_heads]."""
        return np.array(self.scores)


def detect(model: Model, detector: str = "induction", seed: int = 0, probe: Probe | None = None) -> HeadScores:
    """The robust score of every head for one detector, on sequences drawn from `seed`; see `robust_score`.

    Args:
        model: an opened model.
        detector: a name of `DETECTORS`.
        seed: draws tokens and gaps; it replaces the seed of `probe`.
        probe: other block lengths, gaps or numbers of sequences than the defaults.

    Raises:
        InputError: when the detector is unknown, or the vocabulary or the context is too small for the probe.
    """
    (found,) = detect_each(model, [detector], seed, probe)
    return found


def detect_each(
    model: Model, detectors: Sequence[str], seed: int = 0, probe: Probe | None = None
) -> tuple[HeadScores, ...]:
    """The robust scores of several detectors, all from the same forward passes; see `detect`.

    Raises:
        InputError: when a detector is unknown, or the vocabulary or the context is too small for the probe.
    """
    require_detectors(detectors)
    probe = (probe or Probe()).model_copy(update={"seed": seed})
    longest = probe.length(model.bos is not None)
    limit = model.sizes.max_positions
    if limit is not None and longest > limit:
        raise InputError(
            f"the probe's sequences have up to {longest} tokens, {model.name} reads {limit}: shorten `blocks`"
        )
    ordinary = ordinary_tokens(model.tokenizer)
    found = [condition_scores(model.module, groups, detectors) for groups in probes(ordinary, model.bos, probe)]
    return tuple(
        HeadScores(
            detector=name,
            probe=probe,
            prefix=model.bos,
            ordinary=len(ordinary),
            scores=rounded(torch.stack([condition[name] for condition in found]).amin(0)),
        )
        for name in detectors
    )


def rounded(scores: Scores) -> tuple[tuple[float, ...], ...]:
    """Scores by layer and head, to six places."""
    return tuple(tuple(round(float(score), 6) for score in layer) for layer in scores.double().numpy(force=True))


class Part(NamedTuple):
    """Some rows of a batch after their forward pass."""

    rows: slice
    """Which rows."""
    layers: tuple[Float[Tensor, "batch heads query key"], ...]
    """The attention pattern of every layer."""
    logits: Float[Tensor, "batch pos vocab"] | None
    """The logits, where they were asked for."""


def attention_in_parts(module: nn.Module, ids: Int[Tensor, "batch length"], *, logits: bool = False) -> Iterator[Part]:
    """The attention of every head, some rows at a time, with the "eager" code, which is switched back.

    Each row goes through the model once. The unembedding is left out unless the logits are asked for.

    Raises:
        InputError: when the model gives no patterns.
    """
    network: Any = module
    body = network if logits else getattr(network, "base_model", network)
    rows = max(1, TOKENS // ids.shape[1])
    if logits:
        rows = max(1, min(rows, LOGITS // (ids.shape[1] * network.config.vocab_size)))
    for start in range(0, len(ids), rows):
        here = slice(start, min(start + rows, len(ids)))
        with _eager(network), torch.no_grad():
            out = body(input_ids=ids[here], output_attentions=True, use_cache=False)
        if not out.attentions or any(pattern is None for pattern in out.attentions):
            raise InputError(f"{type(module).__name__} returns no attention patterns")
        yield Part(here, tuple(out.attentions), out.logits if logits else None)


def attention_patterns(module: nn.Module, ids: Int[Tensor, "batch length"]) -> Pattern:
    """The attention of every head on a few sequences, all layers at once; see `attention_in_parts` for many.

    Raises:
        InputError: when the model gives no patterns.
    """
    return torch.cat([torch.stack(part.layers) for part in attention_in_parts(module, ids)], dim=1)


@contextmanager
def _eager(network: Any) -> Generator[None]:
    kernel, training = network.config._attn_implementation, network.training
    network.set_attn_implementation("eager")
    network.eval()
    try:
        yield
    finally:
        network.set_attn_implementation(kernel)
        network.train(training)


def induction_stripe(pattern: Pattern, probe: Repeats) -> Scores:
    """Mean attention, in the second copy, to the token after the same token of the first: A[q, q - period + 1]."""
    return _mean(pattern, "induction", probe)


def duplicate_token(pattern: Pattern, probe: Repeats) -> Scores:
    """Mean attention, in the second copy, to the same token of the first: A[q, q - period]."""
    return _mean(pattern, "duplicate_token", probe)


def previous_token(pattern: Pattern, probe: Repeats) -> Scores:
    """Mean attention to the position before: A[q, q - 1] over all q >= 1."""
    return _mean(pattern, "previous_token", probe)


def first_token(pattern: Pattern, probe: Repeats) -> Scores:
    """Mean attention to position 0 (the sink): A[q, 0] over all q >= 1."""
    return _mean(pattern, "first_token", probe)


def _mean(pattern: Pattern, detector: str, probe: Repeats) -> Scores:
    return each_score(pattern, pairs(detector, probe)).mean(1)


DETECTORS: dict[str, Stripe] = {
    "induction": induction_stripe,
    "previous_token": previous_token,
    "duplicate_token": duplicate_token,
    "first_token": first_token,
}
"""The detectors that a study can name (`lesion.study.names.Detector`)."""


def require_detectors(names: Iterable[str]) -> None:
    """Make sure that detectors exist.

    Raises:
        InputError: when one does not.
    """
    for name in names:
        if name not in DETECTORS:
            raise InputError(f"'{name}' is not a detector; {nearest(name, DETECTORS)}")


def prefix_matching(pattern: Pattern, ids: Int[Tensor, "batch length"]) -> Scores:
    """Mean attention to the successors of all earlier occurrences of the token, for any text (Olsson et al. 2022).

    For each q with some j < q and ids[j] = ids[q]: the sum over those j of A[q, j + 1]; then the mean over all such q.

    Raises:
        InputError: when no token occurs twice: there is no data, and no score.
    """
    same = (ids[:, :, None] == ids[:, None, :]).tril(-1)  # [batch, query, key]: key is an earlier occurrence
    counted = same.any(-1)
    if not counted.any():
        raise InputError("no token occurs twice in these sequences, so prefix matching is not defined on them")
    successors = same.roll(1, dims=-1)  # a key at j becomes j + 1; the last column is empty, so nothing wraps
    mass = (pattern * successors[None, :, None]).sum(-1)  # [layers, batch, heads, query]
    return mass.movedim(2, 1)[:, :, counted].mean(-1)


def robust_score(
    module: nn.Module,
    ordinary: NDArray[np.int64],
    bos: int | None,
    detector: str = "induction",
    probe: Probe | None = None,
) -> Scores:
    """The smallest of the detector's scores over all block lengths, each without and with random gaps.

    Args:
        module: a Hugging Face causal language model.
        ordinary: ids to draw from.
        bos: token before the first copy, if any.
        detector: a name of `DETECTORS`.
        probe: block lengths, gaps, number of sequences and seed.

    Raises:
        InputError: when the detector is unknown, or the vocabulary is too small for the probe.
    """
    require_detectors([detector])
    conditions = probes(ordinary, bos, probe or Probe())
    return torch.stack([condition_scores(module, groups, [detector])[detector] for groups in conditions]).amin(0)


def condition_scores(module: nn.Module, groups: Sequence[Repeats], detectors: Sequence[str]) -> dict[str, Scores]:
    """Mean scores over the sequences of one condition, by detector; every sequence goes through the model once."""
    total = sum(len(group.ids) for group in groups)
    sums: dict[str, list[Tensor]] = {name: [] for name in detectors}
    for group in groups:
        counted = {name: pairs(name, group) for name in detectors}
        for part in attention_in_parts(module, group.ids):
            for name, found in counted.items():
                sums[name].append(torch.stack([each_score(layer, found).sum(0) for layer in part.layers]))
    return {name: torch.stack(found).sum(0) / total for name, found in sums.items()}


def robust_induction(
    module: nn.Module, ordinary: NDArray[np.int64], bos: int | None, probe: Probe | None = None
) -> Scores:
    """The robust induction score: `robust_score` of the induction stripe."""
    return robust_score(module, ordinary, bos, "induction", probe)
