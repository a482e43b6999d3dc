"""How well a search finds what is known to be there: the ranking's AUROC, and shares and means with their intervals."""

from collections.abc import Mapping, Sequence, Set

import numpy as np

from lesion.stats.intervals import wilson

RESAMPLES = 2000


def auroc(scores: Mapping[str, float], positive: Set[str]) -> float | None:
    """Share of pairs of a positive and another that are ranked right by |score|; ties count half.

    Args:
        scores: by name.
        positive: names that should rank first.

    Returns:
        0 to 1; None where all or none of the names are positive.

    >>> auroc({"a": -2.0, "b": 1.0, "c": 0.0}, {"a"})
    1.0
    """
    inside = np.abs([score for name, score in scores.items() if name in positive])
    outside = np.abs([score for name, score in scores.items() if name not in positive])
    if not len(inside) or not len(outside):
        return None
    difference = inside[:, None] - outside[None, :]
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())


def share(good: int, all_: int) -> str:
    """A share with Wilson's 95 % interval, in words.

    >>> share(9, 10)
    '0.90 (0.60–0.98; 9 of 10)'
    """
    if not all_:
        return "–"
    low, high = (float(end) for end in wilson(good, all_))
    return f"{good / all_:.2f} ({low:.2f}–{high:.2f}; {good} of {all_})"


def mean_of(numbers: Sequence[float], rng: np.random.Generator, digits: int = 3) -> str:
    """A mean with its 95 % bootstrap interval, in words; a dash where there is no number.

    Args:
        numbers: one for each unit that is resampled.
        rng: draws the resamples.
        digits: behind the point.
    """
    if not numbers:
        return "–"
    drawn = rng.integers(0, len(numbers), (RESAMPLES, len(numbers)))
    low, high = np.quantile(np.array(numbers)[drawn].mean(1), (0.025, 0.975))
    return f"{np.mean(numbers):.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"
