"""Per-item numbers from the logits that decide an answer under teacher forcing.

Names, units and limits of all metrics stand in `lesion.study.metric_table`; here are the functions, by the same names.
Every metric takes logits of shape (batch, answer, vocab) and the batch, and gives float64 of shape (batch,).
Exponentials are taken in the logits' own precision, sums over the vocabulary in float64. A row with a logit that is not
finite has no number: NaN, never 0.
"""


# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from lesion.engine.batch import Batch
from lesion.errors import InputError, nearest

Numbers = NDArray[np.float64]
Logits = Float[Tensor, "batch answer vocab"]
PerItem = Float[Tensor, " batch"]
Function = Callable[[Tensor, Batch], Tensor]
Comparison = Callable[[Tensor, Batch, Tensor], Tensor]


def correct(logits: Logits, batch: Batch) -> PerItem:
    """1 when every argmax is the answer's token, else 0: greedy decoding gives exactly the answer.

    Ties go to the lowest token id, as in greedy decoding; `ties` counts them. Range {0, 1}, no unit.
    """
    return (logits.argmax(-1) == batch.answer).all(-1).double()


def ties(logits: Logits, batch: Batch) -> PerItem:  # noqa: ARG001  (every metric has the same arguments)
    """How many answer positions have more than one largest logit. Range 0 … answer tokens; a count."""
    top = logits.topk(2, dim=-1).values
    return (top[..., 0] == top[..., 1]).sum(-1).double()


def margin(logits: Logits, batch: Batch) -> PerItem:  # noqa: ARG001
    """The smallest gap between largest and second largest logit over the answer positions. Range ≥ 0, logits."""
    top = logits.topk(2, dim=-1).values.double()
    return (top[..., 0] - top[..., 1]).amin(-1)


def answer_logprob(logits: Logits, batch: Batch) -> PerItem:
    """The sum of log-softmax at the answer's tokens, ln p(answer | prompt). Range ≤ 0, nats."""
    picked = logits.gather(-1, batch.answer[..., None])[..., 0].double()
    return (picked - _log_mass(logits)).sum(-1)


def brier(logits: Logits, batch: Batch) -> PerItem:
    """The Brier score of the answer: at each of its tokens sum_v (p_v - [v is the token])^2, and their mean.

    The sum over all classes of Brier (1950), Verification of forecasts expressed in terms of probability. Under teacher
    forcing each token is a forecast of its own, given the right tokens before it; the mean over tokens keeps the range
    for answers of any length. Range 0 (sure and right) … 2 (sure and wrong), no unit; uniform gives 1 - 1/vocab.
    """

    def of(part: Tensor) -> Tensor:
        weight = (part - part.amax(-1, keepdim=True)).exp()
        return weight.square().sum(-1, dtype=torch.float64) / weight.sum(-1, dtype=torch.float64).square()

    picked = logits.gather(-1, batch.answer[..., None])[..., 0].double()
    right = (picked - _log_mass(logits)).exp()
    return (_in_parts(of, logits) - 2 * right + 1).clamp(min=0).mean(-1)


def entropy(logits: Logits, batch: Batch) -> PerItem:  # noqa: ARG001
    """H = -sum p ln p at the first answer position. Range 0 … ln(vocab), nats; uniform gives ln(vocab)."""

    def of(first: Tensor) -> Tensor:
        shifted = first - first.amax(-1, keepdim=True)
        weight = shifted.exp()
        mass = weight.sum(-1, dtype=torch.float64)
        return mass.log() - (weight * shifted).sum(-1, dtype=torch.float64) / mass

    return _in_parts(of, logits[:, 0])


def logit_diff(logits: Logits, batch: Batch) -> PerItem:
    """s[answer] - s[wrong] at the first position where they differ; NaN where they never do. Any sign, logits.

    Adding a constant to all logits of a position does not change it.
    """
    differ = batch.answer != batch.wrong
    row, place = torch.arange(len(logits)), differ.int().argmax(-1)
    right, wrong = (logits[row, place, ids[row, place]].double() for ids in (batch.answer, batch.wrong))
    return torch.where(differ.any(-1), right - wrong, torch.nan)


def digit_diff(logits: Logits, batch: Batch) -> PerItem:
    """The mean over the answer's digits of s[right digit] - max s[another digit]. Any sign, logits.

    At each digit of the answer, the right ones before it, the best of the nine other digits is the rival: above 0 where
    the right digit beats them all. NaN where the answer is not written digit by digit.
    """
    gaps = _digit_gaps(logits, batch)
    return gaps.nanmean(-1)


