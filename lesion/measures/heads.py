"""Attention-pattern scores of heads: induction, prefix matching, previous token, duplicate token, first token.

A pattern is A[q, k], the attention from position q to position k; each row sums to 1 over k <= q. All scores lie in
0 … 1, one per query head, shape [n_layers, n_heads]. The induction stripe is that of Olsson et al. 2022, "In-context
Learning and Induction Heads": in the second copy of a block, the attention to the token *after* the same token of the
first copy. It ends at that token's successor (q - period + 1), not at the token itself, which is `duplicate_token`.

Pick heads by `detect` (or `robust_score`), which takes the smallest score over block lengths, each without and with
random gaps: a head that attends a fixed distance back fakes the stripe for one block length, not for all.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from lesion.errors import InputError, nearest
from lesion.identity import Document
from lesion.measures.probe import Probe, Repeats, ordinary_tokens, probes
from lesion.models.model import Model

Pattern = Float[Tensor, "layers batch heads query key"]
Scores = Float[Tensor, "layers heads"]
Stripe = Callable[[Pattern, Repeats], Scores]


class HeadScores(Document):
    """One detector's scores for a model, and all that is needed to measure them again."""

    detector: str
    """Name of the detector."""
    probe: Probe
    """The sequences."""
    prefix: int | None
    """Token before the first copy (BOS); none where the model has none."""
    ordinary: int
    """How many tokens of the vocabulary are ordinary, see `lesion.measures.probe.ordinary_tokens`."""
    scores: tuple[tuple[float, ...], ...]
    """Smallest score over block lengths and gaps, by layer and head, 0 … 1."""

    def table(self) -> NDArray[np.float64]:
        """The scores as an array, shape [n_layers, n_heads]."""
        return np.array(self.scores)


def detect(model: Model, detector: str = "induction", seed: int = 0, probe: Probe | None = None) -> HeadScores:
    """Score every head of a model with one detector on sequences drawn from `seed`.

    Args:
        model: an opened model.
        detector: a name of `DETECTORS`.
        seed: draws tokens and gaps; it replaces the seed of `probe`.
        probe: other block lengths, gaps or numbers of sequences than the defaults.

    Raises:
        InputError: when the detector is unknown, or the vocabulary or the context is too small for the probe.
    """
    probe = (probe or Probe()).model_copy(update={"seed": seed})
    longest = probe.length(model.bos is not None)
    limit = model.sizes.max_positions
    if limit is not None and longest > limit:
        raise InputError(
            f"the probe's sequences have up to {longest} tokens, {model.name} reads {limit}: shorten `blocks`"
        )
    ordinary = ordinary_tokens(model.tokenizer)
    scores = cast("Any", robust_score(model.module, ordinary, model.bos, detector, probe).double())
    return HeadScores(
        detector=detector,
        probe=probe,
        prefix=model.bos,
        ordinary=len(ordinary),
        scores=tuple(tuple(round(float(score), 6) for score in layer) for layer in scores.tolist()),
    )


def attention_patterns(module: nn.Module, ids: Int[Tensor, "batch length"]) -> Pattern:
    """The attention of every head, from one pass with the plain ("eager") attention code, which is then switched back.

    Raises:
        InputError: when the model gives no patterns.
    """
    network: Any = module
    with _eager(network), torch.no_grad():
        patterns = network(input_ids=ids, output_attentions=True, use_cache=False).attentions
    if not patterns or any(pattern is None for pattern in patterns):
        raise InputError(f"{type(module).__name__} returns no attention patterns")
    return torch.stack(tuple(patterns))


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


def _stripe(pattern: Pattern, queries: Sequence[int], back: int) -> Scores:
    query = torch.tensor(queries)
    return pattern[..., query, query - back].mean(dim=(1, -1))


def induction_stripe(pattern: Pattern, probe: Repeats) -> Scores:
    """Mean attention, in the second copy, to the token after the same token of the first: A[q, q - period + 1]."""
    return _stripe(pattern, probe.second, probe.period - 1)


def duplicate_token(pattern: Pattern, probe: Repeats) -> Scores:
    """Mean attention, in the second copy, to the same token of the first: A[q, q - period]."""
    return _stripe(pattern, probe.second, probe.period)


def previous_token(pattern: Pattern, probe: Repeats) -> Scores:
    """Mean attention to the position before: A[q, q - 1] over all q >= 1."""
    return _stripe(pattern, range(1, probe.ids.shape[1]), 1)


def first_token(pattern: Pattern, probe: Repeats) -> Scores:
    """Mean attention to position 0 (the sink): A[q, 0] over all q >= 1."""
    return pattern[..., 1 : probe.ids.shape[1], 0].mean(dim=(1, -1))


DETECTORS: dict[str, Stripe] = {
    "induction": induction_stripe,
    "previous_token": previous_token,
    "duplicate_token": duplicate_token,
    "first_token": first_token,
}
"""The detectors that a study can name (`lesion.study.names.Detector`)."""


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
    if detector not in DETECTORS:
        raise InputError(f"'{detector}' is not a detector; {nearest(detector, DETECTORS)}")
    stripe = DETECTORS[detector]
    conditions = probes(ordinary, bos, probe or Probe())
    return torch.stack([_mean_over(groups, module, stripe) for groups in conditions]).amin(0)


def _mean_over(groups: list[Repeats], module: nn.Module, stripe: Stripe) -> Scores:
    """Mean over all sequences of groups of different sizes."""
    total = sum(len(group.ids) for group in groups)
    scores = [stripe(attention_patterns(module, group.ids), group) * (len(group.ids) / total) for group in groups]
    return torch.stack(scores).sum(0)


def robust_induction(
    module: nn.Module, ordinary: NDArray[np.int64], bos: int | None, probe: Probe | None = None
) -> Scores:
    """The robust induction score: `robust_score` of the induction stripe."""
    return robust_score(module, ordinary, bos, "induction", probe)
