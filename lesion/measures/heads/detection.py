"""Which heads are induction (previous-token, duplicate-token, first-token) heads, and how sure that is.

A head is named on the standard probe, two copies of 50 random tokens, when (1) its score reaches the threshold; (2) a
permutation of the keys, the maximum taken over all heads, reaches that score with p <= .05; (3) on sequences without
the pattern its score stays below the threshold; (4) it reaches the threshold again on other sequences, of other tokens
where the vocabulary allows. How far the score depends on block length and gap is told beside the name, and removes no
name. A model in which no head passes is told so.

All detectors, controls and both sets are read from one forward pass per sequence.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lesion.identity import Document, generator
from lesion.measures.attribution.rank_correlation import spearman
from lesion.measures.heads.counted_pairs import BLOCKWISE, permuted_scores
from lesion.measures.heads.in_context_score import InContext, in_context_score
from lesion.measures.heads.pattern_scores import DETECTORS, require_detectors
from lesion.measures.heads.repeated_sequences import (
    Probe,
    Repeats,
    StandardProbe,
    fitted,
    ordinary_tokens,
    standard,
    unrepeated,
)
from lesion.measures.heads.robustness import (
    VARIATIONS,
    Variation,
    holds,
    readable,
    smallest,
    varied_groups,
    varied_scores,
)
from lesion.measures.heads.standard_scores import Capture, captured
from lesion.models.model import Model
from lesion.progress import stage
from lesion.stats.stability import Stability, highest, stability

Numbers = NDArray[np.float64]
THRESHOLD = 0.3
"""Least score of a named head. A head that attends evenly over two copies of 50 tokens scores .014."""
LISTED = 20
"""Heads that a verdict lists by name."""
MOST = 10**6
"""Heads whose scores reach the threshold, at most: all of them."""
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
    """Mean score over the sequences of the standard probe, 0 … 1."""
    low: float
    """Lower end of its 95 % bootstrap interval over sequences."""
    high: float
    """Upper end."""
    control: float
    """The same mean on sequences without the pattern."""
    p: float
    """Permutation p, corrected for all heads by the maximum."""
    again: float
    """Score on the disjoint sequences."""
    robust: float | None
    """Smallest mean score over other block lengths and gaps; null where the model cannot read any of them."""
    holds: str
    """In words, at which block lengths and gaps the score reaches the threshold: `robust`, `only at long blocks` …"""
    named: bool
    """Whether the head passes all four tests on the standard probe."""

    def __str__(self) -> str:
        return f"L{self.layer}H{self.head}"


class Detection(Document):
    """What one detector found in a model."""

    detector: str
    """Name of the detector."""
    threshold: float
    """Least score of a named head."""
    probe: StandardProbe
    """The sequences on which heads are named."""
    variations: Probe | None
    """The sequences with other block lengths and gaps; null where the model reads none of them."""
    disjoint: str
    """What the second set of sequences does not share with the first."""
    rank_agreement: float | None
    """Spearman's correlation of all heads' scores on the two sets; null where all scores are equal."""
    heads: tuple[HeadFinding, ...]
    """All heads, the best first."""
    stability: Stability | None = None
    """Whether the heads that reach the threshold do so on resampled sequences and on the second set; null: none."""

    @property
    def named(self) -> tuple[HeadFinding, ...]:
        """The heads that pass, the best first."""
        return tuple(head for head in self.heads if head.named)

    @property
    def verdict(self) -> str:
        """In words."""
        kind = self.detector.replace("_", "-")
        if self.named:
            listed, more = ", ".join(map(str, self.named[:LISTED])), len(self.named) - LISTED
            heads = f"{len(self.named)} {kind} head{'s' * (len(self.named) > 1)}: {listed}"
            return f"{heads} and {more} more" if more > 0 else heads
        best = self.heads[0]
        return (
            f"No {kind} head: the best score is {best.score:.3f} ({best}; without the pattern {best.control:.3f}, "
            f"p = {best.p:.3f}, on other sequences {best.again:.3f}; needed {self.threshold:g})"
        )


class Found(NamedTuple):
    """What all detectors found, and what else the same passes tell."""

    detections: tuple[Detection, ...]
    """One per detector, in the order asked."""
    in_context: InContext
    """How much better the second copy is predicted."""


class _Sets(NamedTuple):
    """The captures of a detection."""

    first: Capture
    again: Capture
    control: Capture | None
    varied: Mapping[str, Sequence[Variation]]


def detection(
    model: Model,
    detector: str = "induction",
    seed: int = 0,
    probe: StandardProbe | None = None,
    threshold: float = THRESHOLD,
    permutations: int = PERMUTATIONS,
    variations: Probe = VARIATIONS,
) -> Detection:
    """Score every head of a model with one detector; see `detections`.

    Raises:
        InputError: when the detector is unknown, or the vocabulary or the context is too small for the probe.
    """
    return detections(model, [detector], seed, probe, threshold, permutations, variations).detections[0]


def detections(
    model: Model,
    detectors: Sequence[str] = tuple(DETECTORS),
    seed: int = 0,
    probe: StandardProbe | None = None,
    threshold: float = THRESHOLD,
    permutations: int = PERMUTATIONS,
    variations: Probe = VARIATIONS,
) -> Found:
    """Score every head of a model, with interval, negative control, permutation null and disjoint sequences.

    Args:
        model: an opened model.
        detectors: names of `lesion.measures.heads.pattern_scores.DETECTORS`.
        seed: draws all tokens; it replaces the seed of `probe`.
        probe: the sequences on which heads are named; by default two copies of 50 tokens, or of as many as the model's
            context and vocabulary hold.
        threshold: least score of a named head.
        permutations: draws of the null distribution.
        variations: other block lengths and gaps; those that the model cannot read are left out.

    Raises:
        InputError: when a detector is unknown, or the vocabulary or the context is too small for the probe.
    """
    require_detectors(detectors)
    ordinary = ordinary_tokens(model.tokenizer)
    probe = fitted(model, len(ordinary), probe, seed)
    here, there, disjoint = _halves(ordinary, probe)
    varied = readable(model, len(here), variations.model_copy(update={"seed": seed}))
    first = standard(here, model.bos, probe)
    sets = _captures(model, detectors, first, standard(there, model.bos, _other(probe)), here, varied, seed)
    made = [
        Detection(
            detector=name,
            threshold=threshold,
            probe=probe,
            variations=varied,
            disjoint=disjoint,
            rank_agreement=spearman(sets.first.each[name].mean(0), sets.again.each[name].mean(0)),
            heads=_findings(model, name, first, sets, threshold, permutations, seed),
            stability=stability(
                sets.first.each[name],
                highest(MOST, threshold),
                generator("head stability", seed, name),
                "sequences",
                again=sets.again.each[name].mean(0),
            ),
        )
        for name in detectors
    ]
    assert sets.first.losses is not None
    return Found(tuple(made), in_context_score(sets.first.losses, first, seed))


def _captures(
    model: Model,
    detectors: Sequence[str],
    first: Repeats,
    other: Repeats,
    ordinary: NDArray[np.int64],
    varied: Probe | None,
    seed: int,
) -> _Sets:
    """Run every set of sequences once."""
    blockwise = [name for name in detectors if name in BLOCKWISE]
    groups = varied_groups(ordinary, model.bos, varied)
    total = first.ids.numel() * (3 if blockwise else 2) + sum(g.ids.numel() for each in groups for g in each)
    with stage("scoring heads", total) as advance:
        here = captured(model, first, detectors, advance, everything=True)
        again = captured(model, other, detectors, advance)
        control = None
        if blockwise:
            plain = unrepeated(first, ordinary, generator("head control", seed, first.block))
            control = captured(model, plain, blockwise, advance)
        return _Sets(here, again, control, varied_scores(model, groups, detectors, advance))


def _findings(
    model: Model, detector: str, group: Repeats, sets: _Sets, threshold: float, permutations: int, seed: int
) -> tuple[HeadFinding, ...]:
    """Every head with its numbers, the best first."""
    each, mean = sets.first.each[detector], sets.first.mean
    assert mean is not None
    null = permuted_scores(mean, detector, group, permutations, generator("head null", seed, detector))
    score, again = each.mean(0), sets.again.each[detector].mean(0)
    low, high = _interval(each, generator("head bootstrap", seed))
    beside = sets.first.beside if detector not in BLOCKWISE or sets.control is None else sets.control.each
    columns = np.stack([score, low, high, beside[detector].mean(0), _familywise(score, null.numpy(force=True)), again])
    made: list[HeadFinding] = []
    for number, column in enumerate(columns.T):
        value, under, over, control, p, second = (round(float(part), 6) for part in column)
        least = smallest(sets.varied[detector], number)
        made.append(
            HeadFinding(
                layer=number // model.sizes.n_heads,
                head=number % model.sizes.n_heads,
                score=value,
                low=under,
                high=over,
                control=control,
                p=p,
                again=second,
                robust=None if least is None else round(least, 6),
                holds=holds(sets.varied[detector], number, threshold),
                named=min(value, second) >= threshold > control and p <= SIGNIFICANT,
            )
        )
    return tuple(sorted(made, key=lambda head: (-head.score, head.layer, head.head)))


def _other(probe: StandardProbe) -> StandardProbe:
    """The probe with a seed that the first set never uses."""
    return probe.model_copy(update={"seed": probe.seed + 2**31})


def _halves(ordinary: NDArray[np.int64], probe: StandardProbe) -> tuple[NDArray[np.int64], NDArray[np.int64], str]:
    """Tokens of the two sets: halves of the vocabulary where each half is large enough, else the same tokens."""
    if len(ordinary) < 2 * probe.copies * probe.block:
        return ordinary, ordinary, "sequence (the vocabulary is too small to share no token)"
    mixed = generator("head halves", probe.seed).permutation(ordinary)
    return np.sort(mixed[::2]), np.sort(mixed[1::2]), "token"


def _interval(each: Numbers, rng: np.random.Generator) -> tuple[Numbers, Numbers]:
    """95 % percentile interval of the mean score of every head, sequences resampled."""
    n = len(each)
    weights = rng.multinomial(n, np.full(n, 1 / n), RESAMPLES) / n
    low, high = np.quantile(weights @ each, (0.025, 0.975), axis=0)
    return low, high


def _familywise(score: Numbers, null: Numbers) -> Numbers:
    """The p of each head against the largest permuted score of any head; never 0."""
    largest = null.max(1)
    return (1 + (largest[:, None] >= score[None] - 1e-12).sum(0)) / (1 + len(largest))