def first_digit_diff(logits: Logits, batch: Batch) -> PerItem:
    """`digit_diff` of the first digit that is written alone, which no right digit stands before. Any sign, logits."""
    gaps = _digit_gaps(logits, batch)
    return gaps[torch.arange(len(gaps)), gaps.isfinite().int().argmax(-1)]


def _digit_gaps(logits: Logits, batch: Batch) -> Float[Tensor, "batch answer"]:
    """s[right digit] - max s[another digit] at each answer token, float64; NaN at one that is no digit."""
    if batch.digits is None:
        return torch.full(batch.answer.shape, torch.nan, dtype=torch.float64, device=logits.device)
    rivals = batch.digits.to(logits.device)
    each = logits.gather(-1, rivals.clamp(min=0)).double()
    right = rivals == batch.answer.to(logits.device)[..., None]
    gaps = each.masked_fill(~right, -torch.inf).amax(-1) - each.masked_fill(right, -torch.inf).amax(-1)
    return torch.where(rivals[..., 0] >= 0, gaps, torch.nan)


def kl(logits: Logits, batch: Batch, baseline: Logits) -> PerItem:  # noqa: ARG001
    """KL(p_baseline || p), base first, over the whole vocabulary; the mean over answer positions. Range ≥ 0, nats.

    All of it in float64, because the terms cancel.
    """
    base, edited = baseline.double().log_softmax(-1), logits.double().log_softmax(-1)
    return (base.exp() * (base - edited)).sum(-1).mean(-1)


def top1_flip(logits: Logits, batch: Batch, baseline: Logits) -> PerItem:  # noqa: ARG001
    """1 when some argmax over the answer positions is not the baseline's, else 0. Range {0, 1}, no unit."""
    return (logits.argmax(-1) != baseline.argmax(-1)).any(-1).double()


PART = 2**19
"""Logits that are worked on together."""
FUNCTIONS: Mapping[str, Function] = {
    each.__name__: each
    for each in (correct, ties, margin, answer_logprob, brier, entropy, logit_diff, digit_diff, first_digit_diff)
}
"""The metrics of one pass, by name."""
COMPARISONS: Mapping[str, Comparison] = {each.__name__: each for each in (kl, top1_flip)}
"""The metrics of an edited and an unedited pass, by name."""


def measure(logits: Tensor, batch: Batch, names: Sequence[str], baseline: Tensor | None = None) -> dict[str, Numbers]:
    """Several metrics of one batch: name -> float64 of shape (batch,). Comparisons need the baseline's logits.

    Raises:
        InputError: for an unknown metric, or a comparison without a baseline.
    """
    with torch.inference_mode():
        finite = _finite(logits)
        clean = logits if bool(finite.all()) else torch.where(finite[:, None, None], logits, 0.0)
        measured: dict[str, Numbers] = {}
        for name in names:
            if name in FUNCTIONS:
                value, known = FUNCTIONS[name](clean, batch), finite
            elif name in COMPARISONS and baseline is not None:
                value, known = COMPARISONS[name](clean, batch, baseline), finite & _finite(baseline)
            else:
                if name in COMPARISONS:
                    raise InputError(f"'{name}' compares two passes; give the logits of the baseline, too")
                raise InputError(f"'{name}' is not a metric here; {nearest(name, [*FUNCTIONS, *COMPARISONS])}")
            measured[name] = torch.where(known, value, torch.nan).numpy(force=True)
        return measured


def _log_mass(logits: Logits) -> Float[Tensor, "batch answer"]:
    """The log-sum-exp over the vocabulary, float64."""

    def of(part: Tensor) -> Tensor:
        most = part.amax(-1, keepdim=True)
        return most[..., 0].double() + (part - most).exp().sum(-1, dtype=torch.float64).log()

    return _in_parts(of, logits)


def _finite(logits: Logits) -> Bool[Tensor, " batch"]:
    """Whether a row's logits are all finite. A sum is finite only if they are, and takes far less time."""
    if bool(logits.sum(-1).isfinite().all()):
        return torch.ones(len(logits), dtype=torch.bool)
    return logits.isfinite().all(-1).all(-1)


def _in_parts(function: Callable[[Tensor], Tensor], logits: Tensor) -> Tensor:
    """A function of rows, applied to few at a time, so that what it makes on the way stays in the processor's cache."""
    rows = max(1, PART // max(1, logits[:1].numel()))
    return torch.cat([function(part) for part in logits.split(rows)])
