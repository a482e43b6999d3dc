"""Which heads are induction (previous-token, duplicate-token, first-token) heads, and how sure that is.

A score alone names nobody. A head is named when (1) its robust score reaches the threshold; (2) a permutation of the
keys, the maximum taken over all heads, reaches that score with p <= .05; (3) on sequences without the pattern its score
stays below the threshold; (4) it reaches the threshold again on other sequences, of other tokens where the vocabulary
allows. A model in which no head passes is told so.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from lesion.errors import InputError, nearest
from lesion.identity import Document, generator
from lesion.measures.heads import DETECTORS, attention_patterns
from lesion.measures.probe import Probe, Repeats, ordinary_tokens, probes
from lesion.models.model import Model

Numbers = NDArray[np.float64]
THRESHOLD = 0.3
"""Least score of a named head. A head that attends evenly over these probes scores at most .15."""
RESAMPLES = 2000
PERMUTATIONS = 999
SIGNIFICANT = 0.05


class HeadFinding(Document):
    """What was found about one head."""

    layer: int
    """Layer."""
    head: int
    """Query head in the layer."""
    score: float
    """Smallest of the mean scores over block lengths and gaps, 0 … 1."""
    low: float
    """Lower end of its 95 % bootstrap interval over sequences."""
    high: float
    """Upper end."""
    control: float
    """Largest of the same means on sequences without the pattern."""
    p: float
    """Permutation p, corrected for all heads by the maximum."""
    again: float
    """Score on the disjoint sequences."""
    named: bool
    """Whether the head passes all four."""

    def __str__(self) -> str:
        return f"L{self.layer}H{self.head}"


class Detection(Document):
    """What one detector found in a model."""

    detector: str
    """Name of the detector."""
    threshold: float
    """Least score of a named head."""
    probe: Probe
    """The sequences."""
    disjoint: str
    """What the second set of sequences does not share with the first."""
    rank_agreement: float | None
    """Spearman's correlation of all heads' scores on the two sets; null where all scores are equal."""
    heads: tuple[HeadFinding, ...]
    """All heads, the best first."""

    @property
    def named(self) -> tuple[HeadFinding, ...]:
        """The heads that pass, the best first."""
        return tuple(head for head in self.heads if head.named)

    @property
    def verdict(self) -> str:
        """In words."""
        kind = self.detector.replace("_", "-")
        if self.named:
            return f"{len(self.named)} {kind} head{'s' * (len(self.named) > 1)}: {', '.join(map(str, self.named))}"
        best = self.heads[0]
        return (
            f"No {kind} head: the best score is {best.score:.3f} ({best}; without the pattern {best.control:.3f}, "
            f"p = {best.p:.3f}, on other sequences {best.again:.3f}; needed {self.threshold:g})"
        )


class _Condition(NamedTuple):
    """One block length, with or without gaps."""

    each: Numbers
    """Score of every sequence, (sequences, heads)."""
    null: Numbers
    """Mean scores under permuted keys, (permutations, heads)."""


def targets(detector: str, group: Repeats) -> tuple[Tensor, Tensor]:
    """Query positions and the key that a perfect head of this kind attends to, each (queries,)."""
    if detector in ("induction", "duplicate_token"):
        query = torch.tensor(list(group.second))
        return query, query - group.period + int(detector == "induction")
    query = torch.arange(1, group.ids.shape[1])
    return query, query - 1 if detector == "previous_token" else torch.zeros_like(query)


def detection(
    model: Model,
    detector: str = "induction",
    seed: int = 0,
    probe: Probe | None = None,
    threshold: float = THRESHOLD,
    permutations: int = PERMUTATIONS,
) -> Detection:
    """Score every head of a model, with interval, negative control, permutation null and disjoint sequences.

    Raises:
        InputError: when the detector is unknown, or the vocabulary or the context is too small for the probe.
    """
    if detector not in DETECTORS:
        raise InputError(f"'{detector}' is not a detector; {nearest(detector, DETECTORS)}")
    probe = (probe or Probe()).model_copy(update={"seed": seed})
    longest, limit = probe.length(model.bos is not None), model.sizes.max_positions
    if limit is not None and longest > limit:
        raise InputError(f"the probe has up to {longest} tokens, {model.name} reads {limit}: shorten `blocks`")
    ordinary = ordinary_tokens(model.tokenizer)
    here, there, disjoint = _halves(ordinary, probe)
    conditions = _conditions(model, detector, here, probe, permutations)
    means = np.stack([c.each.mean(0) for c in conditions])
    again = np.stack([c.each.mean(0) for c in _conditions(model, detector, there, _other(probe), 0)]).min(0)
    control = np.stack([c.each.mean(0) for c in _controls(model, detector, here, probe)]).max(0)
    low, high = _interval(conditions, generator("head bootstrap", seed))
    p = _familywise(means.min(0), np.stack([c.null for c in conditions]).min(0))
    heads = _findings(model, np.stack([means.min(0), low, high, control, p, again]), threshold)
    agreement = spearman(means.min(0), again)
    return Detection(
        detector=detector, threshold=threshold, probe=probe, disjoint=disjoint, rank_agreement=agreement, heads=heads
    )


def _findings(model: Model, table: Numbers, threshold: float) -> tuple[HeadFinding, ...]:
    found: list[HeadFinding] = []
    for number, column in enumerate(table.T):
        layer, head = divmod(number, model.sizes.n_heads)
        score, low, high, control, p, again = (round(float(value), 6) for value in column)
        named = min(score, again) >= threshold > control and p <= SIGNIFICANT
        found.append(
            HeadFinding(
                layer=layer, head=head, score=score, low=low, high=high, control=control, p=p, again=again, named=named
            )
        )
    return tuple(sorted(found, key=lambda f: (-f.score, f.layer, f.head)))


def _other(probe: Probe) -> Probe:
    """The probe with a seed that the first set never uses."""
    return probe.model_copy(update={"seed": probe.seed + 2**31})


def _halves(ordinary: NDArray[np.int64], probe: Probe) -> tuple[NDArray[np.int64], NDArray[np.int64], str]:
    """Tokens of the two sets: halves of the vocabulary where each half is large enough, else the same tokens."""
    needed = max(probe.blocks) + max(probe.widest, *probe.blocks)
    if len(ordinary) < 2 * needed:
        return ordinary, ordinary, "sequence (the vocabulary is too small to share no token)"
    mixed = generator("head halves", probe.seed).permutation(ordinary)
    return np.sort(mixed[::2]), np.sort(mixed[1::2]), "token"


def _conditions(
    model: Model, detector: str, ordinary: NDArray[np.int64], probe: Probe, permutations: int
) -> list[_Condition]:
    made: list[_Condition] = []
    for number, groups in enumerate(probes(ordinary, model.bos, probe)):
        parts: list[Numbers] = []
        null = np.zeros((permutations, model.sizes.n_layers * model.sizes.n_heads))
        total = sum(len(group.ids) for group in groups)
        for group in groups:
            pattern = attention_patterns(model.module, group.ids)
            query, key = targets(detector, group)
            parts.append(_scores(pattern, query, key))
            rng = generator("head null", probe.seed, number, group.gap)
            mean = pattern.double().mean(1).flatten(0, 1).numpy(force=True)
            null += _permuted(mean, detector, query.numpy(force=True), key.numpy(force=True), permutations, rng) * (
                len(group.ids) / total
            )
        made.append(_Condition(np.concatenate(parts), null))
    return made


def _scores(pattern: Float[Tensor, "layers batch heads query key"], query: Tensor, key: Tensor) -> Numbers:
    """Score of every sequence, (sequences, heads)."""
    return pattern[..., query, key].double().mean(-1).movedim(1, 0).flatten(1).numpy(force=True)


def _permuted(
    mean: Numbers, detector: str, query: NDArray[np.int64], key: NDArray[np.int64], draws: int, rng: np.random.Generator
) -> Numbers:
    """Scores with the keys exchanged, (draws, heads).

    In the second copy every query can see every key, so the keys are permuted among the queries; for the positional
    detectors a key is drawn evenly from those that the query can see.
    """
    if detector in ("induction", "duplicate_token"):
        keys = rng.permuted(np.tile(key, (draws, 1)), axis=1)
    else:
        keys = rng.integers(0, query + 1, (draws, len(query)))
    return np.stack([mean[:, query, drawn].mean(1) for drawn in keys]) if draws else np.zeros((0, len(mean)))


def _controls(model: Model, detector: str, ordinary: NDArray[np.int64], probe: Probe) -> list[_Condition]:
    """The same positions without the pattern.

    For induction and duplicate token the second copy is made of tokens that the first does not hold; the positional
    detectors, whose pattern is in every text, are read one key beside it.
    """
    made: list[_Condition] = []
    for groups in probes(ordinary, model.bos, probe):
        parts: list[Numbers] = []
        for group in groups:
            ids, (query, key) = group.ids, targets(detector, group)
            if detector in ("induction", "duplicate_token"):
                ids = _without_pattern(group, ordinary, generator("head control", probe.seed, group.block, group.gap))
            else:
                query, key = query[1:], key[1:] + (-1 if detector == "previous_token" else 1)
            parts.append(_scores(attention_patterns(model.module, ids), query, key))
        made.append(_Condition(np.concatenate(parts), np.zeros((0, 0))))
    return made


def _without_pattern(group: Repeats, ordinary: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
    """The sequences with a second block of tokens that do not stand in the first.

    Raises:
        InputError: when there are too few ordinary tokens.
    """
    if 2 * group.block > len(ordinary):
        raise InputError(
            f"a control needs {2 * group.block} ordinary tokens, there are {len(ordinary)}: shorten `blocks`"
        )
    ids = group.ids.clone()
    for row in ids:
        first = row[group.start : group.start + group.block].numpy(force=True)
        others = np.setdiff1d(ordinary, first)
        row[list(group.second)] = torch.as_tensor(rng.choice(others, group.block, replace=False))
    return ids


def _interval(conditions: Sequence[_Condition], rng: np.random.Generator) -> tuple[Numbers, Numbers]:
    """95 % percentile interval of the robust score, sequences resampled within each condition."""
    drawn: list[Numbers] = []
    for condition in conditions:
        n = len(condition.each)
        weights = rng.multinomial(n, np.full(n, 1 / n), RESAMPLES) / n
        drawn.append(weights @ condition.each)
    low, high = np.quantile(np.stack(drawn).min(0), (0.025, 0.975), axis=0)
    return low, high


def _familywise(score: Numbers, null: Numbers) -> Numbers:
    """The p of each head against the largest permuted score of any head; never 0."""
    largest = null.max(1)
    return (1 + (largest[:, None] >= score[None] - 1e-12).sum(0)) / (1 + len(largest))


def spearman(left: Numbers, right: Numbers) -> float | None:
    """Spearman's rank correlation, ties sharing their mean rank; None where one side is constant."""
    ranks = [ranks_of(values) for values in (left, right)]
    if any(np.ptp(rank) == 0 for rank in ranks):
        return None
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def ranks_of(values: Numbers) -> Numbers:
    """Ranks from 0, ties sharing their mean."""
    ordered, place, counts = np.unique(values.round(9), return_inverse=True, return_counts=True)
    del ordered
    return (np.cumsum(counts) - (counts + 1) / 2)[place]
